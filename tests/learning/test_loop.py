"""C's practice: what the learner is shown, when it is checked, and what becomes of a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.envs.interface import ActionSpec
from curriculum.errors import StageFailure
from curriculum.learning.healing import MAX_IN_A_ROW, MAX_ROLLBACKS
from curriculum.learning.schedule import RECENT, LoopCounters
from tests.curriculum.counting_env import CountingEnv
from tests.learning.practising import ENVS, STEPS
from tests.learning.stand_ins import FEATURES, Counts, practice

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def test_a_cut_episode_goes_on_in_its_own_last_observation(tmp_path: Path) -> None:
    built, learner, _, _ = practice(tmp_path, limit=3)
    built.run()
    cuts = 0
    for rollout in learner.rollouts:
        places = rollout.cut_at
        assert np.array_equal(np.argwhere(rollout.truncated), places[np.lexsort(places.T[::-1])])
        assert not (rollout.truncated & rollout.terminated).any()
        following = np.concatenate([rollout.features[1:], rollout.last_features[None]])
        for (t, n), last in zip(places, rollout.cut_features, strict=True):
            z, action = rollout.features[t, n, :2], rollout.actions[t, n]
            assert last.tolist() == [z[0], 3, 0, 1, 3, action]
            assert following[t, n, 1:].tolist() == [0] * 5
        cuts += len(places)
    assert cuts > 10


@pytest.mark.parametrize("ends", [True, False])
def test_a_lost_life_ends_an_episode_for_the_learner_alone(tmp_path: Path, ends: bool) -> None:
    built, learner, _, _ = practice(tmp_path, life=1, end_on_life_loss=ends)
    built.run()
    for rollout in learner.rollouts:
        following = np.concatenate([rollout.features[1:], rollout.last_features[None]])
        # Every episode loses its life in its first step and has at least one more.
        lost = rollout.features[..., 1] == 0
        assert np.array_equal(rollout.terminated[lost], np.full(lost.sum(), ends))
        assert not rollout.truncated.any()
        assert np.array_equal(following[..., 4], following[..., 1])
        assert (following[lost][:, 2:4] == [0, 1]).all()
        # M hears of the action that was really taken: after a lost life it is 2.
        second = following[rollout.features[..., 1] == 1]
        assert (second[second[:, 1] == 2, 5] == 2).all()
        assert (rollout.features[..., 1] == 1).any()


def test_rewards_are_clipped_and_scaled_for_the_learner_and_scores_stay_true(
    tmp_path: Path,
) -> None:
    built, learner, _, ctx = practice(tmp_path, clip_rewards=True, reward_scale=0.5)
    built.run()
    for rollout in learner.rollouts:
        assert np.array_equal(rollout.rewards, np.sign(rollout.actions) * 0.5)
    scores = [e["values"]["score"] for e in ctx.place.ledger.events("metrics")]
    earned = np.concatenate([r.actions for r in learner.rollouts]).sum()
    finished = sum(built.counters.recent)
    assert built.counters.episodes == len(built.counters.recent)
    assert 0 <= earned - finished <= ENVS * 2 * 6
    assert scores[-1] == built.counters.score


def test_the_feature_scale_is_set_once_from_the_first_rollout(tmp_path: Path) -> None:
    built, learner, _, _ = practice(tmp_path)
    built.run()
    rows = learner.rollouts[0].features.reshape(-1, FEATURES)
    ((mean, std),) = learner.scales
    assert np.array_equal(mean, rows.mean(axis=0)) and np.array_equal(std, rows.std(axis=0))


def test_every_step_is_counted_and_the_last_policy_checked_once(tmp_path: Path) -> None:
    built, learner, checks, ctx = practice(tmp_path, updates=4)
    built.run()
    assert len(learner.rollouts) == 4
    assert (checks.numbers, checks.glances) == ([4], [False])
    counters = built.counters
    assert (counters.updates, counters.env_steps) == (4, 4 * ENVS * STEPS)
    assert counters.dream_steps == 0
    used = [e["values"]["env_steps"] for e in ctx.place.ledger.events("metrics")]
    assert used == [n * ENVS * STEPS for n in (1, 2, 3, 4)]
    built.counters = replace(counters, env_steps=0)
    checks.env_steps = 7
    built._update()
    assert ctx.place.ledger.events("metrics")[-1]["values"]["env_steps"] == ENVS * STEPS + 7


def test_a_confirmed_check_ends_practice(tmp_path: Path) -> None:
    built, _, checks, _ = practice(tmp_path, updates=100, target=-1.0, patience=3, confirming=2)
    built.run()
    first, second = checks.numbers
    assert second == first + 3 < 100
    assert checks.glances == [True, True]


def at(score: float, episodes: int = RECENT, **counts: Any) -> LoopCounters:
    return LoopCounters(recent=(score,) * episodes, **{"updates": 20, **counts})


@pytest.mark.parametrize(
    ("counters", "due"),
    [
        (at(10.6), True),
        (at(10.4), False),
        (at(10.6, RECENT - 1), False),
        (at(10.6, checked=16), False),
        (at(10.6, checked=15), True),
        (at(0.0, env_steps=99 * ENVS * STEPS), False),
        (at(0.0, env_steps=99 * ENVS * STEPS + 1), True),
        (at(0.0, env_steps=100 * ENVS * STEPS, checked=19), True),
        (at(0.0, env_steps=100 * ENVS * STEPS, checked=20), False),
        (LoopCounters(), False),
    ],
)
def test_a_check_is_due_at_the_target_after_a_rest_or_when_steps_are_spent(
    tmp_path: Path, counters: LoopCounters, due: bool
) -> None:
    built, _, _, _ = practice(tmp_path, updates=100, target=10.0, patience=5, check_margin=0.05)
    built.counters = counters
    assert built.check_due == due
    assert built.over == (counters.checked == 20)


def test_the_rate_has_fallen_when_the_steps_are_spent(tmp_path: Path) -> None:
    built, _, _, _ = practice(tmp_path, updates=10, learning_rate=1.0, final_rate=0.2)
    counters = at(0.0, env_steps=5 * ENVS * STEPS)
    assert built._schedule.rate(counters) == pytest.approx(0.6)


def test_a_refused_update_halves_the_rate_and_is_told(tmp_path: Path) -> None:
    built, learner, _, ctx = practice(tmp_path, sick=[1, 2], learning_rate=0.5)
    built.run()
    assert learner.rates == [0.5, 0.5, 0.25, 0.125, 0.125]
    events = ctx.place.ledger.events("rolled_back")
    facts = ("step", "learning_rate", "in_a_row", "rollbacks")
    assert [[e[k] for k in facts] for e in events] == [[1, 0.25, 1, 1], [2, 0.125, 2, 2]]
    assert built._healer.health.in_a_row == 0
    assert built.counters.env_steps == 5 * ENVS * STEPS


def test_rollouts_serve_again_with_what_their_own_policy_thought_of_them(tmp_path: Path) -> None:
    built, learner, _, _ = practice(tmp_path, updates=4, reuse=3)
    built.run()
    given = learner.rollouts
    assert len(given) == 1 + 2 + 3 + 3
    new = [given[n] for n in (0, 1, 3, 6)]
    again = [(2, 0), (4, 1), (5, 0), (7, 2), (8, 1)]
    assert all(given[place].rewards is new[number].rewards for place, number in again)
    thought = [rollout.log_probs for rollout in given]
    assert all(log_probs is not None for log_probs in thought)
    policies = np.array([log_probs.flat[0] for log_probs in thought if log_probs is not None])
    first = policies[0]
    expected = first + np.float32(0.01) * np.array([0, 1, 0, 2, 1, 0, 3, 2, 1])
    np.testing.assert_allclose(policies, expected, atol=1e-6)


def test_lasting_noise_lasts_from_step_to_step_and_rollout_to_rollout(tmp_path: Path) -> None:
    built, learner, _, _ = practice(tmp_path, updates=4, noise_persistence=0.9999)
    built.run()
    # All logits move alike: noise alone decides, and it stays.
    actions = np.concatenate([rollout.actions for rollout in learner.rollouts])
    assert len(actions) == 4 * STEPS and (actions == actions[0]).all()
    fresh, learner, _, _ = practice(tmp_path / "fresh", updates=4)
    fresh.run()
    actions = np.concatenate([rollout.actions for rollout in learner.rollouts])
    assert (actions != actions[0]).any(axis=0).all(), "without it each environment varies"


def test_a_refused_update_forgets_what_may_be_to_blame(tmp_path: Path) -> None:
    built, learner, _, _ = practice(tmp_path, updates=5, reuse=3, sick=[2])
    built.run()
    sizes = [1, 2, 3, 1, 2]
    assert len(learner.rollouts) == sum(sizes)
    assert learner.rollouts[6].rewards is learner.rollouts[8].rewards, "the first after the refusal"


@pytest.mark.parametrize(
    ("sick", "borne"),
    [(range(1, 99), MAX_IN_A_ROW), (range(1, 99, 2), MAX_ROLLBACKS)],
    ids=["in a row", "in all"],
)
def test_an_update_that_stays_refused_is_given_up(
    tmp_path: Path, sick: Sequence[int], borne: int
) -> None:
    built, _, _, ctx = practice(tmp_path, sick=sick, updates=50)
    with pytest.raises(StageFailure, match=f"wrong {borne + 1} times, .* NaN"):
        built.run()
    assert len(ctx.place.ledger.events("rolled_back")) == borne


def test_in_dreams_no_step_is_real_and_checks_come_in_their_time(tmp_path: Path) -> None:
    built, learner, checks, ctx = practice(
        tmp_path, updates=7, patience=3, dream_steps=4, clip_rewards=True, reward_scale=0.5
    )
    built.run()
    # The last check is of the last policy, whenever the one before it was.
    assert checks.numbers == [3, 6, 7]
    assert built.counters.env_steps == 0
    assert built.counters.dream_steps == 7 * ENVS * STEPS
    for rollout in learner.rollouts:
        # What M imagines: z's second number counts, and the reward is the action.
        following = np.concatenate([rollout.features[1:], rollout.last_features[None]])
        over = rollout.truncated
        assert np.array_equal(following[~over][:, 1], rollout.features[~over][:, 1] + 1)
        np.testing.assert_allclose(following[~over][:, 3], 1.0, rtol=1e-5)
        assert (following[over][:, 2:] == 0).all()
        assert np.array_equal(rollout.rewards, np.minimum(rollout.actions, 1) * 0.5)
        assert np.array_equal(over.sum(axis=0), np.full(ENVS, STEPS // 4))
        assert len(rollout.cut_features) == over.sum()
    values = ctx.place.ledger.events("metrics")[-1]["values"]
    assert values["dream_steps"] == 7 * ENVS * STEPS and values["env_steps"] == 2 * 7
    assert "dream_score" in values and "score" not in values


def test_the_time_of_practice_is_told_by_what_it_went_into(tmp_path: Path) -> None:
    built, _, _, ctx = practice(tmp_path)
    built.run()
    spent = ctx.place.barrier.stopwatch.seconds
    assert set(spent) == {"environment", "perception", "controller", "learning", "checks"}
    assert all(seconds >= 0 for seconds in spent.values())


def test_the_counting_world_is_as_the_toys_assume() -> None:
    assert CountingEnv(1).spec.action == ActionSpec("discrete", Counts.action_size)


@pytest.mark.parametrize("averaging", [0.0, 0.75])
def test_what_is_checked_is_the_running_mean_of_the_parameters(
    tmp_path: Path, averaging: float
) -> None:
    built, learner, checks, _ = practice(tmp_path, averaging=averaging, updates=4)
    mean = learner.get_parameters()
    for number in range(4):
        built._update()
        kept = averaging if number else 0.0
        mean = kept * mean + (1.0 - kept) * learner.get_parameters()
    built._check()
    np.testing.assert_allclose(checks.given[0], mean, rtol=1e-5, atol=1e-6)
