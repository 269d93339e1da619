"""Small exact environments, and the misdeeds of theirs that workers have to survive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.envs.contract import Halves, SeedBook, checked_actions, checked_rows
from curriculum.envs.interface import ActionSpec, EnvSpec, Step, VectorEnv
from curriculum.errors import ComponentMissing, ConfigError

Misdeed = Callable[[int, int], None]
"""Is told an environment's seed and the number of its step, from 1, before each step."""


class Walk:
    """A walk of random length for each seed; after a lost life, action 1 is taken."""

    def __init__(self, num_envs: int, misdeed: Misdeed, spec: EnvSpec | None = None) -> None:
        self.spec = spec or EnvSpec(
            "walk", "state", (2,), ActionSpec("discrete", 3), replaces_actions=True
        )
        self.num_envs = num_envs
        self._misdeed = misdeed
        self._halves = Halves("walk")
        self._book = SeedBook(num_envs)
        self._streams = [np.random.default_rng(0)] * num_envs
        self._seeds = np.zeros(num_envs, np.int64)
        self._steps = np.zeros(num_envs, np.int64)
        self._live = np.zeros(num_envs, np.bool_)
        self._lost = np.zeros(num_envs, np.bool_)
        self._places = np.zeros((num_envs, *self.spec.shape), np.float32)

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        self._halves.refuse_within_step("reset")
        rows = checked_rows(self.num_envs, seeds, indices)
        for row, seed in zip(rows.tolist(), self._book.take(rows, seeds), strict=True):
            self._misdeed(seed, 0)
            self._streams[row] = np.random.default_rng(seed)
            self._seeds[row] = seed
            self._places[row] = self._streams[row].normal(size=self.spec.shape)
        self._live[rows], self._lost[rows], self._steps[rows] = True, False, 0
        return self._seen()

    def send(self, actions: np.ndarray) -> np.ndarray:
        chosen = checked_actions(self.spec, self.num_envs, actions)
        if self.spec.action.kind == "discrete":
            chosen = np.where(self._lost, 1, chosen)
        return self._halves.send(chosen)

    def recv(self) -> Step:
        chosen = self._halves.recv()
        live = self._live.copy()
        self._lost[:] = False
        for row in np.flatnonzero(live).tolist():
            self._steps[row] += 1
            self._misdeed(int(self._seeds[row]), int(self._steps[row]))
            noise = self._streams[row].normal(size=self.spec.shape)
            self._places[row] += noise + np.sum(chosen[row])
            self._lost[row] = self._streams[row].random() < 0.2
        sums = self._places.reshape(self.num_envs, -1).sum(axis=1)
        terminated = live & (np.abs(sums) > 60)
        truncated = live & ~terminated & (self._steps >= 5 + self._seeds % 40)
        self._live = live & ~(terminated | truncated)
        self._lost &= self._live
        rewards = np.where(live, sums, 0).astype(np.float32)
        return Step(self._seen(), rewards, terminated, truncated, self._lost.copy())

    def step(self, actions: np.ndarray) -> Step:
        self.send(actions)
        return self.recv()

    def close(self) -> None:
        pass

    def _seen(self) -> np.ndarray:
        if self.spec.observation == "pixels":
            return (np.abs(self._places) * 10 % 256).astype(np.uint8)
        return self._places.copy()


def walk(num_envs: int) -> Walk:
    return Walk(num_envs, lambda seed, step: None)


def picture_walk(num_envs: int) -> Walk:
    action = ActionSpec("continuous", 2, (-1.0, 0.0), (1.0, 0.5))
    return Walk(num_envs, lambda seed, step: None, EnvSpec("walk", "pixels", (8, 6, 3), action))


def closing_walk(mark: str, num_envs: int) -> Walk:
    env = walk(num_envs)
    env.close = Path(mark).touch
    return env


def lander(num_envs: int) -> VectorEnv:
    from curriculum.envs.registry import make_env

    return make_env("LunarLander-v3", "state", num_envs)


def troubled(how: str, seed: int, step: int, mark: str, num_envs: int) -> Walk:
    """A walk that misbehaves at one step of one episode; only once if there is a mark to leave."""

    def misdeed(at_seed: int, at_step: int) -> None:
        if (at_seed, at_step) == (seed, step) and not (mark and Path(mark).exists()):
            if mark:
                Path(mark).touch()
            MISDEEDS[how]()

    return Walk(num_envs, misdeed)


def never_works(how: str, num_envs: int) -> Walk:
    def misdeed(seed: int, step: int) -> None:
        if step == 1:
            MISDEEDS[how]()

    return Walk(num_envs, misdeed)


class Fickle(Walk):
    """Goes another way each time: one environment's observations, or their number."""

    def __init__(self, num_envs: int, seed: int, what: str) -> None:
        super().__init__(num_envs, lambda seed, step: None)
        self._fickle, self._what = seed, what
        self._chance = np.random.default_rng()

    def recv(self) -> Step:
        fickle = self._seeds == self._fickle
        if self._what == "observations":
            self._places[fickle, 0] += self._chance.normal()
            return super().recv()
        # A process is as old as its environment; only a younger one ends the episode early.
        if Path(self._what).exists() and (self._steps[fickle] == 2).any():
            self._steps[fickle] = 1000
        return super().recv()


def fickle(seed: int, what: str, num_envs: int) -> Walk:
    return Fickle(num_envs, seed, what)


def leaking(bytes_per_reset: int, num_envs: int) -> Walk:
    kept: list[bytes] = []

    def misdeed(seed: int, step: int) -> None:
        if step == 0:
            kept.append(b"x" * bytes_per_reset)

    return Walk(num_envs, misdeed)


def slow(seconds: float, num_envs: int) -> Walk:
    return Walk(num_envs, lambda seed, step: time.sleep(seconds if step else 0.0))


def waiting(directory: str, num_envs: int) -> Walk:
    """Leaves a mark at each step and waits until somebody else leaves the mark to go on."""

    def misdeed(seed: int, step: int) -> None:
        if step:
            (Path(directory) / str(os.getpid())).touch()
            while not (Path(directory) / "go on").exists():
                time.sleep(0.01)

    return Walk(num_envs, misdeed)


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
        return Walk(num_envs, lambda *_: None, spec)
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
