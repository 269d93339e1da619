"""Which keys do which action: arrows and space, or the numbers of actions that have no meaning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curriculum.envs.interface import ActionSpec, EnvSpec

LEFT, RIGHT, UP, DOWN, FIRE = "left", "right", "up", "down", "fire"
DIGITS = tuple("0123456789")
KEYS = (LEFT, RIGHT, UP, DOWN, FIRE, *DIGITS)
"""What a person can hold."""

_ATARI = {
    # NOOP, FIRE, RIGHT, LEFT, and with FIRE: the minimal sets of both games.
    "pong": {frozenset(): 0, frozenset({FIRE}): 1, frozenset({UP}): 2, frozenset({DOWN}): 3},
    "breakout": {frozenset(): 0, frozenset({FIRE}): 1, frozenset({RIGHT}): 2, frozenset({LEFT}): 3},
}
_LANDER = {
    frozenset(): 0,
    frozenset({LEFT}): 1,
    frozenset({UP}): 2,
    frozenset({RIGHT}): 3,
}
_CARTPOLE = {frozenset({LEFT}): 0, frozenset({RIGHT}): 1}


_PADDLE, _PUSH, _LAND, _DRIVE = (
    "↑ ↓ move the paddle",
    "← → push the cart",
    "↑ main engine, ← → side engines",
    "← → steer, ↑ gas, ↓ brake",
)
_SERVE = "← → move the paddle, space serves"
_NAMES = {
    _PADDLE: ("wait", "fire", "up", "down", "up, fire", "down, fire"),
    _SERVE: ("wait", "serve", "right", "left"),
    _LAND: ("wait", "left engine", "main engine", "right engine"),
    _PUSH: ("left", "right"),
}


@dataclass(frozen=True)
class KeyMap:
    """What held keys do in an environment.

    Attributes:
        action: its action space.
        held: sets of keys that have an action each; what is not there is nearest to one that is.
        words: what a person is told of the keys.
    """

    action: ActionSpec
    held: Mapping[frozenset[str], int]
    words: str

    @classmethod
    def of(cls, spec: EnvSpec) -> KeyMap:
        """Returns the keys of an environment."""
        name, action = spec.env_id.lower(), spec.action
        if action.kind == "continuous":
            return cls(action, {}, "arrows: the first two numbers; 1 to 9: a number's upper bound")
        if action.meanings and len(action.meanings[0]) == 3 and "car" in name:
            return cls(action, {}, _DRIVE)
        known: tuple[tuple[str, int, Mapping[frozenset[str], int], str], ...] = (
            ("pong", 6, _ATARI["pong"], _PADDLE),
            ("breakout", 4, _ATARI["breakout"], _SERVE),
            ("lander", 4, _LANDER, _LAND),
            ("cartpole", 2, _CARTPOLE, _PUSH),
        )
        for part, size, held, words in known:
            if part in name and action.size == size:
                return cls(action, held, words)
        return cls(action, {}, f"0 to {min(9, action.size - 1)}: the number of an action")

    def names(self) -> list[str]:
        """Returns what a person is told of each action, or of each number of continuous ones."""
        action = self.action
        if action.kind == "continuous":
            return [f"number {n + 1}" for n in range(action.size)]
        if action.meanings:
            return [_words(vector, self.words) for vector in action.meanings]
        return list(_NAMES.get(self.words, [f"action {n}" for n in range(action.size)]))

    def chosen(self, keys: Collection[str]) -> np.ndarray:
        """Returns the action of held keys: an int64 scalar, or `[A]` float32 in the bounds."""
        if self.action.kind == "continuous":
            return self._numbers(keys)
        if self.held:
            return np.asarray(self._nearest(frozenset(keys)), np.int64)
        if self.action.meanings and len(self.action.meanings[0]) == 3:
            return np.asarray(self._driving(keys), np.int64)
        digits = [int(key) for key in keys if key in DIGITS and int(key) < self.action.size]
        return np.asarray(digits[0] if digits else 0, np.int64)

    def _nearest(self, keys: frozenset[str]) -> int:
        """The action whose keys are held, and most of them; others mean nothing."""
        fitting = [held for held in self.held if held <= keys]
        best = max(fitting, key=len, default=None)
        return self.held[best] if best is not None else next(iter(self.held.values()))

    def _driving(self, keys: Collection[str]) -> int:
        """The choice of the table that is nearest to what the keys say."""
        steer = (RIGHT in keys) - (LEFT in keys)
        wanted = np.array([0.6 * steer, float(UP in keys), 0.8 * (DOWN in keys)])
        apart = np.square(np.asarray(self.action.meanings) - wanted).sum(axis=1)
        return int(np.argmin(apart))

    def _numbers(self, keys: Collection[str]) -> np.ndarray:
        low, high = self.action.bounds
        wanted = np.clip(np.zeros(self.action.size, np.float32), low, high)
        for index, (less, more) in enumerate(((LEFT, RIGHT), (DOWN, UP))):
            if index < self.action.size:
                wanted[index] = high[index] if more in keys else wanted[index]
                wanted[index] = low[index] if less in keys else wanted[index]
        for key in keys:
            if key in DIGITS[1:] and int(key) <= self.action.size:
                wanted[int(key) - 1] = high[int(key) - 1]
        return wanted


def _words(vector: Sequence[float], words: str) -> str:
    if words != _DRIVE:
        return ", ".join(f"{number:g}" for number in vector)
    steer, gas, brake = vector
    parts = [
        *([f"{'left' if steer < 0 else 'right'} {abs(steer):.2g}"] if steer else []),
        *([f"gas {gas:.2g}"] if gas else []),
        *([f"brake {brake:.2g}"] if brake else []),
    ]
    return ", ".join(parts) or "roll"
