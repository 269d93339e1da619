"""The page's server: a run's snapshots, sessions with agents, and the files of the page."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket as sockets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from curriculum.errors import ConfigError, CurriculumError
from curriculum.theatre.session import Session
from curriculum.watch import control
from curriculum.watch.following import RunFollower, as_json
from curriculum.watch.guard import Guard
from curriculum.watch.playing import SEND_S, Host

EVERY_S = 0.5
"""How often a run is looked at while somebody looks on."""
MOST_SOCKETS = 64
MOST_MESSAGE = 4096
"""Bytes of a message from a page at most."""
STATIC = Path(__file__).parent / "static"

MakeSession = Callable[[int], Session]


@dataclass(frozen=True)
class Stageable:
    """An agent that can be played with.

    Attributes:
        name: that the page calls it by.
        make: builds a session from a seed.
    """

    name: str
    make: MakeSession


@dataclass
class Site:
    """What a page can show.

    Attributes:
        runs: that go on or are over.
        agents: that can be played with.
        plugins: modules that runs which are resumed may import.
        token: that has to be shown to stop or resume a run.
    """

    runs: Sequence[RunFollower] = ()
    agents: Sequence[Stageable] = ()
    plugins: Sequence[str] = ()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    def app(self, host: str, port: int) -> Guard:
        """Returns the guarded application."""
        return Guard(_App(self).starlette(), host, port, self.token)


class _App:
    def __init__(self, site: Site) -> None:
        self._site, self._host = site, Host()
        self._runs = {run.name: _Shared(run) for run in site.runs}
        self._agents = {agent.name: agent for agent in site.agents}
        self._sockets = 0

    def starlette(self) -> Starlette:
        routes = [
            Route("/", self._index),
            Route("/api/site", self._about),
            Route("/api/runs/{name}/{what}", self._control, methods=["POST"]),
            Route("/media/{run}/{picture}", self._picture),
            WebSocketRoute("/live/runs/{name}", self._follow),
            WebSocketRoute("/live/play/{name}", self._play),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        return Starlette(routes=routes, exception_handlers={CurriculumError: _told})

    async def _index(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _about(self, request: Request) -> Response:
        return JSONResponse({"runs": list(self._runs), "agents": list(self._agents)})

    async def _picture(self, request: Request) -> Response:
        run = self._runs.get(request.path_params["run"])
        path = run.follower.picture(request.path_params["picture"]) if run else None
        if path is None:
            return PlainTextResponse("there is no such picture\n", 404)
        return FileResponse(path)

    async def _control(self, request: Request) -> Response:
        given = request.headers.get("x-token", "")
        if not secrets.compare_digest(given.encode(), self._site.token.encode()):
            return JSONResponse({"error": "the token that the terminal printed is needed"}, 403)
        run = self._runs.get(request.path_params["name"])
        resume = partial(control.resume, plugins=self._site.plugins)
        action = {"stop": control.stop, "resume": resume}.get(request.path_params["what"])
        if run is None or action is None:
            return JSONResponse({"error": "there is no such run, or nothing of the kind"}, 404)
        try:
            done = await asyncio.to_thread(action, run.follower.directory)
        except ConfigError as e:
            return JSONResponse({"error": str(e)}, 409)
        return JSONResponse({"done": done})

    async def _follow(self, socket: WebSocket) -> None:
        run = self._runs.get(socket.path_params["name"])
        async with self._accepted(socket, run is not None) as accepted:
            if not accepted or run is None:
                return
            leaving = asyncio.create_task(_until_gone(socket))
            try:
                told = None
                while not leaving.done():
                    text = await run.latest()
                    if text != told:
                        told = text
                        async with asyncio.timeout(SEND_S):
                            await socket.send_text(text)
                    await asyncio.wait({leaving}, timeout=EVERY_S)
            except (TimeoutError, RuntimeError, WebSocketDisconnect):
                return  # whoever looked on has gone, or takes nothing any more
            finally:
                leaving.cancel()

    async def _play(self, socket: WebSocket) -> None:
        agent = self._agents.get(socket.path_params["name"])
        async with self._accepted(socket, agent is not None) as accepted:
            if accepted and agent is not None:
                seed = socket.query_params.get("seed", "0")
                number = int(seed) if seed.isdecimal() and len(seed) < 10 else 0
                await self._host.play(socket, lambda: agent.make(number))

    @contextlib.asynccontextmanager
    async def _accepted(self, socket: WebSocket, there: bool) -> AsyncIterator[bool]:
        if not there or self._sockets >= MOST_SOCKETS:
            await socket.close(1013 if there else 1008)
            yield False
            return
        self._sockets += 1
        try:
            await socket.accept()
            yield True
        finally:
            self._sockets -= 1
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close()


class _Shared:
    """A run that is looked at once for all who look on, and not at all where nobody does."""

    def __init__(self, follower: RunFollower) -> None:
        self.follower = follower
        self._text = ""
        self._looked = -EVERY_S
        self._lock = asyncio.Lock()

    async def latest(self) -> str:
        """Returns the snapshot of now, or of a moment ago."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._looked >= 0.8 * EVERY_S:
                self._text = await asyncio.to_thread(lambda: as_json(self.follower.look()))
                self._looked = asyncio.get_running_loop().time()
            return self._text


async def _until_gone(socket: WebSocket) -> None:
    """Returns when a page has gone; what it says meanwhile is not listened to."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, KeyError):
        while True:
            await socket.receive()


async def _told(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 500)


def listen(host: str, port: int) -> sockets.socket:
    """Returns a socket that listens, on a free port where 0 is asked for.

    Raises:
        ConfigError: the address cannot be had.
    """
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    listening = sockets.socket(family, sockets.SOCK_STREAM)
    listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as e:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {e.strerror}; choose another --port, 0 takes a "
            "free one"
        ) from e
    return listening


def serve(site: Site, listening: sockets.socket, host: str) -> None:
    """Serves until this process is asked to stop."""
    port = listening.getsockname()[1]
    config = uvicorn.Config(
        site.app(host, port),
        log_level="warning",
        access_log=False,
        ws_max_size=MOST_MESSAGE,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        server_header=False,
        limit_concurrency=256,
    )
    uvicorn.Server(config).run(sockets=[listening])
