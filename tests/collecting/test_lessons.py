"""What learners see: lessons, true statistics, Gymnasium's autoreset modes, advantages."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from curriculum.collecting.lessons import Ended, EpisodeStatistics, LessonRules, lesson_of
from curriculum.envs.export.vector import ExportedVectorEnv
from curriculum.envs.interface import Step
from models.numeric.returns import generalized_advantages
from tests.curriculum.counting_env import CountingEnv

pytestmark = pytest.mark.gym


def flags(*values: int) -> np.ndarray:
    return np.array(values, np.bool_)


STEP = Step(
    np.zeros((3, 1), np.float32),
    np.array([5.0, -7.0, 0.0], np.float32),
    flags(1, 0, 0),
    flags(0, 0, 1),
    flags(0, 1, 0),
)


def test_a_lesson_may_be_clipped_and_end_with_a_life_while_the_step_stays_true() -> None:
    plain, learned = lesson_of(STEP, LessonRules()), lesson_of(STEP, LessonRules(True, True))
    assert plain.rewards.tolist() == [5.0, -7.0, 0.0]
    assert plain.terminated.tolist() == [True, False, False]
    assert learned.rewards.tolist() == [1.0, -1.0, 0.0]
    assert learned.terminated.tolist() == [True, True, False]
    assert learned.truncated.tolist() == [False, False, True]
    assert STEP.rewards.tolist() == [5.0, -7.0, 0.0]


def test_a_reward_may_end_an_episode_for_the_learner() -> None:
    cut = STEP._replace(terminated=flags(0, 0, 0), truncated=flags(0, 1, 1))
    learned = lesson_of(cut, LessonRules(end_on_reward=True))
    assert learned.terminated.tolist() == [True, True, False]
    # What is over for the learner is not cut as well.
    assert learned.truncated.tolist() == [False, False, True]
    assert lesson_of(cut, LessonRules()).truncated.tolist() == [False, True, True]


def test_dreamed_rewards_are_expectations() -> None:
    dreamed = STEP._replace(
        rewards=np.array([0.4, -3.0, 0.6], np.float32), terminated=flags(0, 0, 0)
    )
    learned = lesson_of(dreamed, LessonRules(clip_rewards=True, end_on_reward=True), dreamed=True)
    np.testing.assert_allclose(learned.rewards, [0.4, -1.0, 0.6])
    assert learned.terminated.tolist() == [False, True, True]


def test_statistics_are_of_whole_games() -> None:
    statistics = EpisodeStatistics(3)
    assert statistics.add(STEP._replace(terminated=flags(0, 0, 0), truncated=flags(0, 0, 0))) == []
    assert statistics.add(STEP) == [Ended(0, 10.0, 2, True), Ended(2, 0.0, 2, False)]
    statistics.clear()
    assert statistics.add(STEP)[0] == Ended(0, 5.0, 1, True)


def test_advantages_of_a_known_rollout() -> None:
    """Two steps to an end, two to a time limit, one that goes on: computed by hand."""
    column = lambda *values: np.array(values, np.float32)[:, None]  # noqa: E731
    advantages, returns = generalized_advantages(
        column(1, 2, 3, 4, 5),
        column(10, 20, 30, 40, 50),
        column(20, 99, 40, 60, 70),
        flags(0, 1, 0, 0, 0)[:, None],
        flags(0, 0, 0, 1, 0)[:, None],
        gamma=0.5,
        gae_lambda=0.5,
    )
    ended = 2 - 20
    cut = 4 + 0.5 * 60 - 40
    expected = [
        1 + 0.5 * 20 - 10 + 0.25 * ended,
        ended,
        3 + 0.5 * 40 - 30 + 0.25 * cut,
        cut,
        5 + 0.5 * 70 - 50,
    ]
    np.testing.assert_allclose(advantages[:, 0], expected)
    np.testing.assert_allclose(returns[:, 0], np.add(expected, [10, 20, 30, 40, 50]))


def test_lambda_one_gives_discounted_returns_and_lambda_zero_the_one_step_error() -> None:
    rng = np.random.default_rng(0)
    rewards, values = rng.standard_normal((2, 6, 3)).astype(np.float32)
    last = rng.standard_normal(3).astype(np.float32)
    following = np.concatenate([values[1:], last[None]])
    never = np.zeros((6, 3), np.bool_)
    limits: dict[str, Any] = {"gamma": 0.9}
    whole = generalized_advantages(
        rewards, values, following, never, never, gae_lambda=1.0, **limits
    )[1]
    discounted = sum(0.9**t * rewards[t] for t in range(6)) + 0.9**6 * last
    np.testing.assert_allclose(whole[0], discounted, rtol=1e-5)
    short = generalized_advantages(
        rewards, values, following, never, never, gae_lambda=0.0, **limits
    )[0]
    np.testing.assert_allclose(short, rewards + 0.9 * following - values, rtol=1e-5)


def test_what_another_policy_played_is_corrected_as_by_v_trace() -> None:
    """Three steps of one environment whose actions are half, three times and as likely now."""
    rewards, values = np.array([[1.0], [2.0], [3.0]]), np.array([[10.0], [20.0], [30.0]])
    following, never = np.array([[20.0], [30.0], [40.0]]), np.zeros((3, 1), np.bool_)
    advantages, returns = generalized_advantages(
        *(each.astype(np.float32) for each in (rewards, values, following)),
        never,
        never,
        gamma=0.5,
        gae_lambda=0.5,
        ratios=np.array([[0.5], [3.0], [1.0]], np.float32),
    )
    errors = [1 + 0.5 * 20 - 10, 2 + 0.5 * 30 - 20, 3 + 0.5 * 40 - 30]
    second = errors[1] + 0.25 * errors[2]  # a ratio counts as one at most
    first = errors[0] + 0.25 * second
    np.testing.assert_allclose(advantages[:, 0], [first, second, errors[2]])
    np.testing.assert_allclose(returns[:, 0], [10 + 0.5 * first, 20 + second, 30 + errors[2]])


class Single(gymnasium.Env[np.ndarray, Any]):
    """One game of `CountingEnv` that Gymnasium vectorises itself."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self) -> None:
        self._game = CountingEnv(1, limit=4)
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        return self._game.reset(None if seed is None else [seed])[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        step = self._game.step(np.asarray([action]))
        return (
            step.observations[0],
            float(step.rewards[0]),
            bool(step.terminated[0]),
            bool(step.truncated[0]),
            {},
        )


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_an_exported_batch_does_what_gymnasium_does(mode: AutoresetMode) -> None:
    theirs = SyncVectorEnv([Single for _ in range(3)], autoreset_mode=mode)
    ours = ExportedVectorEnv(CountingEnv(3, limit=4), mode)
    np.testing.assert_array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    rng = np.random.default_rng(1)
    ends = 0
    for _ in range(40):
        actions = rng.integers(0, 3, 3)
        (*found, info), (*expected, their_info) = ours.step(actions), theirs.step(actions)
        for ours_part, theirs_part in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours_part, theirs_part)
        over = found[2] | found[3]
        ends += int(over.sum())
        if mode == AutoresetMode.SAME_STEP and over.any():
            final = np.stack(their_info["final_obs"][over])
            np.testing.assert_array_equal(info["final_obs"][over], final)
        if mode == AutoresetMode.DISABLED and over.any():
            with pytest.raises(RuntimeError, match="have ended"):
                ours.step(actions)
            options = {"reset_mask": over}
            np.testing.assert_array_equal(
                ours.reset(options=options)[0][over], theirs.reset(options=options)[0][over]
            )
    assert ends > 20
    ours.close()
    theirs.close()


def test_exported_seeds_may_be_given_one_by_one_or_not_at_all() -> None:
    env = ExportedVectorEnv(CountingEnv(3))
    drawn, _ = env.reset()
    assert len(set(drawn[:, 0].tolist())) > 1
    assert env.reset(seed=[7, 8, 9])[0][:, 0].tolist() == [7, 8, 9]
    assert env.reset(seed=4)[0][:, 0].tolist() == [4, 5, 6]
    assert env.observation_space.contains(env.reset(seed=1)[0])
    env.close()
