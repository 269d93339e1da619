"""The door's judgement: of deaths, of stillness, and of who says what."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from curriculum.door.faults import TRIES, TRIES_FROM_OUTSIDE, Death, Faults
from curriculum.door.messages import DoorEnd, EngineEnd
from curriculum.door.watch import Reading, Stillness
from curriculum.progress import Orders

PLACE = {"task": "pong", "mode": "FULL", "round": 0, "stage": "vision"}


def crash(**facts: Any) -> Death:
    return Death("died of SIGSEGV", 11, **{"place": PLACE, **facts})


def test_a_mode_is_given_up_after_deaths_in_a_row_and_a_commit_between_forgives_them() -> None:
    faults = Faults()
    for _ in range(TRIES - 1):
        faults.add(crash())
    faults.add(crash(kept=True))
    assert not faults.given_up
    for _ in range(TRIES - 1):
        faults.add(crash())
    (given_up,) = faults.given_up
    assert (given_up["task"], given_up["mode"]) == ("pong", "FULL")
    assert not faults.end and not faults.broken


def test_a_component_is_out_when_importing_it_killed_two_engines() -> None:
    faults = Faults()
    assert "again" in faults.add(crash(importing="torch"))
    faults.add(crash(importing="torch"))
    assert list(faults.broken) == ["torch"] and not faults.given_up


def test_kills_from_outside_are_borne_for_long_but_not_for_ever() -> None:
    faults = Faults()
    killed = Death("died of SIGKILL", 9, importing="torch", place=PLACE)
    for _ in range(TRIES_FROM_OUTSIDE - 1):
        faults.add(killed)
    assert not faults.broken
    faults.add(killed)
    assert list(faults.broken) == ["torch"]


def test_a_death_nowhere_ends_the_command() -> None:
    faults = Faults()
    for _ in range(TRIES):
        faults.add(Death("exited with 0 without a result"))
    assert faults.end


def test_a_death_names_the_library_that_its_thread_was_in() -> None:
    words = (
        'Thread 0x1 (most recent call first):\n  File "/x/site-packages/cma/s.py", line 3 in f\n'
        'Current thread 0x2 (most recent call first):\n  File "/x/site-packages/torch/nn.py", line '
        '7 in g\n  File "/x/site-packages/gymnasium/core.py", line 1 in h\n'
    )
    death = crash(words=words)
    assert death.component == "torch"
    assert death.where == "in pong FULL vision, at /x/site-packages/torch/nn.py:7"


class Times:
    """A clock, and what a process has used by it."""

    def __init__(self) -> None:
        self.now, self.cpu, self.waited, self.held = 0.0, 0.0, 0.0, False

    def clock(self) -> float:
        return self.now

    def read(self, pid: int) -> Reading:
        return Reading({pid: self.cpu}, self.waited, self.held)

    def pass_seconds(self, seconds: int, stillness: Stillness, **used: float) -> float:
        for _ in range(seconds):
            self.now += 1.0
            for name, share in used.items():
                setattr(self, name, getattr(self, name) + share)
            still = stillness.still_s()
        return still


def test_who_uses_nothing_stands_still_and_who_is_starved_or_held_does_not() -> None:
    times = Times()
    stillness = Stillness(1, times.clock, times.read)
    assert times.pass_seconds(10, stillness, cpu=1.0) == 0.0
    assert times.pass_seconds(10, stillness, waited=1.0) == 0.0
    assert times.pass_seconds(10, stillness, cpu=0.01) == 10.0
    stillness.alive()
    assert times.pass_seconds(5, stillness) == 5.0
    times.held = True
    assert times.pass_seconds(5, stillness) == 0.0


def test_what_an_import_burns_is_counted_from_its_beginning() -> None:
    times = Times()
    stillness = Stillness(1, times.clock, times.read)
    times.pass_seconds(10, stillness, cpu=1.0)
    stillness.begin()
    times.pass_seconds(7, stillness, cpu=1.0)
    assert stillness.used_s == pytest.approx(7.0) and stillness.lasted_s == pytest.approx(7.0)


def test_only_signed_messages_are_believed() -> None:
    ours, theirs = socket.socketpair()
    door = DoorEnd(ours, "secret")
    door.order(Orders(broken={"torch": "gone"}))
    engine = EngineEnd(theirs)
    assert engine.orders.broken == {"torch": "gone"}
    theirs.sendall(b'{"kind": "result", "code": 0}\nnonsense\n[1]\n')
    theirs.sendall(json.dumps({"nonce": "guessed", "kind": "result", "code": 0}).encode() + b"\n")
    engine.tell("result", code=3)
    assert door.messages() == [{"kind": "result", "code": 3}]
    theirs.close()
    assert door.messages() == [] and not door.open
    door.close()


def test_an_engine_never_waits_for_a_door_that_does_not_listen() -> None:
    ours, theirs = socket.socketpair()
    door = DoorEnd(ours, "secret")
    door.order(Orders())
    engine = EngineEnd(theirs)
    for _ in range(100_000):
        engine.tell("alive")
    assert door.messages()
    ours.close()
    engine.tell("result", code=0)
    theirs.close()
