"""CarRacing: what is drawn fast, late or not at all shows the very pixels of the environment."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from curriculum.envs.area import luminance, resize_area
from curriculum.envs.car_racing import TRACK_ROWS, CarRacer, drawing
from curriculum.envs.gym.singles import hold
from curriculum.envs.registry import make_env

# Box2D's module warns of itself as it loads, and crashes where that is made an error.
pytestmark = [
    pytest.mark.gym,
    pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning"),
]

IDLE = np.zeros(3, np.float32)
FULL_GAS = np.array([0, 1, 0], np.float32)


def native(**kwargs: Any) -> gymnasium.Env:
    return gymnasium.make("CarRacing-v3", disable_env_checker=True, **kwargs)


def small(frame: np.ndarray, rows: int = TRACK_ROWS, grayscale: bool = False) -> np.ndarray:
    picture = resize_area(frame[: rows or None], 64, 64)
    return luminance(picture) if grayscale else picture


def fling(racing: Any, y: float, speed: float) -> None:
    """Puts the whole car elsewhere in the world, on its way to the edge."""
    racing.t = 0.9
    up = y - racing.car.hull.position[1]
    for body in racing.car.drawlist:
        body.position = (body.position[0], body.position[1] + up)
        body.linearVelocity = (0.0, speed)


class Twins:
    """The same episodes drawn by the environment itself and by a `CarRacer`."""

    def __init__(self, frames: int, rows: int = TRACK_ROWS, gray: bool = False, **kwargs: Any):
        self.frames, self.rows, self.gray = frames, rows, gray
        self.expected, self.skipping = native(**kwargs), native(**kwargs)
        self.notices: list[str] = []
        self.racer = CarRacer(
            self.skipping, frames, grayscale=gray, top_rows=rows, notice=self.notices.append
        )

    def reset(self, seed: int) -> None:
        frame, _ = self.expected.reset(seed=seed)
        found = self.racer.reset(seed)
        np.testing.assert_array_equal(found, small(frame, self.rows, self.gray))

    def step(self, action: Any) -> tuple[float, bool, bool]:
        frame, *rest = hold(self.expected, action, self.frames)
        found, *found_rest = self.racer.step(action)
        np.testing.assert_array_equal(found, small(frame, self.rows, self.gray))
        assert found_rest == rest
        return rest[0], rest[1], rest[2]

    def close(self) -> None:
        self.expected.close()
        self.racer.close()


SCENES = {
    "seed": st.integers(0, 10_000),
    "rows": st.sampled_from([TRACK_ROWS, TRACK_ROWS, 0, 60, 90]),
    "randomize": st.booleans(),
    "seconds": st.floats(0, 1.2),
    "place": st.tuples(st.floats(-345, 345), st.floats(-345, 345)) | st.none(),
    "angle": st.floats(-7, 7) | st.sampled_from([k * math.pi / 2 for k in range(-4, 5)]),
}


@settings(max_examples=50, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(**SCENES)
@example(3, 0, False, 0.0, None, 0.0)
@example(4, TRACK_ROWS, True, 1.0, (325.0, -325.0), math.pi / 4)
@example(5, TRACK_ROWS, False, 1.0, (284.0, 0.0), -math.pi / 4)
def test_every_frame_is_the_environments_own(
    seed: int,
    rows: int,
    randomize: bool,
    seconds: float,
    place: tuple[float, float] | None,
    angle: float,
) -> None:
    env = native(domain_randomize=randomize)
    racing: Any = env.unwrapped
    env.reset(seed=seed)
    drawn = drawing.Drawing(racing, rows)
    racing.t = seconds
    if place is not None:
        racing.car.hull.position, racing.car.hull.angle = place, angle
    shown = []

    def draw_both(mode: str) -> np.ndarray:
        frame = type(racing)._render(racing, mode)
        shown.append((drawn.frame(racing.reward), frame[: rows or None]))
        return frame

    racing._render = draw_both
    rng = np.random.default_rng(seed)
    for _ in range(6):
        env.step(rng.uniform([-1, 0, 0], 1).astype(np.float32))
    np.testing.assert_array_equal(*zip(*shown, strict=True))
    assert len(shown) == 6
    env.close()


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
@pytest.mark.parametrize("discrete", [False, True])
def test_held_actions_give_the_same_episodes(frames: int, discrete: bool) -> None:
    rows = {1: 0, 3: 90}.get(frames, TRACK_ROWS)
    twins = Twins(
        frames,
        rows,
        gray=frames == 4,
        continuous=not discrete,
        domain_randomize=frames == 2,
    )
    rng = np.random.default_rng(frames)
    for seed in (5, 6):
        twins.reset(seed)
        for _ in range(24 // frames):
            gas = rng.uniform([-1, 0.5, 0], [1, 1, 0.2]).astype(np.float32)
            twins.step(rng.integers(5) if discrete else gas)
    assert not twins.notices
    twins.close()


def test_who_leaves_the_world_sees_its_edge_until_the_end() -> None:
    twins = Twins(3)
    twins.reset(1)
    for racing in (twins.expected.unwrapped, twins.skipping.unwrapped):
        fling(racing, y=290.0, speed=70.0)
    for _ in range(20):
        reward, terminated, _ = twins.step(FULL_GAS)
        if terminated:
            break
    assert reward < -90
    twins.reset(2)
    twins.step(FULL_GAS)
    twins.close()


def test_an_episode_that_ends_inside_a_hold_still_shows_its_last_frame() -> None:
    twins = Twins(4, rows=0)
    twins.reset(5)
    twins.step(FULL_GAS)
    for racing in (twins.expected.unwrapped, twins.skipping.unwrapped):
        racing.car.hull.position = (400.0, 0.0)
    assert twins.step(IDLE) == (-100.0, True, False)
    twins.close()


def test_a_time_limit_inside_a_hold_truncates() -> None:
    twins = Twins(4, max_episode_steps=6)
    twins.reset(5)
    assert twins.step(FULL_GAS)[1:] == (False, False)
    assert twins.step(FULL_GAS)[1:] == (False, True)
    twins.close()


def test_what_a_spectator_sees_stays_as_it_was() -> None:
    twins = Twins(3, render_mode="rgb_array")
    for seed in (1, 2):
        twins.reset(seed)
        for steer in (-1, 1, 1):
            twins.step(np.array([steer, 1, 0], np.float32))
        np.testing.assert_array_equal(twins.skipping.render(), twins.expected.render())
    assert "_render" not in vars(twins.skipping.unwrapped)
    twins.close()


def test_a_window_for_people_shows_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = Twins(3)
    twins.reset(1)
    racing: Any = twins.skipping.unwrapped
    modes: list[str] = []
    monkeypatch.setattr(type(racing), "_render", lambda _, mode: modes.append(mode))
    racing.render_mode = "human"
    twins.racer.step(FULL_GAS)
    assert modes == ["human"] * 3
    twins.close()


def other_colours(colours: list[Any]) -> list[list[int]]:
    return (np.array(colours).astype(np.int64) // 2).tolist()


def other_rounding(camera: Any, points: np.ndarray) -> np.ndarray:
    return np.nextafter(PROJECT(camera, points), np.inf)


def missing(racing: Any) -> None:
    raise AttributeError("'CarRacing' object has no attribute 'car'")


PROJECT = drawing._Camera.project
CHANGES = {
    "pixels differ": (drawing, "_whole", other_colours),
    "corners lie elsewhere": (drawing._Camera, "project", other_rounding),
    "no attribute 'car'": (drawing, "_camera", missing),
}


@pytest.mark.parametrize("reason", CHANGES)
def test_where_it_would_draw_anything_else_the_environment_draws(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*CHANGES[reason])
    twins = Twins(2, gray=True)
    for seed in (1, 2):
        twins.reset(seed)
        twins.step(FULL_GAS)
    assert len(twins.notices) == 1
    assert reason in twins.notices[0]
    twins.close()


def test_the_instruments_are_cut_off_and_frames_are_counted() -> None:
    env = make_env("CarRacing-v2", "pixels", 1, frame_skip=4, grayscale=False)
    seen = env.reset([5])
    stock = native()
    frame, _ = stock.reset(seed=5)
    np.testing.assert_array_equal(seen[0], small(frame))
    action = np.array([[0.1, 0.8, 0.0]], np.float32)
    step = env.step(action)
    frame, reward, *_ = hold(stock, action[0], 4)
    np.testing.assert_array_equal(step.observations[0], small(frame))
    assert step.rewards[0] == np.float32(reward)
    assert env.spec.max_episode_steps == 250
    assert env.spec.action.low == (-1.0, 0.0, 0.0)
    env.close()
    stock.close()


def test_colours_of_the_world_can_be_random() -> None:
    options = {"domain_randomize": True}
    env = make_env("CarRacing-v3", "pixels", 2, grayscale=False, kwargs=options)
    usual = []
    for frame in env.reset([1, 2]):
        colours, counts = np.unique(frame.reshape(-1, 3), axis=0, return_counts=True)
        counts[(colours == 0).all(axis=1)] = 0  # beyond the end of the world
        usual.append(colours[counts.argmax()].tolist())
    assert usual[0] != usual[1]
    env.close()
