"""A learned agent as a directory that can be handed on, and what is read back from it.

`agent.safetensors` holds the weights of V, M and C, `task.yaml` the configuration they were
learned with, `ledger.jsonl` what the run told of them, headed by the sizes and hashes of these two,
and `card.md` the same for people. Nothing of it is ever executed: it is arrays, YAML and JSON, or
it is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.config.loading import dump, load_config
from curriculum.config.plugins import code_of
from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.mode import LADDER
from curriculum.records.commit import CommitStore
from curriculum.records.files import read_plain, write_bytes
from curriculum.records.ledger import Event, effective_events, parse_events
from curriculum.records.rundir import RunDir
from models.interfaces import State

FORMAT = 1
AGENT, TASK, LEDGER, CARD = "agent.safetensors", "task.yaml", "ledger.jsonl", "card.md"
NAMES = (AGENT, TASK, LEDGER, CARD)
MOMENTS = "adam."
"""How names in a state begin that only further learning needs; bundles leave them out."""

_LIMIT = 2**30
_MODES = tuple(mode.value for mode in LADDER)


@dataclass(frozen=True)
class Bundle:
    """A learned agent.

    Attributes:
        config: of a run with this task alone, in the mode the agent was learned in.
        mode, round: where it was learned.
        vision, memory: states of V and M without what only further learning needs.
        parameters: of C, `[P]`.
        events: what the run's ledger tells of it, oldest first.
    """

    config: Config
    mode: str
    round: int
    vision: State = field(repr=False)
    memory: State = field(repr=False)
    parameters: np.ndarray = field(repr=False)
    events: tuple[Event, ...] = field(repr=False)

    @property
    def task(self) -> TaskConfig:
        """The one task."""
        return self.config.tasks[0]


Describe = Callable[[Bundle], str]
"""Writes what `card.md` says."""


def shipped() -> Path:
    """Returns the directory of the agents that come with the package."""
    return Path(str(resources.files("models"))) / "pretrained"


def find(name: str) -> Path:
    """Returns the directory of an agent that comes with the package, or the directory named.

    Raises:
        ConfigError: there is neither.
    """
    for directory in (shipped() / name, Path(name)):
        if directory.is_dir():
            return directory
    there = sorted(p.name for p in shipped().glob("*") if p.is_dir())
    raise ConfigError(
        f"there is no pretrained agent {name!r}: shipped are {', '.join(there) or 'none'}; give "
        f"one of these names, or a directory that `export` wrote"
    )


def learned_in(rundir: RunDir, config: Config, task: str) -> tuple[str, int]:
    """Returns the best mode, and the last round in it, with a finished controller.

    Raises:
        NoCheckpoint: there is none.
    """
    for mode in _MODES:
        for last in reversed(range(config.curriculum.rounds)):
            if (rundir.stage_dir(task, mode, last, "controller") / "result.json").exists():
                return mode, last
    raise NoCheckpoint(
        f"{rundir.given} holds no finished controller for {task}: run it first, or resume it with: "
        f"python -m curriculum resume {rundir.given}"
    )


def chosen(config: Config, names: Sequence[str]) -> list[TaskConfig]:
    """Returns the tasks of a run by name, all of them without names.

    Raises:
        ConfigError: the run has no such task.
    """
    tasks = {task.name: task for task in config.tasks}
    for name in names:
        if name not in tasks:
            raise ConfigError(f"this run has no task {name!r}: it has {', '.join(tasks)}")
    return [tasks[name] for name in names] if names else list(tasks.values())


def export(
    rundir: RunDir,
    task: str,
    directory: Path,
    describe: Describe,
    config: Config | None = None,
) -> Bundle:
    """Writes a run's agent as a bundle; the same run gives the same bytes.

    Args:
        rundir: only read.
        task: name of the run's task.
        directory: created if need be; a bundle in it is replaced.
        describe: writes the card.
        config: what the agent is played with from now on; the run's own if None.

    Raises:
        ConfigError: no such task, or it needs code that a bundle cannot carry, or `directory` holds
            something else.
        NoCheckpoint: nothing was learned, or nothing of it verifies, or it is not finite.
        RunIOError: the disk refused.
    """
    bundle = gather(rundir, task, config)
    write(bundle, directory, describe)
    return bundle


def gather(rundir: RunDir, task: str, config: Config | None = None) -> Bundle:
    """Reads a run's agent; raises as `export` does."""
    config = rundir.config() if config is None else config
    (found,) = chosen(config, [task])
    mode, last = learned_in(rundir, config, task)
    stages = ("vision", "memory", "controller")
    vision, memory, controller = (_final(rundir, task, mode, last, stage) for stage in stages)
    alone = replace(
        config,
        name=task,
        run_dir="runs",
        curriculum=replace(config.curriculum, mode=mode, tasks=(task,)),
        tasks=(found,),
    )
    told = (e for e in effective_events(rundir.ledger_path) if e.get("task", task) == task)
    return Bundle(
        config=alone,
        mode=mode,
        round=last,
        vision=_without_moments(vision),
        memory=_without_moments(memory),
        parameters=controller["parameters"],
        events=tuple(told),
    )


def write(bundle: Bundle, directory: Path, describe: Describe) -> None:
    """Writes a bundle; the ledger comes last, so that a half-written one is refused by its hashes.

    Args:
        bundle: what to write.
        directory, describe: see `export`.

    Raises:
        ConfigError: see `export`.
        NoCheckpoint: its numbers are not finite.
        RunIOError: the disk refused.
    """
    _refuse_code(bundle.config, "this run")
    if directory.exists():
        there = [p.name for p in directory.iterdir()] if directory.is_dir() else [directory.name]
        foreign = sorted(name for name in there if name.lstrip(".").split(".tmp-")[0] not in NAMES)
        if foreign:
            raise ConfigError(
                f"{directory} holds {foreign[0]}, which is no part of a pretrained agent: give an "
                f"empty or a new directory"
            )
    arrays = _arrays(bundle)
    _require_finite(arrays, "what the run learned")
    contents = {AGENT: _pack(arrays), TASK: dump(bundle.config).encode()}
    head = {
        "t": max((e["t"] for e in bundle.events), default=0.0),
        "event": "exported",
        "format": FORMAT,
        "task": bundle.task.name,
        "mode": bundle.mode,
        "round": bundle.round,
        "files": {name: _fingerprint(data) for name, data in contents.items()},
    }
    lines = (json.dumps(event, ensure_ascii=False) + "\n" for event in (head, *bundle.events))
    contents[CARD] = describe(bundle).encode()
    contents[LEDGER] = "".join(lines).encode(errors="backslashreplace")
    for name, data in contents.items():
        write_bytes(directory / name, data)


def load(directory: Path) -> Bundle:
    """Reads a bundle back.

    Raises:
        NoCheckpoint: a file is missing, damaged, of another format or not finite; a sentence says
            which.
        ConfigError: its configuration is none, or asks for code to be imported.
    """
    try:
        contents = {name: _bytes(directory / name) for name in NAMES}
        head, *events = _events(contents[LEDGER])
        _check_head(head, contents)
        arrays = _unpack(contents[AGENT])
        groups = _groups(arrays)
        _require_finite(arrays, AGENT)
    except _Unusable as e:
        raise NoCheckpoint(
            f"{directory} is no pretrained agent that can be used: {e}; take it anew from where it "
            f"came from, or write it again with `python -m curriculum export`"
        ) from e
    config = load_config(directory / TASK)
    if len(config.tasks) != 1 or config.curriculum.mode != head.get("mode"):
        raise ConfigError(f"{directory / TASK} is not the configuration of one task in one mode")
    _refuse_code(config, str(directory / TASK))
    return Bundle(
        config=config,
        mode=config.curriculum.mode,
        round=head["round"],
        vision=groups["vision"],
        memory=groups["memory"],
        parameters=arrays["parameters"],
        events=tuple(events),
    )


def require_held(bundle: Bundle) -> None:
    """Refuses a configuration that declares more than the weights hold, before it is built.

    Counted is the least that could be meant, whatever the environment; the rest is compared as
    weights are loaded.

    Raises:
        NoCheckpoint: with both numbers.
    """
    task, full = bundle.task, bundle.mode == _MODES[0]
    chosen, memory, channels = task.controller, task.mdnrnn, task.vae.channels
    declared = {"V": 0, "M": memory.rnn_size**2, "C": 0}
    if full:
        declared["M"] = 4 * memory.rnn_size**2 + 3 * memory.num_mixtures * memory.rnn_size
    if full and task.observation == "pixels":
        kernels = sum(16 * a * b for a, b in pairwise(channels))
        declared["V"] = 2 * kernels + 2 * channels[-1] * task.vae.z_dim
    if full or chosen.solver != "ppo":
        widths = (1, *chosen.hidden_sizes, 1)
        declared["C"] = sum((a + 1) * b for a, b in pairwise(widths))
    held = {"V": bundle.vision, "M": bundle.memory, "C": {"parameters": bundle.parameters}}
    for part, least in declared.items():
        numbers = sum(array.size for array in held[part].values())
        if least > numbers:
            raise NoCheckpoint(
                f"the weights of {task.name} do not fit its {TASK}: it declares {part} with at "
                f"least {least:,} numbers, {AGENT} holds {numbers:,}; take the agent anew from "
                "where it came from"
            )


class _Unusable(NoCheckpoint):
    """A part of a bundle cannot be used; its text says which and why."""


def _final(rundir: RunDir, task: str, mode: str, last: int, stage: str) -> State:
    directory = rundir.stage_dir(task, mode, last, stage)
    damaged: list[str] = []
    commit = CommitStore(directory, identity=rundir.identity(directory)).latest(damaged.append)
    if commit is None or not commit.complete:
        why = damaged[0] if damaged else "it is not there"
        raise NoCheckpoint(f"the result of stage {stage} in {directory} cannot be used: {why}")
    return commit.arrays


def _without_moments(state: Mapping[str, np.ndarray]) -> State:
    return {name: array for name, array in state.items() if not name.startswith(MOMENTS)}


def _arrays(bundle: Bundle) -> State:
    named = {f"vision/{name}": array for name, array in bundle.vision.items()}
    named |= {f"memory/{name}": array for name, array in bundle.memory.items()}
    return {**named, "parameters": bundle.parameters}


def _groups(arrays: Mapping[str, np.ndarray]) -> dict[str, State]:
    groups: dict[str, State] = {"vision": {}, "memory": {}}
    for name, array in arrays.items():
        group, slash, rest = name.partition("/")
        if slash and group in groups:
            groups[group][rest] = array
        elif name != "parameters":
            raise _Unusable(f"{AGENT} holds an array {name!r} that belongs to neither V, M nor C")
    missing = [name for name, group in groups.items() if not group]
    missing += [] if "parameters" in arrays else ["parameters"]
    if missing:
        raise _Unusable(f"{AGENT} holds nothing under {', '.join(missing)}")
    return groups


def _require_finite(arrays: Mapping[str, np.ndarray], what: str) -> None:
    bad = sorted(n for n, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all())
    if bad:
        raise _Unusable(f"{what} holds numbers that are not finite, in {', '.join(bad[:3])}")


def _refuse_code(config: Config, what: str) -> None:
    """Whoever plays a bundle imports nothing that it names."""
    names = code_of(config)
    if names:
        raise ConfigError(
            f"{what} wants {names[0]} to be imported, and a pretrained agent runs no code: use an "
            f"environment that is registered without it, or hand on the run directory"
        )


def _check_head(head: Event, contents: Mapping[str, bytes]) -> None:
    if head.get("event") != "exported":
        raise _Unusable(f"{LEDGER} does not begin with what was exported")
    if head.get("format") != FORMAT:
        raise _Unusable(f"its format is {head.get('format')}, this program reads {FORMAT}")
    if head.get("mode") not in _MODES or type(head.get("round")) is not int:
        raise _Unusable(f"{LEDGER} does not say in which mode and round it was learned")
    files = head.get("files")
    for name in (AGENT, TASK):
        if not isinstance(files, dict) or files.get(name) != _fingerprint(contents[name]):
            raise _Unusable(f"{name} is not what {LEDGER} says")


def _events(data: bytes) -> list[Event]:
    events = list(parse_events(data))
    bad = next((event for event in events if event["event"] == "unreadable_line"), None)
    if bad is not None:
        raise _Unusable(f"line {bad['line']} of {LEDGER} cannot be used: {bad['reason']}")
    if not events:
        raise _Unusable(f"{LEDGER} holds no events")
    return events


def _bytes(path: Path) -> bytes:
    try:
        return read_plain(path, _LIMIT)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise _Unusable(f"{path.name} is missing") from e
    except OSError as e:
        raise _Unusable(f"{path.name} cannot be read: {e.strerror}") from e


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    ready = {n: np.array(a, a.dtype.newbyteorder("="), order="C") for n, a in arrays.items()}
    return save(ready)


def _unpack(data: bytes) -> State:
    from safetensors import SafetensorError
    from safetensors.numpy import load as read

    try:
        return {name: array.copy() for name, array in read(data).items()}
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise _Unusable(f"{AGENT} holds no arrays: {e}") from e


def _fingerprint(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
