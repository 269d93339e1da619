"""Games seen through a crop and a maximum: the native picture, cut and made small by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium")

import gymnasium

from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.envs import registry
from curriculum.envs.export.single import ExportedEnv
from curriculum.envs.framing import Framing
from curriculum.envs.interface import VectorEnv
from curriculum.envs.registry import make_env
from curriculum.errors import ConfigError
from tests.envs.atari.test_framing import PLAYFIELD, brightest

pytestmark = pytest.mark.gym
BREAKOUT = "BreakoutNoFrameskip-v4"
FRAMED: dict[str, Any] = {"crop": PLAYFIELD, "pooling": "max"}


def native_pictures(actions: np.ndarray, maxpool: bool) -> list[np.ndarray]:
    """What Breakout's emulator shows at a reset and after each action, `[210, 160, 1]`."""
    import ale_py
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", 5)
    ale.loadROM(str(roms.get_rom_path("breakout")))
    meanings = ale.getMinimalActionSet()
    ale.act(meanings[1])
    seen = [ale.getScreenGrayscale()[..., None]]
    for action in actions.tolist():
        last_two = []
        for _ in range(4):
            ale.act(meanings[action])
            last_two = [*last_two, ale.getScreenGrayscale()[..., None]][-2:]
        seen.append(np.maximum(*last_two) if maxpool else last_two[1])
    return seen


def played(env: VectorEnv, seeds: list[int], steps: int) -> np.ndarray:
    """Observations `[steps + 1, N, ...]` of random play that goes on after the end of games."""
    rng = np.random.default_rng(1)
    seen = [env.reset(seeds).copy()]
    for _ in range(steps):
        step = env.step(rng.integers(0, env.spec.action.size, env.num_envs))
        seen.append(step.observations.copy())
        if (over := np.flatnonzero(step.terminated | step.truncated)).size:
            seen[-1][over] = env.reset(None, over.tolist())[over]
    env.close()
    return np.stack(seen)


@pytest.mark.parametrize("maxpool", [True, False])
def test_the_batch_shows_the_native_picture_cut_and_made_small(maxpool: bool) -> None:
    actions = np.array([2, 2, 3, 0, 1, 3, 3, 2] * 3)
    pictures = native_pictures(actions, maxpool)
    env = make_env(BREAKOUT, "pixels", 1, frame_skip=4, noop_max=0, maxpool=maxpool, **FRAMED)
    seen = [env.reset([5])[0], *(env.step(np.array([a])).observations[0] for a in actions)]
    env.close()
    assert env.spec.shape == (64, 64, 1)
    for ours, native in zip(seen, pictures, strict=True):
        np.testing.assert_array_equal(ours, brightest(native[30:210, 8:152]))


def test_the_usual_view_is_what_it_was() -> None:
    plain = make_env(BREAKOUT, "pixels", 3, frame_skip=4)
    named = make_env(BREAKOUT, "pixels", 3, frame_skip=4, crop=(), pooling="area", maxpool=True)
    np.testing.assert_array_equal(played(plain, [1, 2, 3], 60), played(named, [1, 2, 3], 60))


@pytest.mark.parametrize("options", [FRAMED, {"crop": PLAYFIELD}, {"pooling": "max"}])
def test_frames_depend_on_no_threads_and_games_are_the_same_games(options: dict[str, Any]) -> None:
    """Whole games, so that last pictures and the first ones after them are among those seen."""
    one, many = (
        make_env(BREAKOUT, "pixels", 4, frame_skip=4, kwargs={"num_threads": n}, **options)
        for n in (1, 4)
    )
    first, second = played(one, [1, 2, 3, 4], 250), played(many, [1, 2, 3, 4], 250)
    np.testing.assert_array_equal(first, second)
    alone = make_env(BREAKOUT, "pixels", 1, frame_skip=4, **options)
    np.testing.assert_array_equal(alone.reset([3])[0], first[0, 2])
    alone.close()


def test_colours_are_kept_and_the_last_picture_of_a_game_is_its_own() -> None:
    colour = make_env(BREAKOUT, "pixels", 2, frame_skip=4, grayscale=False, **FRAMED)
    seen = colour.reset([1, 2])
    assert seen.shape == (2, 64, 64, 3) and (seen[..., 0] != seen[..., 2]).any()
    colour.close()
    env = make_env(BREAKOUT, "pixels", 1, frame_skip=4, **FRAMED)
    env.reset([1])
    while not (step := env.step(np.zeros(1, np.int64))).terminated[0]:
        pass
    last = step.observations[0].copy()
    begun = env.reset(None, [0])[0]
    env.close()
    assert not np.array_equal(last, begun)


def test_a_game_of_another_height_is_seen_whole() -> None:
    env = make_env("AirRaidNoFrameskip-v4", "pixels", 1, frame_skip=4, crop=(0, 250, 0, 160))
    assert env.reset([1]).shape == (1, 64, 64, 1)
    env.close()
    with pytest.raises(ConfigError, match="250 rows"):
        make_env("AirRaidNoFrameskip-v4", "pixels", 1, crop=(0, 251, 0, 160))


class Pictures(gymnasium.Env):
    """Shows 100 by 90 pictures, as observations or when it draws."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, channels: int, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._shape = (100, 90, channels)
        self.observation_space = gymnasium.spaces.Box(0, 255, self._shape, np.uint8)
        if render_mode:
            self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)

    def _picture(self) -> np.ndarray:
        return np.random.default_rng(3).integers(0, 256, self._shape, np.uint8)

    def render(self) -> Any:
        return self._picture()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        return np.zeros(1, np.float32) if self.render_mode else self._picture(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        return self.reset()[0], 0.0, False, False, {}


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("grayscale", [False, True])
def test_any_picture_of_gymnasium_can_be_framed(
    monkeypatch: pytest.MonkeyPatch, drawn: bool, grayscale: bool
) -> None:
    from curriculum.envs.area import luminance

    def make(render_mode: str | None = None) -> gymnasium.Env:
        return Pictures(3, "rgb_array" if drawn else render_mode)

    monkeypatch.setattr(registry, "_REGISTERED", {"Pictures": make})
    options: dict[str, Any] = {"grayscale": grayscale, "crop": (10, 100, 0, 80), "pooling": "max"}
    env = make_env("Pictures", "pixels", 2, **options)
    image = Pictures(3)._picture()[10:100, :80]
    expected = brightest(luminance(image) if grayscale else image)
    np.testing.assert_array_equal(env.reset([1, 2])[1], expected)
    env.close()
    with pytest.raises(ConfigError, match=r"101.*100 rows and 90 columns"):
        make_env("Pictures", "pixels", 1, crop=(0, 101, 0, 90))


def test_a_task_is_played_and_exported_as_it_is_framed() -> None:
    from curriculum.backends.parts import real_env

    task = TaskConfig(
        name="breakout", env_id=BREAKOUT, env=EnvConfig(frame_skip=4, noop_max=0, **FRAMED)
    )
    exported = ExportedEnv(real_env(task, 1, lambda text: None))
    seen, _ = exported.reset(seed=5)
    exported.close()
    first = native_pictures(np.zeros(0), maxpool=True)[0]
    np.testing.assert_array_equal(seen, brightest(first[30:210, 8:152]))


def test_the_car_is_drawn_as_it_is() -> None:
    pytest.importorskip("Box2D")
    with pytest.raises(ConfigError, match=r"CarRacing-v3.*expected \[\] and area"):
        make_env("CarRacing-v3", "pixels", 1, pooling="max")
    assert Framing((), "area").plain
