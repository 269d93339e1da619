"""Training sequences: cut from episodes, never across them, masked where an episode is over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.datasets.episodes import Dataset, EpisodeWriter
from curriculum.datasets.sequences import Latents, LatentWriter, sample_sequences
from curriculum.errors import RunIOError

STEPS = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=5)


def recorded(root: Path, episodes: list[tuple[int, bool]]) -> tuple[Dataset, Latents]:
    """Data in which every action, reward and latent says the row it belongs to."""
    writer = EpisodeWriter(
        root / "data", observation_shape=(1,), observation_dtype="float32", action_size=2
    )
    row = 0
    for number, (steps, terminated) in enumerate(episodes):
        rows = np.arange(row, row + steps + 1, dtype=np.float32)
        actions = np.stack([rows[:-1], -rows[:-1]], axis=1)
        writer.append_episode(rows[:, None], actions, rows[:-1], terminated=terminated, seed=number)
        row += steps + 1
    latents = LatentWriter(root / "latents", 3)
    mean = np.repeat(np.arange(row, dtype=np.float32)[:, None], 3, axis=1)
    latents.append(mean, np.full_like(mean, -4.0))
    return Dataset([root / "data"]), Latents.open(root / "latents")


@settings(max_examples=15, deadline=None)
@given(episodes=STEPS, length=st.integers(1, 8), jitter=st.booleans(), seed=st.integers(0, 99))
def test_sequences_lie_within_one_episode(
    tmp_path_factory, episodes, length: int, jitter: bool, seed: int
) -> None:
    data, latents = recorded(tmp_path_factory.mktemp("run"), episodes)
    means = Latents(latents.mean, np.full_like(latents.mean, -np.inf))
    starts = data.sequence_starts(length)
    rng = np.random.default_rng(seed)
    batch = sample_sequences(data, means, starts, length, rng, jitter=jitter)
    assert batch.latents.shape == (len(starts), length + 1, 3)
    assert batch.actions.shape == (len(starts), length, 2)
    for name in ("latents", "actions", "rewards", "terminated", "mask"):
        assert getattr(batch, name).dtype == np.float32
    for b, nominal in enumerate(starts):
        rows = batch.latents[b, :, 0].astype(int)
        live = int(batch.mask[b].sum())
        first, final = data.first_rows(nominal), data.final_rows(nominal)
        assert first <= rows[0] < final
        assert live == min(length, final - rows[0]) >= 1
        assert batch.mask[b].tolist() == [1.0] * live + [0.0] * (length - live)
        np.testing.assert_array_equal(rows, np.minimum(rows[0] + np.arange(length + 1), final))
        np.testing.assert_array_equal(batch.rewards[b, :live], rows[:live])
        np.testing.assert_array_equal(batch.actions[b, :live, 1], -rows[:live])
        assert not batch.actions[b, live:].any()
        assert not batch.rewards[b, live:].any()
        ended = episodes[int(data.episode_of(nominal))][1] and rows[0] + live == final
        expected = [0.0] * length
        if ended:
            expected[live - 1] = 1.0
        assert batch.terminated[b].tolist() == expected
        if jitter:
            assert live == length or rows[0] == first
        else:
            assert rows[0] == nominal


def test_z_is_drawn_from_the_posterior(tmp_path: Path) -> None:
    data, latents = recorded(tmp_path, [(400, True)])
    starts = np.repeat(data.sequence_starts(100), 50)
    batch = sample_sequences(data, latents, starts, 100, np.random.default_rng(0))
    noise = batch.latents - sample_sequences(data, latents, starts, 100).latents
    assert abs(noise.mean()) < 0.002
    assert noise.std() == pytest.approx(np.exp(-2.0), rel=0.02)
    again = sample_sequences(data, latents, starts, 100, np.random.default_rng(0))
    np.testing.assert_array_equal(batch.latents, again.latents)


def test_jitter_reaches_every_step_as_a_first_one(tmp_path: Path) -> None:
    data, latents = recorded(tmp_path, [(32, True)])
    starts = np.repeat(data.sequence_starts(8), 200)
    rng = np.random.default_rng(0)
    plain = Latents(latents.mean, np.full_like(latents.mean, -np.inf))
    batch = sample_sequences(data, plain, starts, 8, rng, jitter=True)
    assert set(batch.latents[:, 0, 0].astype(int)) == set(range(32 - 8 + 1))
    with pytest.raises(ValueError, match="needs a generator"):
        sample_sequences(data, latents, starts, 8, jitter=True)


def test_latents_of_other_data_are_refused(tmp_path: Path) -> None:
    data, latents = recorded(tmp_path, [(4, True)])
    short = Latents(latents.mean[:-1], latents.log_var[:-1])
    with pytest.raises(ValueError, match="4 latents for 5 rows"):
        sample_sequences(data, short, np.array([0]), 2)


def test_latents_go_on_from_the_commit(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    writer = LatentWriter(tmp_path, 2)
    writer.append(rows[:3], -rows[:3])
    writer.sync()
    committed = writer.lengths()
    writer.append(rows[4:], -rows[4:])
    (tmp_path / "mean.bin").write_bytes((tmp_path / "mean.bin").read_bytes() + b"torn")
    resumed = LatentWriter(tmp_path, 2)
    resumed.cut(committed)
    assert resumed.num_rows == 3
    resumed.append(rows[3:], -rows[3:])
    resumed.sync()
    latents = Latents.open(tmp_path)
    np.testing.assert_array_equal(latents.mean, rows)
    np.testing.assert_array_equal(latents.log_var, -rows)
    with pytest.raises(ValueError, match="differ"):
        resumed.append(rows, rows[:2])
    with pytest.raises(RunIOError, match="there is no column"):
        Latents.open(tmp_path / "elsewhere")
