"""The replay: what is drawn is what was collected, over any number of steps, and it comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.collecting.collector import Transition
from curriculum.envs.interface import ActionSpec
from curriculum.learning.replay import Replay
from models.interfaces import Transitions

ENVS, GAMMA = 3, 0.5
BUTTONS = ActionSpec("discrete", 4)


def collected(steps: int, seed: int) -> list[Transition]:
    """Episodes of up to four steps; C reads `[row, episode, step]`, a reward is the step's number.

    Of the last observation of an episode that was cut it reads the step -1.
    """
    rng = np.random.default_rng(seed)
    now = np.zeros((ENVS, 3), np.float32)
    now[:, 0] = np.arange(ENVS)
    made = []
    for _ in range(steps):
        ends = rng.integers(0, 4, ENVS)
        terminated, truncated = ends == 0, ends == 1
        following = now + np.array([0, 0, 1], np.float32)
        over = terminated | truncated
        following[over] = now[over] * [1, 1, 0] + [0, 1, 0]
        cut = np.flatnonzero(truncated)
        last = now[cut] * np.array([1, 1, 0], np.float32) + np.array([0, 0, -1], np.float32)
        actions, rewards = rng.integers(0, 4, ENVS), now[:, 2].copy()
        flags = (terminated, truncated)
        made.append(
            Transition(now, actions, rewards, *flags, following, cut, last.astype(np.float32))
        )
        now = following
    return made


def replay(path: Path, capacity: int = 10**6) -> Replay:
    return Replay(path, ENVS, 3, BUTTONS, capacity)


def expected(made: list[Transition], t: int, n: int, steps: int) -> tuple[float, float, list]:
    """The return, the discount and the features of a transition, step by step."""
    earned, discount = 0.0, 1.0
    for step in made[t : t + steps]:
        earned += discount * float(step.rewards[n])
        discount *= GAMMA
        if step.terminated[n]:
            return earned, 0.0, step.following[n].tolist()
        if step.truncated[n]:
            return earned, discount, step.cut_features[step.cut.tolist().index(n)].tolist()
        following = step.following[n].tolist()
    return earned, discount, following


def check(batch: Transitions, made: list[Transition], steps: int) -> None:
    places = {
        tuple(s.features[n].tolist()): (t, n) for t, s in enumerate(made) for n in range(ENVS)
    }
    for row, features in enumerate(batch.features.tolist()):
        t, n = places[tuple(features)]
        earned, discount, following = expected(made, t, n, steps)
        assert batch.actions[row] == made[t].actions[n]
        assert batch.returns[row] == pytest.approx(earned)
        assert batch.discounts[row] == pytest.approx(discount)
        if discount:
            assert batch.following[row].tolist() == following


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 99))
def test_what_is_drawn_was_collected(tmp_path_factory, count: int, steps: int, seed: int) -> None:
    made = collected(count, seed)
    kept = replay(tmp_path_factory.mktemp("replay"))
    rng = np.random.default_rng(seed)
    for number, transition in enumerate(made, start=1):
        kept.add(transition)
        if number % 7 == 0:
            check(kept.sample(8, rng, gamma=GAMMA, num_steps=steps), made[:number], steps)
    check(kept.sample(200, rng, gamma=GAMMA, num_steps=steps), made, steps)
    assert kept.num_steps == count


def test_every_step_is_drawn_alike_and_older_ones_than_the_capacity_never(tmp_path: Path) -> None:
    made, kept = collected(30, 0), replay(tmp_path, capacity=10)
    for transition in made:
        kept.add(transition)
    batch = kept.sample(20_000, np.random.default_rng(0), gamma=GAMMA)
    found, counts = np.unique(batch.features, axis=0, return_counts=True)
    wanted = np.unique(np.concatenate([s.features for s in made[20:]]), axis=0)
    np.testing.assert_array_equal(found, wanted)
    share = 20_000 / (10 * ENVS)
    assert np.abs(counts - share).max() < 6 * np.sqrt(share)


def test_what_a_crash_left_beyond_a_commit_is_cut_off(tmp_path: Path) -> None:
    made = collected(20, 1)
    kept = replay(tmp_path)
    for transition in made[:12]:
        kept.add(transition)
    lengths, state = dict(kept.lengths()), {k: a.copy() for k, a in kept.state().items()}
    kept.sync()
    for transition in made[12:]:
        kept.add(transition)
    expected_batch = kept.sample(50, np.random.default_rng(3), gamma=GAMMA, num_steps=3)
    again = replay(tmp_path)
    again.cut(lengths)
    again.load_state(state)
    assert again.num_steps == 12
    check(again.sample(99, np.random.default_rng(0), gamma=GAMMA, num_steps=3), made[:12], 3)
    for transition in made[12:]:
        again.add(transition)
    found = again.sample(50, np.random.default_rng(3), gamma=GAMMA, num_steps=3)
    for name in ("features", "actions", "returns", "discounts", "following"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected_batch, name))
    again.cut({})
    with pytest.raises(ValueError, match="empty"):
        again.sample(1, np.random.default_rng(0), gamma=GAMMA)


def test_a_commit_costs_the_same_however_much_was_collected(tmp_path: Path) -> None:
    kept = replay(tmp_path)
    sizes = []
    for transition in collected(60, 2):
        kept.add(transition)
        sizes.append(sum(a.nbytes for a in kept.state().values()) + len(kept.lengths()))
    assert len(set(sizes)) == 1


def test_continuous_actions_and_refused_arguments(tmp_path: Path) -> None:
    sticks = ActionSpec("continuous", 2, (-1.0, -1.0), (1.0, 1.0))
    kept = Replay(tmp_path, 1, 1, sticks, 5)
    nothing = np.zeros((0, 1), np.float32)
    one, flag = np.ones((1, 1), np.float32), np.zeros(1, np.bool_)
    actions = np.array([[0.25, -0.5]], np.float32)
    kept.add(
        Transition(
            one, actions, np.ones(1, np.float32), flag, flag, one * 2, np.zeros(0, int), nothing
        )
    )
    batch = kept.sample(2, np.random.default_rng(0), gamma=GAMMA)
    assert batch.actions.tolist() == [[0.25, -0.5]] * 2 and batch.following.tolist() == [[2.0]] * 2
    with pytest.raises(ValueError, match="capacity"):
        Replay(tmp_path / "none", 1, 1, sticks, 0)
