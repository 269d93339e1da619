"""The cart: Gymnasium's equations to the last bit, and pictures that show what it does."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.envs.interface import EnvSpec
from curriculum.envs.simulation import make_simulation
from curriculum.envs.simulation.cartpole import draw_cartpole
from curriculum.insight.drawing import draw_bars, drawer


def test_it_moves_as_gymnasiums_does() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    ours = make_simulation("cartpole", 3, "state")
    rng = np.random.default_rng(3)
    seen = ours.reset([4, 5, 6])
    theirs = [gymnasium.make("CartPole-v1").unwrapped for _ in range(3)]
    for env, state in zip(theirs, seen, strict=True):
        env.reset(seed=0)
        env.state = np.array(state, dtype=np.float64)
    over = np.zeros(3, np.bool_)
    lengths = np.zeros(3, np.int64)
    while not over.all():
        actions = rng.integers(2, size=3)
        step = ours.step(actions)
        for row in np.flatnonzero(~over):
            state, reward, terminated, _, _ = theirs[row].step(int(actions[row]))
            # They begin from what we saw, which is single precision.
            np.testing.assert_allclose(step.observations[row], state, rtol=0, atol=1e-5)
            assert step.rewards[row] == reward == 1.0
            assert step.terminated[row] == terminated
        lengths += ~over
        over |= step.terminated
    assert lengths.min() > 5


def test_a_push_to_the_right_moves_the_cart_there_and_the_pole_back() -> None:
    env = make_simulation("cartpole", 1, "state")
    before = env.reset([1])[0]
    for _ in range(5):
        after = env.step(np.ones(1, np.int64)).observations[0]
    assert after[0] > before[0] and after[2] < before[2]


def test_an_episode_ends_after_500_steps_at_most() -> None:
    env = make_simulation("cartpole", 1, "state")
    seen = env.reset([2])
    steps, over = 0, False
    while not over:
        _, _, angle, turning = seen[0]
        step = env.step(np.array([int(angle + 0.5 * turning > 0)]))
        seen, steps = step.observations, steps + 1
        over = bool(step.terminated[0] or step.truncated[0])
    assert steps == 500 and step.truncated[0] and not step.terminated[0]


@pytest.mark.parametrize(("grayscale", "channels"), [(True, 1), (False, 3)])
def test_pictures_show_where_the_cart_is(grayscale: bool, channels: int) -> None:
    env = make_simulation("cartpole", 2, "pixels", grayscale=grayscale)
    frames = env.reset([1, 2])
    assert frames.shape == (2, 64, 64, channels) and frames.dtype == np.uint8
    left, right = draw_cartpole(np.array([[-1.2, 0, 0, 0], [1.2, 0, 0, 0]], np.float32))
    dark = [np.flatnonzero(picture[45, :, 0] < 50).mean() for picture in (left, right)]
    assert dark == [pytest.approx(15.5, abs=1.0), pytest.approx(47.5, abs=1.0)]


def test_a_pole_leans_in_its_picture_and_a_dreamed_state_is_drawn_whatever_it_is() -> None:
    leaning = draw_cartpole(np.array([[0, 0, 0.2, 0]], np.float32))[0]
    wood = np.flatnonzero(leaning[20, :, 2] < 200)
    assert wood.mean() > 34
    strange = draw_cartpole(np.array([[np.nan, 0, 9.0, 0], [1e9, 0, 0, 0]], np.float32))
    assert strange.shape == (2, 64, 64, 3)


def test_a_carts_state_is_drawn_as_a_cart_and_others_as_bars() -> None:
    action = make_simulation("cartpole", 1, "state").spec.action
    drawn = drawer(EnvSpec("CartPole-v1", "state", (4,), action))
    assert drawn(np.zeros(4, np.float32)).shape == (256, 256, 3)
    assert drawer(EnvSpec("Acrobot-v1", "state", (4,), action)) is draw_bars
