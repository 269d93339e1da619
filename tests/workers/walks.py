"""Small exact environments, and the misdeeds of theirs that workers have to survive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.envs.batch import Batch, Outcome, Rows, Slots
from curriculum.envs.interface import ActionSpec, EnvSpec, VectorEnv
from curriculum.errors import ComponentMissing, ConfigError

Misdeed = Callable[[int, int], None]
"""Is told an environment's seed and the number of its step, from 1, before each step."""


class Walking:
    """Walks of random length for each seed; after a lost life, action 1 is taken.

    Unless another spec is given they tell how far each is, and whether it has lost a life.
    """

    def __init__(self, num_envs: int, misdeed: Misdeed, spec: EnvSpec | None = None) -> None:
        self.spec = spec or EnvSpec(
            "walk",
            "state",
            (2,),
            ActionSpec("discrete", 3),
            replaces_actions=True,
            facts=("far", "lost"),
        )
        self.num_envs = num_envs
        self.seeds = np.zeros(num_envs, np.int64)
        self.places = np.zeros((num_envs, *self.spec.shape), np.float32)
        self._misdeed = misdeed
        self._streams = [np.random.default_rng(0)] * num_envs
        self._lost = np.zeros(num_envs, np.bool_)

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self._misdeed(seed, 0)
            self._streams[row] = np.random.default_rng(seed)
            self.seeds[row] = seed
            self.places[row] = self._streams[row].normal(size=self.spec.shape)
        self._lost[rows] = False
        return self._seen()[rows]

    def go_on(
        self, rows: Rows, seeds: list[int], slots: Slots, following: Callable[[int], int | None]
    ) -> np.ndarray:
        return self.begin(rows, seeds, slots)

    def start(self, actions: np.ndarray, slots: Slots) -> np.ndarray:
        return np.where(self._lost, 1, actions) if self.spec.replaces_actions else actions

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        self._lost = np.zeros(self.num_envs, np.bool_)
        for row in np.flatnonzero(slots.live).tolist():
            self._misdeed(int(self.seeds[row]), int(slots.ages[row]) + 1)
            noise = self._streams[row].normal(size=self.spec.shape)
            self.places[row] += noise + np.sum(actions[row])
            self._lost[row] = self._streams[row].random() < 0.2
        sums = self.places.reshape(self.num_envs, -1).sum(axis=1)
        terminated = slots.live & (np.abs(sums) > 60)
        truncated = slots.live & (slots.ages + 1 >= 5 + self.seeds % 40)
        self._lost &= ~(terminated | truncated)
        facts = np.stack([np.abs(sums), self._lost], axis=1) if self.spec.facts else None
        return Outcome(self._seen(), sums, terminated, truncated, self._lost.copy(), facts)

    def close(self) -> None:
        pass

    def _seen(self) -> np.ndarray:
        if self.spec.observation == "pixels":
            return (np.abs(self.places) * 10 % 256).astype(np.uint8)
        return self.places.copy()


def misled(num_envs: int, misdeed: Misdeed, spec: EnvSpec | None = None) -> Batch:
    return Batch(Walking(num_envs, misdeed, spec))


def walk(num_envs: int) -> Batch:
    return misled(num_envs, lambda seed, step: None)


def picture_walk(num_envs: int) -> Batch:
    action = ActionSpec("continuous", 2, (-1.0, 0.0), (1.0, 0.5))
    return misled(num_envs, lambda seed, step: None, EnvSpec("walk", "pixels", (8, 6, 3), action))


def closing_walk(mark: str, num_envs: int) -> Batch:
    env = walk(num_envs)
    env.core.close = Path(mark).touch
    return env


def lander(num_envs: int) -> VectorEnv:
    from curriculum.envs.registry import make_env

    return make_env("LunarLander-v3", "state", num_envs)


def troubled(how: str, seed: int, step: int, mark: str, num_envs: int) -> Batch:
    """A walk that misbehaves at one step of one episode; only once if there is a mark to leave."""

    def misdeed(at_seed: int, at_step: int) -> None:
        if (at_seed, at_step) == (seed, step) and not (mark and Path(mark).exists()):
            if mark:
                Path(mark).touch()
            MISDEEDS[how]()

    return misled(num_envs, misdeed)


def never_works(how: str, num_envs: int) -> Batch:
    def misdeed(seed: int, step: int) -> None:
        if step == 1:
            MISDEEDS[how]()

    return misled(num_envs, misdeed)


class Fickle(Walking):
    """Goes another way each time: one environment's observations, or their number."""

    def __init__(self, num_envs: int, seed: int, what: str) -> None:
        super().__init__(num_envs, lambda seed, step: None)
        self._fickle, self._what = seed, what
        self._chance = np.random.default_rng()

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        fickle = self.seeds == self._fickle
        if self._what == "observations":
            self.places[fickle, 0] += self._chance.normal()
            return super().advance(actions, slots)
        # A process is as old as its environment; only a younger one ends the episode early.
        early = Path(self._what).exists() and (slots.ages[fickle] == 2).any()
        outcome = super().advance(actions, slots)
        return outcome._replace(truncated=outcome.truncated | fickle) if early else outcome


def fickle(seed: int, what: str, num_envs: int) -> Batch:
    return Batch(Fickle(num_envs, seed, what))


def leaking(bytes_per_reset: int, num_envs: int) -> Batch:
    kept: list[bytes] = []

    def misdeed(seed: int, step: int) -> None:
        if step == 0:
            kept.append(b"x" * bytes_per_reset)

    return misled(num_envs, misdeed)


def slow(seconds: float, num_envs: int) -> Batch:
    return misled(num_envs, lambda seed, step: time.sleep(seconds if step else 0.0))


def waiting(directory: str, num_envs: int) -> Batch:
    """Leaves a mark at each step and waits until somebody else leaves the mark to go on."""

    def misdeed(seed: int, step: int) -> None:
        if step:
            (Path(directory) / str(os.getpid())).touch()
            while not (Path(directory) / "go on").exists():
                time.sleep(0.01)

    return misled(num_envs, misdeed)


class Stubborn(Exception):
    """An error that cannot be sent to another process."""

    def __init__(self, what: str, when: str) -> None:
        super().__init__(what)


def unbuildable(how: str, num_envs: int) -> Any:
    if how == "dies":
        print("these are the last words", flush=True)
        os.abort()
    if how == "hangs":
        time.sleep(10**6)
    if how == "differs":
        spec = EnvSpec(f"walk {num_envs}", "state", (2,), ONE, replaces_actions=True)
        return misled(num_envs, lambda *_: None, spec)
    raise {
        "config": ConfigError("no such environment; choose another"),
        "missing": ComponentMissing("a package is missing; install it"),
        "stubborn": Stubborn("stubborn", "always"),
    }[how]


ONE = ActionSpec("discrete", 1)


def _raise() -> None:
    raise ArithmeticError("the walker fell")


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _loop() -> None:
    while True:
        pass


MISDEEDS: dict[str, Callable[[], None]] = {
    "raises": _raise,
    "stopped": _stop,
    "killed": _kill,
    "loops": _loop,
    "exits": lambda: os._exit(3),
    "aborts": os.abort,
}
