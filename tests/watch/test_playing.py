"""A session behind a web socket: it is steered by messages, and nothing that is said ends it."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
connecting = pytest.importorskip("websockets.sync.client")

from tests.patience import HANG_S  # noqa: E402
from tests.watch.conftest import Page  # noqa: E402

Shown = dict[str, Any]


def unpacked(data: bytes) -> Shown:
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    at, pictures = 4 + length, {}
    for about in header["pictures"]:
        size = 3 * about["width"] * about["height"]
        shape = (about["height"], about["width"], 3)
        pictures[about["name"]] = np.frombuffer(data[at : at + size], np.uint8).reshape(shape)
        at += size
    assert at == len(data)
    return {**header["facts"], "wish": header["wish"], "pictures": pictures}


class Player:
    """One who plays through a socket."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.hello = json.loads(socket.recv(timeout=HANG_S))

    def say(self, **wish: Any) -> None:
        self.socket.send(json.dumps(wish))

    def look(self) -> Shown:
        return unpacked(self.socket.recv(timeout=HANG_S))

    def until(self, condition: Callable[[Shown], bool]) -> Shown:
        end = time.monotonic() + HANG_S
        while time.monotonic() < end:
            shown = self.look()
            if condition(shown):
                return shown
        raise AssertionError("it was never so")


@pytest.fixture
def player(page: Page):
    with ExitStack() as held:
        yield seated(page, held, "tiny%3A%20pong?seed=4")


def seated(page: Page, held: ExitStack, who: str = "tiny%3A%20pong") -> Player:
    """A player, once those who played before have left."""
    end = time.monotonic() + HANG_S
    while time.monotonic() < end:
        socket = connecting.connect(f"{page.socket}/live/play/{who}", max_size=None)
        with ExitStack() as trying:
            found = Player(trying.enter_context(socket))
            if "error" not in found.hello:
                held.push(trying.pop_all())
                return found
        time.sleep(0.1)
    raise AssertionError("nobody ever leaves")


def _connected(page: Page) -> Any:
    return connecting.connect(f"{page.socket}/live/play/tiny%3A%20pong", max_size=None)


def test_an_agent_plays_and_is_looked_into(player: Player) -> None:
    assert player.hello["env_id"] == "simulation/pong" and player.hello["latents"] == 32
    assert "paddle" in player.hello["keys"] and len(player.hello["names"]) == 6
    first = player.look()
    later = player.until(lambda shown: shown["step"] >= first["step"] + 3)
    assert (later["place"], later["driver"], later["seed"]) == ("real", "agent", 4)
    assert sum(later["wish"]["shares"]) == pytest.approx(1.0, abs=0.01)
    assert {"real", "seen", "drawn", "missed", "guess 1"} <= set(later["pictures"])
    assert later["pictures"]["seen"].shape == (64, 64, 3)
    assert later["pictures"]["real"].std() > 0


def test_a_person_steers_pauses_steps_goes_back_and_falls_asleep(player: Player) -> None:
    player.say(do="driver", driver="you")
    player.say(do="keys", keys=["up"])
    player.until(lambda shown: shown["driver"] == "you" and shown["step"] >= 8)
    player.say(do="pause", on=True)
    paused = player.until(lambda shown: shown["paused"])
    player.say(do="step")
    assert player.until(lambda shown: shown["step"] > paused["step"])["step"] == paused["step"] + 1
    player.say(do="back", value=5)
    back = player.until(lambda shown: shown["step"] == paused["step"] - 4)
    player.say(do="swap")
    asleep = player.until(lambda shown: shown["place"] == "dream")
    assert asleep["dream_step"] == 0 and "real" not in asleep["pictures"]
    player.say(do="change", index=0, value=3.5)
    assert player.until(lambda shown: shown["z"][0] == 3.5)["paused"]
    player.say(do="warm", value=1.5)
    assert player.until(lambda shown: shown["temperature"] == 1.5)["z"][0] == 3.5
    player.say(do="pause", on=False)
    player.until(lambda shown: shown["dream_step"] >= 3 or shown["dream_over"])
    player.say(do="swap")
    awake = player.until(lambda shown: shown["place"] == "real")
    assert back["step"] <= awake["step"] <= back["step"] + 3
    player.say(do="place", place="both")
    both = player.until(lambda shown: shown["place"] == "both")
    assert {"real", "dream"} <= set(both["pictures"])
    player.say(do="begin", value=9)
    assert player.until(lambda shown: shown["seed"] == 9)["step"] <= 2
    player.say(do="looking", on=False)
    player.until(lambda shown: "seen" not in shown["pictures"])
    player.say(do="speed", value=8)
    player.until(lambda shown: shown["speed"] == 8)


def test_nothing_that_is_said_ends_it(player: Player) -> None:
    for text in (
        "",
        "{",
        "[]",
        "3",
        '"x"',
        "null",
        "[" * 2000,
        '{"do": ["keys"]}',
        '{"do": "keys", "keys": "left"}',
        '{"do": "keys", "keys": [1, null, {}, "nothing"]}',
        '{"do": "place", "place": "../.."}',
        '{"do": "place", "place": {}}',
        '{"do": "driver", "driver": null}',
        '{"do": "back", "value": 1e999}',
        '{"do": "back", "value": -5}',
        '{"do": "back", "value": true}',
        '{"do": "begin", "value": 1e300}',
        '{"do": "begin", "value": -1}',
        '{"do": "warm", "value": "hot"}',
        '{"do": "warm", "value": 0}',
        '{"do": "speed", "value": 0}',
        '{"do": "change", "index": 1e9, "value": 1}',
        '{"do": "change", "index": null, "value": 1}',
        '{"do": "close"}',
        '{"do": "__class__", "value": 1}',
    ):
        player.socket.send(text)
    step = player.look()["step"]
    player.say(do="pause", on=False)
    player.say(do="begin", value=5)
    assert player.until(lambda shown: shown["seed"] == 5)["step"] <= max(step, 2)


def test_two_play_at_a_time_and_the_third_is_told(page: Page, player: Player) -> None:
    with ExitStack() as held:
        second = seated(page, held)
        third = held.enter_context(_connected(page))
        assert "close one first" in json.loads(third.recv(timeout=HANG_S))["error"]
        # One who takes nothing holds nobody up.
        shown = second.look()
        assert player.until(lambda one: one["step"] > 5)["step"] > 5 and shown["step"] < 5
    with ExitStack() as held:
        seated(page, held)  # who leaves makes room


def test_an_agent_that_is_none_is_refused(page: Page) -> None:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus), connecting.connect(f"{page.socket}/live/play/nobody"):
        pass
