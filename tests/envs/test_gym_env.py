"""Any Gymnasium environment, registered by anyone, seen by pixels or state."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from curriculum.envs import registry
from curriculum.envs.area import luminance, resize_area
from curriculum.envs.batch import Batch
from curriculum.envs.contract import check_vector_env
from curriculum.envs.gym.singles import GymSingle, Singles
from curriculum.envs.gym.view import view_of
from curriculum.envs.registry import make_env, register_env, registered
from curriculum.envs.workers import Workers
from curriculum.errors import ComponentMissing, ConfigError, EnvironmentFault

pytestmark = pytest.mark.gym


class Counter(gymnasium.Env):
    """Counts its frames, rewards each with its number and ends at `length`."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        length: int = 7,
        action_space: spaces.Space | None = None,
        observation_space: spaces.Space | None = None,
        reward: float = 1.0,
        render_mode: str | None = None,
    ) -> None:
        self.action_space = action_space or spaces.Discrete(3, start=5)
        self.observation_space = observation_space or spaces.Box(0, 255, (2, 2), np.float32)
        self.render_mode = render_mode
        self.actions: list[Any] = []
        self._length, self._reward, self._count = length, reward, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self._count = 0
        return self._seen(), {}

    def step(self, action: Any):
        assert self.action_space.contains(action), action
        self.actions.append(action)
        self._count += 1
        over = self._count >= self._length
        return self._seen(), self._reward * self._count, over, over, {}

    def render(self):
        return np.full((30, 50, 3), self._count, np.uint8)

    def _seen(self) -> np.ndarray:
        space = self.observation_space
        return np.full(space.shape, self._count, space.dtype)


@pytest.fixture(autouse=True)
def _fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


def counter(num_envs: int = 1, observation: str = "state", **options) -> Batch:
    """A batch of registered counters."""
    register_env("Counter", Counter)
    env = make_env("Counter", observation, num_envs, **options)
    assert isinstance(env, Batch) and isinstance(env.core, Singles)
    return env


def batch(env_id: str, envs: list[gymnasium.Env], observation: str, **options: Any) -> Batch:
    """A batch of environments that are not registered."""
    view = view_of(env_id, envs[0], observation, **options)
    return Batch(Singles(view.spec, [GymSingle(env, view) for env in envs]))


def test_one_call_registers_a_custom_environment() -> None:
    env = counter(2, kwargs={"length": 3})
    assert env.spec.env_id == "Counter"
    assert list(registered()) == ["Counter"]
    assert env.spec.shape == (4,)
    assert env.spec.action.size == 3
    with pytest.raises(TypeError):
        registered()["Other"] = Counter  # type: ignore[index]
    with pytest.raises(ConfigError, match="did you mean Counter"):
        make_env("Countr", "state", 1)


def test_a_registered_environment_keeps_the_contract() -> None:
    register_env("Counter", Counter)
    assert check_vector_env(lambda n: make_env("Counter", "state", n)) == []
    assert check_vector_env(lambda n: make_env("Counter", "pixels", n)) == []


def test_rewards_of_skipped_frames_add_up_and_stop_with_the_episode() -> None:
    env = counter(frame_skip=4)
    env.reset([0])
    first, second = env.step(np.array([0])), env.step(np.array([0]))
    assert first.rewards[0] == 1 + 2 + 3 + 4
    assert second.rewards[0] == 5 + 6 + 7
    assert second.observations[0, 0] == 7
    assert second.terminated[0]
    assert not second.truncated[0], "an end comes before a time limit"


def test_the_limit_counts_steps_of_several_frames() -> None:
    env = counter(frame_skip=2, max_episode_steps=2)
    env.reset([0])
    assert [bool(env.step(np.array([0])).truncated[0]) for _ in range(3)] == [False, True, False]
    cart = make_env("CartPole-v1", "state", 1, frame_skip=2)
    assert cart.spec.max_episode_steps == 250
    cart.close()


def test_actions_reach_the_environment_in_its_own_form() -> None:
    native = Counter()
    env = batch("counter", [native], "state")
    env.reset([0])
    env.step(np.array([2]))
    assert native.actions == [7]
    box = Counter(action_space=spaces.Box(-2, 3, (2, 2), np.float64))
    env = batch("counter", [box], "state")
    env.reset([0])
    env.step(np.array([[-2, -1, 0, 3]], np.float32))
    np.testing.assert_array_equal(box.actions[0], [[-2, -1], [0, 3]])
    assert env.spec.action.size == 4


def test_actions_without_bounds_get_some_and_a_notice() -> None:
    space = spaces.Box(np.array([-np.inf, 0, -1]), np.array([np.inf, np.inf, 1]), dtype=np.float64)
    notices: list[str] = []
    env = batch("free", [Counter(action_space=space)], "state", notice=notices.append)
    assert env.spec.action.low == (-1.0, 0.0, -1.0)
    assert env.spec.action.high == (1.0, 2.0, 1.0)
    assert sum("without bounds" in notice for notice in notices) == 1


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiBinary(3),
        spaces.Dict({"a": spaces.Discrete(2)}),
        spaces.Box(0, 9, (2,), np.int64),
    ],
)
def test_other_action_spaces_are_refused_with_a_way_out(space: spaces.Space) -> None:
    with pytest.raises(ConfigError, match=r"action space.*wrap the environment"):
        counter(kwargs={"action_space": space})


def test_observations_without_a_fixed_size_are_refused() -> None:
    with pytest.raises(ConfigError, match="no fixed size"):
        counter(kwargs={"observation_space": spaces.Sequence(spaces.Discrete(2))})


def test_image_observations_are_resized_and_coloured_as_asked() -> None:
    native = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)

    class Picture(Counter):
        def _seen(self) -> np.ndarray:
            return native

    space = spaces.Box(0, 255, native.shape, np.uint8)
    colour, grey = (
        batch("picture", [Picture(observation_space=space)], "pixels", grayscale=g)
        for g in (False, True)
    )
    expected = resize_area(native, 64, 64)
    np.testing.assert_array_equal(colour.reset([0])[0], expected)
    np.testing.assert_array_equal(grey.reset([0])[0], luminance(expected))


def test_grey_images_become_what_was_asked_for() -> None:
    flat = Counter(observation_space=spaces.Box(0, 255, (20, 20), np.uint8))
    env = batch("flat", [flat], "pixels", grayscale=False)
    assert env.reset([0]).shape == (1, 64, 64, 3)


def test_pixels_are_rendered_where_observations_are_none() -> None:
    env = counter(observation="pixels")
    env.reset([0])
    assert (env.step(np.array([0])).observations == 1).all()
    with pytest.raises(ConfigError, match="shows no pixels"):
        batch("blind", [Counter()], "pixels")


def test_a_reward_that_is_no_number_is_the_environments_fault() -> None:
    env = counter(kwargs={"reward": float("nan")})
    env.reset([0])
    with pytest.raises(EnvironmentFault, match="not finite"):
        env.step(np.array([0]))


def test_ids_and_arguments_that_do_not_exist_are_config_errors() -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        make_env("CartWheel-v1", "state", 1)
    with pytest.raises(ConfigError, match="wings"):
        make_env("CartPole-v1", "state", 1, kwargs={"wings": 2})


def test_old_ids_are_noticed_once() -> None:
    notices: list[str] = []
    env = make_env("LunarLander-v2", "state", 3, notice=notices.append)
    assert env.spec.env_id == "LunarLander-v3"
    assert notices == ["environment LunarLander-v2 does not exist here: using LunarLander-v3"]
    env.close()
    notices.clear()
    make_env("CartPole-v0", "state", 3, notice=notices.append).close()
    assert len(notices) == 1
    assert "out of date" in notices[0]
    assert "\x1b" not in notices[0]


def test_lunar_lander_has_both_kinds_of_action() -> None:
    kinds = {}
    for continuous in (False, True):
        env = make_env("LunarLander-v3", "state", 1, continuous=continuous)
        kinds[continuous] = (env.spec.action.kind, env.spec.action.size)
        env.close()
    assert kinds == {False: ("discrete", 4), True: ("continuous", 2)}


@pytest.mark.parametrize(("missing", "env_id"), [("gymnasium", "CartPole-v1"), ("Box2D", "")])
def test_a_missing_package_is_named_with_its_pip_line(
    missing: str, env_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    for loaded in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(ComponentMissing, match=r'pip install "gymnasium\[box2d\]"'):
        make_env(env_id or "LunarLander-v3", "state", 1)


def test_a_measure_decides_whether_processes_pay_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "available_cores", lambda: 2)
    seconds = 2e-3
    monkeypatch.setattr(registry, "_step_seconds", lambda env: seconds)
    notices: list[str] = []
    slow = make_env("CartPole-v1", "state", 4, workers=-1, notice=notices.append)
    assert isinstance(slow, Batch) and isinstance(slow.core, Workers)
    assert any("2 worker processes" in text for text in notices)
    slow.close()
    seconds = 1e-5
    quick = make_env("CartPole-v1", "state", 4, workers=-1, notice=notices.append)
    assert isinstance(quick, Batch) and isinstance(quick.core, Singles)
    single = make_env("CartPole-v1", "state", 1, workers=-1)
    assert isinstance(single, Batch)
    assert isinstance(single.core, Singles), "one environment has nobody to share with"


def test_a_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env("CartPole-v1", "state", 1)
    ticks = itertools.count(0.0, 0.25)
    monkeypatch.setattr(registry.time, "perf_counter", lambda: next(ticks))
    assert registry._step_seconds(env) == 0.25
    env.close()


def test_custom_environments_are_built_in_workers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far_plugin.py").write_text(
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "from curriculum.envs.registry import register_env\n"
        "def make(**kwargs):\n    return CartPoleEnv(**kwargs)\n"
        "register_env('Far', make)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("far_plugin")
    here, there = (make_env("Far", "state", 3, workers=workers) for workers in (0, 2))
    np.testing.assert_array_equal(here.reset([1, 2, 3]), there.reset([1, 2, 3]))
    actions = np.array([0, 1, 0])
    for _ in range(5):
        for ours, theirs in zip(here.step(actions), there.step(actions), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    there.close()
    monkeypatch.delitem(sys.modules, "far_plugin")
