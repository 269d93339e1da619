"""A person's session behind a web socket: what they ask for, and what they are shown."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from curriculum.errors import CurriculumError
from curriculum.show.words import finite
from curriculum.theatre.keys import KEYS
from curriculum.theatre.past import MOST_BACK
from curriculum.theatre.session import DRIVERS, PLACES, Moment, Session
from curriculum.watch.following import clean
from curriculum.world.dream import MAX_TEMPERATURE, MIN_TEMPERATURE

MOST_SESSIONS = 2
"""People who play at the same time: a game needs most of a core."""
MOST_WAITING = 64
"""Wishes of a person that wait at most; who sends more is not listened to meanwhile."""
SEND_S, IDLE_S = 20.0, 1800.0
"""How long a picture may take to be taken, and how long nobody has to do anything."""
SPEEDS = (0.1, 8.0)
TALLEST = 256
"""Pixels that a picture is high at most."""
_HEADER = struct.Struct("<I")

MakeSession = Callable[[], Session]


class Host:
    """Plays sessions, a few at the same time."""

    def __init__(self) -> None:
        self._playing = 0

    async def play(self, socket: WebSocket, make: MakeSession) -> None:
        """Plays until the person leaves.

        Args:
            socket: accepted already.
            make: builds the session, in the thread that plays it.
        """
        if self._playing >= MOST_SESSIONS:
            await _tell(socket, {"error": f"{MOST_SESSIONS} sessions are played: close one first"})
            return
        self._playing += 1
        thread = ThreadPoolExecutor(1, thread_name_prefix="play")
        try:
            await _Played(socket, thread).play(make)
        finally:
            self._playing -= 1
            thread.shutdown(wait=False)


class _Played:
    """One session: its thread, its pace and the wishes that wait."""

    def __init__(self, socket: WebSocket, thread: ThreadPoolExecutor) -> None:
        self._socket, self._thread = socket, thread
        self._wishes: deque[Mapping[str, Any]] = deque(maxlen=MOST_WAITING)
        self._heard = asyncio.Event()
        self._gone = False
        self._paused, self._once, self._speed = False, False, 1.0
        self._wished_at = time.monotonic()

    async def play(self, make: MakeSession) -> None:
        try:
            session = await self._there(make)
        except CurriculumError as e:
            await _tell(self._socket, {"error": str(e)})
            return
        listening = asyncio.create_task(self._listen())
        try:
            await _tell(self._socket, _greeting(session))
            await self._go_on(session)
        except (CurriculumError, ValueError) as e:
            await _tell(self._socket, {"error": str(e)})
        except (WebSocketDisconnect, TimeoutError, RuntimeError):
            pass  # whoever looked has gone, or takes nothing any more
        finally:
            listening.cancel()
            await self._there(session.close)

    async def _go_on(self, session: Session) -> None:
        due = time.monotonic()
        while not self._gone:
            shown = await self._there(lambda: self._turn(session))
            async with asyncio.timeout(SEND_S):
                await self._socket.send_bytes(shown)
            self._heard.clear()
            due = max(due + session.step_seconds / self._speed, time.monotonic() - 0.2)
            waiting = self._paused or session.over
            wait = 60.0 if waiting else due - time.monotonic()
            if wait > 0 and not self._wishes:
                try:
                    async with asyncio.timeout(wait):
                        await self._heard.wait()
                except TimeoutError:
                    pass
                rest = 0.0 if waiting else due - time.monotonic()
                if rest > 0 and not self._gone:
                    await asyncio.sleep(rest)
            if time.monotonic() - self._wished_at > IDLE_S and waiting:
                return

    def _turn(self, session: Session) -> bytes:
        """Does what was wished, takes a step unless paused, and returns what is to be seen."""
        while self._wishes:
            self._obey(session, self._wishes.popleft())
        if not self._paused or self._once:
            self._once = False
            session.step()
        return packed(session.moment(), {"paused": self._paused, "speed": self._speed})

    def _obey(self, session: Session, wish: Mapping[str, Any]) -> None:
        """Does one thing; what is none, or cannot be, is left."""
        kind = wish.get("do")
        if kind == "keys":
            held = wish.get("keys")
            known = [key for key in held if key in KEYS] if isinstance(held, list) else []
            session.keys = frozenset(known)
        elif kind == "place" and wish.get("place") in PLACES:
            session.go(str(wish["place"]))
        elif kind == "driver" and wish.get("driver") in DRIVERS:
            session.driver = str(wish["driver"])
        elif kind == "pause":
            self._paused = bool(wish.get("on"))
        elif kind == "step":
            self._paused, self._once = True, True
        elif kind == "swap":
            session.swap()
        elif kind == "looking":
            session.looking = bool(wish.get("on"))
        else:
            self._obey_number(session, kind, finite(wish.get("value")), wish)

    def _obey_number(
        self, session: Session, kind: Any, value: float | None, wish: Mapping[str, Any]
    ) -> None:
        if value is None:
            return
        if kind == "back":
            session.back(int(min(max(value, 1), MOST_BACK)))
        elif kind == "begin":
            session.begin(int(min(max(value, 0), 2**31 - 1)))
        elif kind == "warm":
            session.warm(min(max(value, MIN_TEMPERATURE), MAX_TEMPERATURE))
        elif kind == "speed":
            self._speed = min(max(value, SPEEDS[0]), SPEEDS[1])
        elif kind == "change":
            index = finite(wish.get("index"))
            if index is not None:
                session.change(int(min(max(index, 0), 2**20)), min(max(value, -10.0), 10.0))

    async def _listen(self) -> None:
        try:
            while True:
                text = await self._socket.receive_text()
                try:
                    wish = json.loads(text)
                except (ValueError, RecursionError):
                    continue
                if isinstance(wish, dict):
                    self._wishes.append(wish)
                    self._wished_at = time.monotonic()
                    self._heard.set()
        except (WebSocketDisconnect, RuntimeError, KeyError):
            self._gone = True
            self._heard.set()

    async def _there(self, work: Callable[[], Any]) -> Any:
        """Does work in the session's own thread: environments are used where they are made."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def packed(moment: Moment, more: Mapping[str, Any]) -> bytes:
    """Returns a moment as a page takes it.

    The length of a header, four bytes little-endian; the header, JSON; and the pictures it names,
    one after the other, three bytes a pixel.
    """
    pictures = {name: _smaller(picture) for name, picture in moment.pictures.items()}
    wish = moment.wish
    header = {
        "pictures": [
            {"name": name, "height": picture.shape[0], "width": picture.shape[1]}
            for name, picture in pictures.items()
        ],
        "facts": {**moment.facts, **more},
        "wish": {
            "shares": [round(float(share), 4) for share in wish.shares],
            "likely": wish.likely,
            "action": np.asarray(wish.action).tolist(),
        },
    }
    text = json.dumps(clean(header), separators=(",", ":"), allow_nan=False).encode()
    parts = (np.ascontiguousarray(picture).tobytes() for picture in pictures.values())
    return b"".join((_HEADER.pack(len(text)), text, *parts))


def _smaller(picture: np.ndarray) -> np.ndarray:
    stride = -(-picture.shape[0] // TALLEST)
    return picture[::stride, ::stride]


def _greeting(session: Session) -> dict[str, Any]:
    spec = session.agent.spec
    return {
        "env_id": spec.env_id,
        "keys": session.key_map.words,
        "actions": spec.action.size,
        "names": session.key_map.names(),
        "kind": spec.action.kind,
        "latents": session.agent.world.latent_size,
        "features": list(session.agent.features),
        "step_seconds": session.step_seconds,
        "temperatures": [MIN_TEMPERATURE, MAX_TEMPERATURE],
    }


async def _tell(socket: WebSocket, facts: Mapping[str, Any]) -> None:
    if socket.client_state is WebSocketState.CONNECTED:
        await socket.send_text(json.dumps(facts))
