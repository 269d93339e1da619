"""Breakout as it is built here: each life gets a ball, a lost one ends no game, 300 is in reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ale_py")

from curriculum.agent.episodes import run_episodes
from curriculum.collecting.lessons import LessonRules, lesson_of
from curriculum.envs.interface import VectorEnv
from curriculum.envs.registry import make_env
from tests.envs.atari.follower import FIRE, LEFT, NOOP, RIGHT, Played, landing, play
from tests.envs.atari.test_framing import PLAYFIELD

pytestmark = pytest.mark.gym
LONGEST = 1200
"""Steps in which five balls that nobody meets are lost many times over."""

BRICK_ROWS = slice(10, 22)
"""Of the picture of the playfield: 6 of 36 rows of bricks lie within."""


def breakout(num_envs: int, **options: Any) -> VectorEnv:
    return make_env(
        "BreakoutNoFrameskip-v4",
        "pixels",
        num_envs,
        frame_skip=4,
        crop=PLAYFIELD,
        pooling="max",
        **options,
    )


class Stubborn:
    """Always takes the same action, in every slot another one."""

    def __init__(self, actions: list[int]) -> None:
        self.actions, self.fired = np.array(actions), 0

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        """Remembers nothing of episodes."""

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        return self.actions[slots]

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        self.fired += int((actions == FIRE).sum())


@pytest.mark.parametrize("sticky", [0.0, 0.25])
@pytest.mark.parametrize("noop_max", [0, 30])
def test_every_life_gets_a_ball_whatever_the_agent_does(sticky: float, noop_max: int) -> None:
    """An agent that never presses FIRE loses five balls: so all were served."""
    stubborn = Stubborn([NOOP, RIGHT, LEFT])
    env = breakout(3, noop_max=noop_max, repeat_action_probability=sticky)
    played = run_episodes(env, stubborn, [1, 2, 3], max_steps=LONGEST)
    env.close()
    assert [episode.terminated for episode in played] == [True] * 3
    assert [episode.lives_lost for episode in played] == [4] * 3
    # Sticky actions may swallow FIRE, so then it is pressed twice, and after a reset as well.
    assert stubborn.fired == (3 * 4 if not sticky else 3 * 2 * 5), "what was pressed is said"


def test_a_lost_life_ends_the_lesson_and_not_the_game() -> None:
    """The wall stays as it is when a ball is lost, and stands whole again in the next game only."""
    rules = LessonRules(end_on_life_loss=True, clip_rewards=True)
    env, rng = breakout(4), np.random.default_rng(5)
    wall = (env.reset([1, 2, 3, 4])[:, BRICK_ROWS] > 0).sum(axis=(1, 2, 3))
    whole, ends, lessons, opened = int(wall[0]), 0, 0, 0
    for _ in range(700):
        step = env.step(rng.integers(0, 4, 4))
        lesson = lesson_of(step, rules)
        np.testing.assert_array_equal(lesson.terminated, step.terminated | step.life_lost)
        assert not (step.terminated & step.life_lost).any()
        lessons += int(lesson.terminated.sum())
        left = (step.observations[:, BRICK_ROWS] > 0).sum(axis=(1, 2, 3))
        lost = step.life_lost
        assert (left[lost] <= wall[lost] + 12).all(), "a lost ball puts no brick back"
        opened += int((left[lost] < whole - 6).sum())
        wall = left
        if (over := np.flatnonzero(step.terminated)).size:
            ends += over.size
            begun = env.reset(None, over.tolist())[over]
            assert ((begun[:, BRICK_ROWS] > 0).sum(axis=(1, 2, 3)) >= whole).all()
            wall[over] = whole
    env.close()
    assert ends >= 4 and lessons >= 5 * ends
    assert opened > 4, "lives after the first were seen with the wall opened"


def test_where_a_ball_comes_down_is_reckoned_with_walls() -> None:
    assert landing(50.0, 147.0, 5.0, 10.0) == pytest.approx(70.0)
    assert landing(20.0, 147.0, -8.0, 10.0) == pytest.approx(8.0 + 20.0)
    assert landing(150.0, 147.0, 8.0, 10.0) == pytest.approx(152.0 - 30.0)


def test_following_the_ball_alone_reaches_three_hundred() -> None:
    """One action for four frames is enough: what is missing to the target is not the game's."""
    found = [play(seed) for seed in (0, 1)]
    assert all(isinstance(game, Played) and game.score > 150 for game in found)
    assert max(game.score for game in found) > 300
