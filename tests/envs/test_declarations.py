"""What environments return and take is held against what they declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from curriculum.envs import registry
from curriculum.envs.batch import Batch
from curriculum.envs.contract import check_vector_env, checked_actions
from curriculum.envs.gym.checks import mismatch
from curriculum.envs.gym.singles import Singles
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.envs.registry import make_env, register_env
from curriculum.errors import EnvironmentFault

pytestmark = pytest.mark.gym

WRONG = "an environment returns what it does not declare"
TWO = spaces.Box(-10, 10, (2,), np.float32)
FRAMES = spaces.Box(0, 255, (84, 84, 3), np.uint8)
NOTHING = object()


class Says(gymnasium.Env):
    """Returns what it is told to: from reset, from its `at`-th step on, or in place of a part."""

    def __init__(
        self,
        space: spaces.Space = TWO,
        shows: Any = NOTHING,
        *,
        at: int = 0,
        action_space: spaces.Space | None = None,
        reset: Any = NOTHING,
        step: Any = NOTHING,
        reward: Any = 1.0,
        terminated: Any = False,
        info: Any = NOTHING,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.observation_space = space
        self.action_space = action_space or spaces.Discrete(2)
        self._says, self._at, self._steps = shows, at, 0
        self._reset, self._step = reset, step
        self._reward, self._terminated = reward, terminated
        self._info = {} if info is NOTHING else info
        self.close = close
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._steps = 0
        return (self._shown(), self._info) if self._reset is NOTHING else self._reset

    def step(self, action: Any) -> Any:
        self.taken.append(action)
        self._steps += 1
        if self._step is not NOTHING:
            return self._step
        return self._shown(), self._reward, self._terminated, False, self._info

    def _shown(self) -> Any:
        if self._says is NOTHING or self._steps < self._at:
            self.observation_space.seed(0)
            return self.observation_space.sample()
        return self._says


@pytest.fixture(autouse=True)
def _fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


def played(
    *args: Any, steps: int = 3, observation: str = "state", num_envs: int = 1, **how: Any
) -> Batch:
    """Plays a few steps of an environment that says what it is told to."""
    register_env("Odd-v0", lambda **kwargs: Says(*args, **how))
    env = make_env("Odd-v0", observation, num_envs)
    assert isinstance(env, Batch) and isinstance(env.core, Singles)
    env.reset(list(range(num_envs)))
    for _ in range(steps):
        env.step(
            np.stack([env.spec.action.decode(np.zeros((1, env.spec.action.size)))[0]] * num_envs)
        )
    return env


@pytest.mark.faults(WRONG, expect="a sentence: what came, what was expected, where")
@pytest.mark.parametrize(
    ("space", "shown", "came", "expected"),
    [
        (TWO, np.zeros(1, np.float32), r"of shape \(1,\)", r"shape \(2,\)"),
        (TWO, np.zeros((2, 1), np.float32), r"of shape \(2, 1\)", r"shape \(2,\)"),
        (TWO, np.zeros((1, 2), np.float32), r"of shape \(1, 2\)", r"shape \(2,\)"),
        (TWO, np.float32(1), r"of shape \(\)", r"shape \(2,\)"),
        (TWO, None, "None", "numbers of shape"),
        (TWO, "xy", "'xy'", "numbers of shape"),
        (TWO, np.array([1, None]), "object", "numbers of shape"),
        (TWO, [[1.0], [1.0, 2.0]], "no array", "numbers of shape"),
        (TWO, np.zeros(2, np.complex64), "complex64", "numbers of shape"),
        (TWO, {"x": 1}, "dict", "numbers of shape"),
        (TWO, np.array([0, np.nan], np.float32), "nan in it", "finite"),
        (TWO, np.array([np.inf, 0], np.float32), "inf in it", "finite"),
        (TWO, np.array([11, 0], np.float32), r"11\.0 at \[0\]", r"-10\.0 to 10\.0"),
        (FRAMES, np.full((84, 84, 3), 0.1), "float64", "uint8.*0..1 are not images"),
        (FRAMES, np.full((84, 84, 3), 200.0, np.float32), "float32", "uint8"),
        (FRAMES, np.full((84, 84, 3), 256), "256", "0 to 255"),
        (FRAMES, np.full((84, 84, 3), -1), "-1", "0 to 255"),
        (FRAMES, np.zeros((3, 84, 84), np.uint8), r"\(3, 84, 84\)", r"\(84, 84, 3\)"),
        (FRAMES, np.zeros((84, 84), np.uint8), r"\(84, 84\)", r"\(84, 84, 3\)"),
        (FRAMES, np.zeros((84, 84, 1), np.uint8), r"\(84, 84, 1\)", r"\(84, 84, 3\)"),
        (spaces.Discrete(11), -1, "-1", r"0\.\.10"),
        (spaces.Discrete(11), 11, "11", r"0\.\.10"),
        (spaces.Discrete(3, start=5), 2, "2", r"5\.\.7"),
        (spaces.Discrete(3, start=5), 8, "8", r"5\.\.7"),
        (spaces.Discrete(3), 1.0, r"1\.0", r"0\.\.2"),
        (spaces.Discrete(3), np.array([1]), "ndarray", r"0\.\.2"),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 3]), "ndarray", "MultiDiscrete"),
        (spaces.MultiDiscrete([2, 3]), np.array([-1, 0]), "ndarray", "MultiDiscrete"),
        (spaces.MultiBinary(2), np.array([0, 2]), "ndarray", "MultiBinary"),
        (spaces.MultiBinary(2), np.array([0.5, 0]), "ndarray", "MultiBinary"),
        (spaces.Dict({"a": TWO}), {"b": np.zeros(2)}, "dict", "dictionary of a"),
        (spaces.Dict({"a": TWO}), {"a": np.zeros(3)}, r"part 'a' of shape \(3,\)", "shape"),
        (spaces.Tuple([TWO, TWO]), (np.zeros(2),), "tuple", "2 parts"),
        (spaces.Tuple([TWO, spaces.Discrete(2)]), (np.zeros(2), 2), "part 1 2", r"0\.\.1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("at", [0, 1], ids=["reset", "step"])
def test_an_observation_that_is_not_declared_is_refused(
    space: spaces.Space, shown: Any, came: str, expected: str, at: int
) -> None:
    where = "in step 1 of episode 1" if at else "in reset 1"
    observation = "pixels" if space is FRAMES else "state"
    with pytest.raises(EnvironmentFault, match=f"Odd-v0 returned .*{came}.* {where}, .*{expected}"):
        played(space, shown, at=at, observation=observation)


@pytest.mark.parametrize(
    ("space", "shown", "flat"),
    [
        (TWO, [1, 2], [1, 2]),
        (TWO, (1.5, 2), [1.5, 2]),
        (TWO, np.array([1, 2], np.float64), [1, 2]),
        (TWO, np.array([True, False]), [1, 0]),
        (spaces.Box(0, 9, (2,), np.int64), np.array([3, 4], np.int8), [3, 4]),
        (spaces.Box(0.1, 1, (1,), np.float32), np.array([0.1]), [0.1]),
        (spaces.Box(0, 1, (), np.float32), 0.5, [0.5]),
        (spaces.Discrete(3, start=5), np.int64(7), [0, 0, 1]),
        (spaces.Discrete(3), np.array(1), [0, 1, 0]),
        (spaces.MultiBinary(2), np.array([1, 0], np.int8), [1, 0]),
        (spaces.MultiDiscrete([2, 2]), np.array([1, 0]), [0, 1, 1, 0]),
        (spaces.Dict({"a": TWO, "b": spaces.Discrete(2)}), {"a": [1, 2], "b": 1}, [1, 2, 0, 1]),
        (spaces.Tuple([spaces.Discrete(2), TWO]), (0, np.ones(2)), [1, 0, 1, 1]),
    ],
    ids=str,
)
def test_what_can_be_cast_is_taken_as_it_is_meant(
    space: spaces.Space, shown: Any, flat: list[float]
) -> None:
    env = played(space, shown)
    np.testing.assert_array_equal(env.reset([0])[0], np.array(flat, np.float32))


@pytest.mark.faults(WRONG + ", only later", expect="a sentence")
@pytest.mark.parametrize(
    ("space", "shown", "came"),
    [
        (TWO, np.zeros(3, np.float32), r"\(3,\)"),
        (TWO, np.array(["a", "b"]), "ndarray"),
        (TWO, np.array([np.nan, 0], np.float32), "not finite"),
        (TWO, np.array([1e300, 0]), "not finite"),
        (spaces.Discrete(4), 4, "4"),
    ],
    ids=str,
)
def test_what_goes_wrong_later_is_found_when_it_does(
    space: spaces.Space, shown: Any, came: str
) -> None:
    with np.errstate(over="ignore"), pytest.raises(EnvironmentFault, match=f"{came}.*step 3"):
        played(space, shown, at=3)


@pytest.mark.faults("reset or step returns no such tuple", expect="a sentence")
@pytest.mark.parametrize(
    ("how", "came"),
    [
        ({"reset": np.zeros(2, np.float32)}, r"ndarray of shape \(2,\).*reset 1.*info"),
        ({"reset": [np.zeros(2, np.float32), {}]}, "list of 2"),
        ({"reset": (np.zeros(2, np.float32),)}, "tuple of 1"),
        ({"reset": None}, "None"),
        ({"reset": (np.zeros(2, np.float32), None)}, "None .* as info"),
        ({"reset": (np.float32(1), np.float32(2))}, ".* as info"),
        ({"step": (np.zeros(2, np.float32), 1.0, False, {})}, "tuple of 4 in step 1"),
        ({"step": np.zeros(5)}, "ndarray"),
        ({"step": None}, "None"),
        ({"info": None}, "None .* as info"),
        ({"info": "fine"}, "'fine' .* as info"),
    ],
    ids=str,
)
def test_reset_returns_two_things_and_step_five(how: dict[str, Any], came: str) -> None:
    with pytest.raises(EnvironmentFault, match=f"Odd-v0 returned {came}"):
        played(**how)


@pytest.mark.faults("a reward or a flag that is none", expect="a sentence")
@pytest.mark.parametrize(
    ("how", "came"),
    [
        ({"reward": np.ones(1)}, r"\[1.0\] of shape \(1,\)"),
        ({"reward": [1.0]}, "list"),
        ({"reward": None}, "None"),
        ({"reward": "1"}, "'1'"),
        ({"reward": 1j}, "complex"),
        ({"reward": np.nan}, "nan, which is not finite"),
        ({"reward": np.float32(-np.inf)}, "inf, which is not finite"),
        ({"terminated": np.array([True])}, r"of shape \(1,\).* as terminated"),
        ({"terminated": None}, "None .* as terminated"),
        ({"terminated": "no"}, "'no' .* as terminated"),
        ({"terminated": 2}, "2 .* as terminated"),
        ({"terminated": 1.0}, "1.0 .* as terminated"),
    ],
    ids=str,
)
def test_a_reward_is_one_finite_number_and_a_flag_is_one(how: dict[str, Any], came: str) -> None:
    with pytest.raises(EnvironmentFault, match=f"{came}.* in step 1 of episode 1"):
        played(**how)


@pytest.mark.parametrize("reward", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0)], ids=repr)
@pytest.mark.parametrize("over", [True, np.True_, 1, np.array(True)], ids=repr)
def test_scalars_of_any_kind_are_numbers_and_flags(reward: Any, over: Any) -> None:
    env = played(reward=reward, terminated=over, steps=0)
    step = env.step(np.array([0]))
    assert step.rewards.tolist() == [2.0] and step.rewards.dtype == np.float32
    assert step.terminated.tolist() == [True]


def test_an_environment_that_changes_its_array_later_changes_nothing_that_was_seen() -> None:
    shown = np.ones(2, np.float32)
    env = played(TWO, shown, steps=0)
    before = env.reset([0])
    shown[:] = 7
    assert (before == 1).all()
    after = env.step(np.array([0])).observations
    shown[:] = 9
    assert (before == 1).all() and (after == 7).all()
    frame = np.ones((64, 64, 1), np.uint8)
    env = played(spaces.Box(0, 255, (64, 64, 1), np.uint8), frame, observation="pixels", steps=0)
    before = env.reset([0])
    frame[:] = 7
    assert (before == 1).all()


def test_the_old_four_values_inside_a_wrapper_are_explained() -> None:
    register_env(
        "Odd-v0", lambda **kw: TimeLimit(Says(step=(np.zeros(2, np.float32), 1.0, False, {})), 9)
    )
    env = make_env("Odd-v0", "state", 1)
    env.reset([0])
    with pytest.raises(EnvironmentFault, match=r"ValueError.*step returns five"):
        env.step(np.array([0]))


@pytest.mark.faults("a box whose bounds float32 rounds outwards", expect="actions stay inside")
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1), (-0.7, 0.3), (0.1, 0.9), (-1e-3, 1 / 3)])
def test_actions_never_leave_the_declared_box(low: float, high: float, dtype: Any) -> None:
    box = spaces.Box(low, high, (2, 1), dtype)
    register_env("Odd-v0", lambda **kw: Says(action_space=box))
    env = make_env("Odd-v0", "state", 1)
    assert isinstance(env, Batch) and isinstance(env.core, Singles)
    single = env.core.singles[0]._env  # type: ignore[attr-defined]
    env.reset([0])
    for encoded in (-2.0, -1.0, -0.3, 0.5, 1.0, 2.0):
        taken = env.send(env.spec.action.decode(np.full((1, 2), encoded, np.float32)))
        env.recv()
        assert (taken >= np.array(env.spec.action.low)).all()
        assert (taken <= np.array(env.spec.action.high)).all()
    assert all(box.contains(action) for action in single.taken)
    assert single.taken[-1].dtype == dtype
    assert np.allclose(single.taken[-1], box.high, rtol=1e-6)
    drawn = env.spec.action.sample(np.random.default_rng(0))
    assert drawn.dtype == np.float32


def test_bounds_that_float32_holds_are_taken_as_they_are() -> None:
    action = ActionSpec("continuous", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 0.5))
    assert [bound.tolist() for bound in action.bounds] == [[-1, 0, 0], [1, 1, 0.5]]
    taken = checked_actions(EnvSpec("car", "state", (1,), action), 1, np.array([[-3.0, 0.25, 2.0]]))
    assert taken.tolist() == [[-1.0, 0.25, 0.5]] and taken.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_discrete_actions_come_as_the_space_counts_them(dtype: Any) -> None:
    env = played(action_space=spaces.Discrete(3, start=-1, dtype=dtype), steps=0)
    env.step(np.array([2]))
    (taken,) = env.core.singles[0]._env.taken  # type: ignore[attr-defined]
    assert taken == 1 and type(taken) is dtype


@pytest.mark.faults("close raises", expect="a notice, once for all of a batch")
def test_an_environment_whose_close_raises_is_noted() -> None:
    def fall() -> None:
        raise RuntimeError("not connected to the physics server")

    notices: list[str] = []
    register_env("Odd-v0", lambda **kw: Says(close=fall))
    env = make_env("Odd-v0", "state", 3, notice=notices.append)
    env.reset([0, 1, 2])
    env.close()
    env.close()
    assert sum("RuntimeError: not connected" in text for text in notices) == 1


def test_the_contract_reports_what_the_check_finds() -> None:
    register_env("Odd-v0", lambda **kw: Says(TWO, np.zeros(1, np.float32)))
    found = check_vector_env(lambda n: make_env("Odd-v0", "state", n))
    assert found and "of shape (1,)" in found[0]


def test_an_error_of_the_environment_is_told_with_file_and_line() -> None:
    def fall() -> Any:
        raise ArithmeticError("the lander flew away")

    class Falls(Says):
        def step(self, action: Any) -> Any:
            return fall()

    register_env("Odd-v0", lambda **kw: Falls())
    env = make_env("Odd-v0", "state", 1)
    env.reset([0])
    with pytest.raises(EnvironmentFault, match="ArithmeticError: the lander flew away") as told:
        env.step(np.array([0]))
    assert told.value.evidence["file"] == __file__
    assert told.value.evidence["line"] == fall.__code__.co_firstlineno + 1
    assert f"{__file__}, line" in str(told.value)


@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files")], ids=repr)
def test_a_shortage_of_the_machine_is_not_the_environments_fault(error: Exception) -> None:
    class Short(Says):
        def step(self, action: Any) -> Any:
            raise error

    register_env("Odd-v0", lambda **kw: Short())
    env = make_env("Odd-v0", "state", 1)
    env.reset([0])
    with pytest.raises(type(error)):
        env.step(np.array([0]))


def test_nothing_is_wrong_with_what_a_space_draws() -> None:
    for space in (TWO, FRAMES, spaces.Discrete(3, start=5), spaces.MultiBinary((2, 2))):
        assert mismatch(space, space.sample(), whole=True) is None
