"""`watch`: a page on this machine: runs as they go on, and their agents to be played with."""

from __future__ import annotations

import argparse
import webbrowser
from collections.abc import Callable
from functools import partial
from pathlib import Path

from curriculum.agent.loading import open_bundle, opened
from curriculum.errors import ComponentMissing, ConfigError, ExitCode
from curriculum.pretrained.finding import find
from curriculum.progress import say
from curriculum.records.rundir import RunDir
from curriculum.theatre.session import Session
from models.numeric.threads import allow_one_thread

_INSTALL = 'pip install "starlette" "uvicorn" "websockets"'


def watch(args: argparse.Namespace) -> ExitCode:
    """Serves the page until it is stopped."""
    if not args.runs and not args.pretrained:
        raise ConfigError(
            "there is nothing to watch: give a run directory, or --pretrained with an agent, "
            "e.g. --pretrained pong"
        )
    try:
        from curriculum.watch import server
        from curriculum.watch.following import RunFollower
    except ImportError as e:
        raise ComponentMissing(f"the page cannot be served: {e}; {_INSTALL}") from e
    allow_one_thread()
    names = _distinct([Path(run) for run in args.runs])
    runs = [RunFollower(path.absolute(), name) for path, name in names.items()]
    agents = [
        *(agent for path, name in names.items() for agent in _of_run(path, name, args)),
        *(_pretrained(name) for name in args.pretrained or ()),
    ]
    site = server.Site(runs, agents, tuple(args.plugins))
    listening = server.listen(args.host, args.port)
    address = _address(args.host, listening.getsockname()[1], site.token)
    say(f"open {address} (it holds the token that stops and resumes runs); Ctrl-C ends the page")
    if args.open:
        webbrowser.open(address)
    args.watcher.tell("over")
    server.serve(site, listening, args.host)
    return ExitCode.OK


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {"watch": watch}


def _distinct(paths: list[Path]) -> dict[Path, str]:
    """Returns names for runs, by which none is taken for another."""
    names: dict[Path, str] = {}
    for path in paths:
        RunDir.open(path)
        name = base = path.absolute().name
        number = 1
        while name in names.values():
            number += 1
            name = f"{base} {number}"
        names[path] = name
    return names


def _of_run(path: Path, name: str, args: argparse.Namespace):
    from curriculum.watch.server import Stageable

    for task in RunDir.open(path).config().tasks:
        make = partial(_session, str(path), task.name, tuple(args.plugins))
        yield Stageable(f"{name}: {task.name}", make)


def _pretrained(name: str):
    from curriculum.watch.server import Stageable

    find(name)
    return Stageable(Path(name).name, partial(_session, name, "", ()))


def _session(path: str, task: str, plugins: tuple[str, ...], seed: int) -> Session:
    """Opens an agent that is judged by sampled play so that it plays as it is judged."""
    bundle = open_bundle(path, task, plugins=plugins)
    sampled, warmth = bundle.task.evaluate.sampled, bundle.task.dream.temperature
    return Session(opened(bundle), seed, warmth, sampled=sampled, notice=say)


def _address(host: str, port: int, token: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    alone = host in ("127.0.0.1", "localhost", "::1")
    # What is behind a # is not sent: only the page itself reads it.
    return f"http://{shown}:{port}/{'#' if alone else '?'}token={token}"
