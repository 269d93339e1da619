"""What an environment of Gymnasium does, held against what it declares.

An environment that breaks its own declaration would be learned from all the same: an observation
of one number fills a row of two, a -1 chooses the last category. So it is refused, with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from curriculum.envs.gym.faults import fault_of
from curriculum.errors import EnvironmentFault

_WAY_OUT = "correct the environment, or what it declares"
_PLAIN_NUMBERS = frozenset({float, int, np.float64, np.float32})
_PLAIN_FLAGS = frozenset({bool, np.bool_})


class Checked:
    """Plays an environment and refuses what it does not declare.

    The first reset and the first step are checked wholly, ranges included. Later ones are checked
    by what costs next to nothing: tuple, shape, dtype, reward and flags. Observations that are not
    one array are checked wholly each time, because what lies outside of such a space has no place
    in a vector.

    Args:
        env_id: the name it goes by.
        env: the environment.
    """

    def __init__(self, env_id: str, env: gymnasium.Env) -> None:
        self._env_id = env_id
        self._env = env
        self._space = env.observation_space
        self._box = isinstance(self._space, spaces.Box)
        self._shape, self._dtype = self._space.shape, self._space.dtype
        self._episodes = 0
        self._steps = 0
        self._reset_known = False
        self._step_known = False

    def reset(self, seed: int) -> Any:
        """Starts an episode and returns its first observation, as the environment gave it.

        Raises:
            EnvironmentFault: it raised, or returned what it does not declare.
        """
        self._episodes, self._steps = self._episodes + 1, 0
        returned = self.call(self._env.reset, seed=seed)
        if not (type(returned) is tuple and len(returned) == 2):
            raise self._fault(f"{_kind(returned)}", "a tuple (observation, info)")
        observation, info = returned
        self._require_info(info)
        self._require_observation(observation, whole=not self._reset_known)
        self._reset_known = True
        return observation

    def hold(self, action: Any, frames: int) -> tuple[Any, float, bool, bool]:
        """Holds an action for so many frames, or until the episode ends.

        Returns:
            The last observation as the environment gave it, summed reward, terminated, truncated.

        Raises:
            EnvironmentFault: see `reset`.
        """
        total = 0.0
        for _ in range(frames):
            self._steps += 1
            try:
                returned = self._env.step(action)
            except (Exception, SystemExit) as e:
                raise self.fault(e) from e
            if not (self._step_known and self._usual(returned)):
                returned = self._looked_at(returned)
            observation, reward, terminated, truncated, _ = returned
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, bool(terminated), bool(truncated)

    def fault(self, error: BaseException) -> BaseException:
        """Returns what is to be raised in place of what the environment raised just now."""
        return fault_of(f"environment {self._env_id}", error, self._where())

    def call(self, act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns what a part of the environment returns.

        Raises:
            EnvironmentFault: it raised, or wished this process to end.
        """
        try:
            return act(*args, **kwargs)
        except (Exception, SystemExit) as e:
            raise self.fault(e) from e

    def _usual(self, returned: Any) -> bool:
        """Whether a step returned what nearly every one does, at a glance."""
        if type(returned) is not tuple or len(returned) != 5:
            return False
        observation, reward, terminated, truncated, info = returned
        return (
            self._plain(observation)
            and type(reward) in _PLAIN_NUMBERS
            and math.isfinite(reward)
            and type(terminated) in _PLAIN_FLAGS
            and type(truncated) in _PLAIN_FLAGS
            and type(info) is dict
        )

    def _plain(self, observation: Any) -> bool:
        return (
            self._box
            and type(observation) is np.ndarray
            and observation.shape == self._shape
            and observation.dtype == self._dtype
        )

    def _looked_at(self, returned: Any) -> tuple[Any, float, bool, bool, Any]:
        """Returns what a step returned with its numbers as ours, or says what is wrong with it."""
        if not (type(returned) is tuple and len(returned) == 5):
            raise self._fault(
                _kind(returned), "a tuple (observation, reward, terminated, truncated, info)"
            )
        observation, reward, terminated, truncated, info = returned
        self._require_info(info)
        self._require_observation(observation, whole=not self._step_known)
        self._step_known = True
        flags = self._flag("terminated", terminated), self._flag("truncated", truncated)
        return observation, self._reward(reward), *flags, info

    def _require_info(self, info: Any) -> None:
        if type(info) is not dict and not isinstance(info, Mapping):
            raise self._fault(f"{_kind(info)} as info", "a dictionary")

    def _require_observation(self, value: Any, whole: bool) -> None:
        if not whole and self._plain(value):
            return
        wrong = mismatch(self._space, value, whole=whole)
        if wrong:
            raise self._fault(*wrong)

    def _reward(self, value: Any) -> float:
        if type(value) not in _PLAIN_NUMBERS and not _is_scalar(value, "biuf"):
            raise self._fault(f"the reward {_kind(value)}", "one number")
        number = float(value)
        if not math.isfinite(number):
            raise self._fault(f"the reward {number}, which is not finite", "a finite number")
        return number

    def _flag(self, name: str, value: Any) -> bool:
        if type(value) in _PLAIN_FLAGS:
            return bool(value)
        if not _is_scalar(value, "biu") or value not in (0, 1):
            raise self._fault(f"{_kind(value)} as {name}", "True or False")
        return bool(value)

    def _where(self) -> str:
        if not self._steps:
            return f"in reset {self._episodes}"
        return f"in step {self._steps} of episode {self._episodes}"

    def _fault(self, came: str, expected: str) -> EnvironmentFault:
        where = self._where()
        return EnvironmentFault(
            f"environment {self._env_id} returned {came} {where}, expected {expected}: {_WAY_OUT}",
            {"env_id": self._env_id, "where": where},
        )


def mismatch(
    space: spaces.Space, value: Any, *, whole: bool, name: str = "an observation"
) -> tuple[str, str] | None:
    """Compares a value with the space that declares it.

    Args:
        space: what is declared.
        value: what came.
        whole: whether the bounds of a Box are looked at as well.
        name: what it is, in words.

    Returns:
        What came and what was expected, in words; None where they fit.
    """
    if isinstance(space, spaces.Box):
        return _box_mismatch(space, value, whole, name)
    if isinstance(space, spaces.Discrete):
        first, last = int(space.start), int(space.start) + int(space.n) - 1
        if _is_scalar(value, "iu") and first <= value <= last:
            return None
        return f"{name} {_kind(value)}", f"an integer in {first}..{last}, as {space} declares"
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return _parts_mismatch(space, value, whole, name)
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return _counts_mismatch(space, value, name)
    return None if space.contains(value) else (f"{name} {_kind(value)}", f"one of {space}")


def _box_mismatch(space: spaces.Box, value: Any, whole: bool, name: str) -> tuple[str, str] | None:
    array, wrong = _numbers(space, value, name)
    if wrong:
        return wrong
    whole_numbers = array.dtype.kind in "biu" and space.dtype.kind in "biu"
    if not whole_numbers and not np.can_cast(array.dtype, space.dtype, "same_kind"):
        hint = ": numbers in 0..1 are not images" if space.dtype == np.uint8 else ""
        return f"{name} of {array.dtype}", f"{space.dtype}, as {_declared(space)}{hint}"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = array[~np.isfinite(array)].flat[0]
        return f"{name} that is not finite, with {bad} in it", "finite numbers"
    if whole or (whole_numbers and array.dtype != space.dtype):
        compared = array if whole_numbers else array.astype(space.dtype)
        outside = (compared < space.low) | (compared > space.high)
        if outside.any():
            place = tuple(int(i) for i in np.argwhere(outside)[0])
            between = f"{space.low[place]} to {space.high[place]}"
            at = f" at {list(place)}" if place else ""
            return f"{name} with {array[place]}{at}", f"{between}, as {_declared(space)}"
    return None


def _counts_mismatch(
    space: spaces.MultiDiscrete | spaces.MultiBinary, value: Any, name: str
) -> tuple[str, str] | None:
    array, wrong = _numbers(space, value, name)
    if wrong:
        return wrong
    low, high = np.int64(0), np.int64(1)
    if isinstance(space, spaces.MultiDiscrete):
        low, high = space.start, space.start + space.nvec - 1
    if array.dtype.kind in "biu" and ((array >= low) & (array <= high)).all():
        return None
    return f"{name} {_kind(value)}", f"integers within {space}"


def _parts_mismatch(
    space: spaces.Dict | spaces.Tuple, value: Any, whole: bool, name: str
) -> tuple[str, str] | None:
    if isinstance(space, spaces.Dict):
        if not isinstance(value, Mapping) or set(value) != set(space.spaces):
            return f"{name} {_kind(value)}", f"a dictionary of {', '.join(map(str, space.spaces))}"
        parts = [(key, part, value[key]) for key, part in space.spaces.items()]
    else:
        if not isinstance(value, tuple | list) or len(value) != len(space.spaces):
            return f"{name} {_kind(value)}", f"a tuple of {len(space.spaces)} parts"
        parts = [(key, *pair) for key, pair in enumerate(zip(space.spaces, value, strict=True))]
    for key, part, given in parts:
        wrong = mismatch(part, given, whole=whole, name=f"{name}'s part {key!r}")
        if wrong:
            return wrong
    return None


def _numbers(
    space: spaces.Space, value: Any, name: str
) -> tuple[np.ndarray, tuple[str, str] | None]:
    """Returns a value as an array, and what is wrong with its kind or shape, if anything."""
    expected = f"numbers of shape {space.shape}, as {_declared(space)}"
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as e:
        return np.zeros(0), (f"{name} that is no array ({e})", expected)
    if array.dtype.kind not in "biuf":
        return array, (f"{name} {_kind(value)}", expected)
    if array.shape != space.shape:
        return array, (
            f"{name} of shape {array.shape}",
            f"shape {space.shape}, as {_declared(space)}",
        )
    return array, None


def _declared(space: spaces.Space) -> str:
    text = str(space)
    return f"{text if len(text) <= 200 else text[:199] + '…'} declares"


def _is_scalar(value: Any, kinds: str) -> bool:
    """Whether a value is one number of these kinds of dtypes, and no array of one."""
    for type_, kind in ((bool, "b"), (int, "i"), (float, "f")):
        if isinstance(value, type_):
            return kind in kinds
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return getattr(value, "shape", None) == () and kind is not None and kind in kinds


def _kind(value: Any) -> str:
    """Shows a value in a few words: its type, and its shape and dtype or itself if it is short."""
    if isinstance(value, np.ndarray) and value.size != 1:
        return f"ndarray of shape {value.shape} and {value.dtype}"
    if isinstance(value, np.ndarray):
        return f"ndarray {value.tolist()} of shape {value.shape} and {value.dtype}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    shown = repr(value)
    return f"{shown if len(shown) <= 60 else shown[:59] + '…'} ({type(value).__name__})"
