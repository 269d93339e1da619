"""What M learns on from: sequences of the last rollouts, known by their numbers."""

from __future__ import annotations

import numpy as np

from curriculum.learning.recall import SHARE_WITH_END, Recall

N, Z, A = 3, 1, 2


def rollout(first: int, steps: int, ends: set[tuple[int, int]]) -> tuple[np.ndarray, ...]:
    """Latents are `1000 n + t`, those that an episode ended with are negative."""
    t = np.arange(first, first + steps)[:, None]
    latents = (1000.0 * np.arange(N) + t)[..., None].astype(np.float32)
    over = np.array([[(int(step), n) in ends for n in range(N)] for step in t[:, 0]])
    following = np.where(over[..., None], -latents, latents + 1).astype(np.float32)
    actions = np.repeat(latents % 7, A, axis=2)
    return latents, following, actions, latents[..., 0] / 2, over & (t % 2 == 0), over


def filled(capacity: int = 100, ends: frozenset[tuple[int, int]] = frozenset()) -> Recall:
    recall = Recall(capacity, N, Z, A)
    for first in range(0, 40, 8):
        recall.add(*rollout(first, 8, set(ends)))
    return recall


def test_sequences_reach_over_rollouts_and_are_what_was_played() -> None:
    batch = filled().batch(64, 12, np.random.default_rng(0))
    first = batch.latents[:, 0, 0]
    np.testing.assert_array_equal(batch.latents[:, :, 0], first[:, None] + np.arange(13))
    np.testing.assert_array_equal(batch.rewards, batch.latents[:, :-1, 0] / 2)
    np.testing.assert_array_equal(batch.actions[..., 0], batch.latents[:, :-1, 0] % 7)
    assert batch.mask.all() and not batch.terminated.any()
    assert len(np.unique(first)) > 20


def test_nothing_follows_an_end_and_ends_are_often_drawn() -> None:
    ends = frozenset({(10, 0), (21, 1), (30, 2)})
    batch = filled(ends=ends).batch(400, 6, np.random.default_rng(0))
    seen = 0
    for row in range(400):
        first = int(batch.latents[row, 0, 0])
        steps = [(first % 1000 + k, first // 1000) in ends for k in range(6)]
        length = steps.index(True) + 1 if any(steps) else 6
        assert batch.mask[row].tolist() == [1.0] * length + [0.0] * (6 - length)
        assert not batch.rewards[row, length:].any() and not batch.actions[row, length:].any()
        if any(steps):
            seen += 1
            last = first + length - 1
            assert batch.latents[row, length, 0] == -last
            assert batch.terminated[row].sum() == (last % 1000 % 2 == 0)
    assert seen >= SHARE_WITH_END * 400


def test_the_oldest_steps_go_and_the_state_is_all_there_is() -> None:
    recall = filled(capacity=10)
    assert recall.steps == 10
    assert recall.state()["latents"][0, 0, 0] == 30
    other = Recall(10, N, Z, A)
    other.load_state(recall.state())
    one, two = (r.batch(8, 20, np.random.default_rng(1)) for r in (recall, other))
    np.testing.assert_array_equal(one.latents, two.latents)
    assert one.mask.shape == (8, 10)
