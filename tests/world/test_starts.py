from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from curriculum.datasets.episodes import Dataset, EpisodeWriter
from curriculum.datasets.sequences import Latents, LatentWriter
from curriculum.world.starts import dream_starts
from curriculum.world.world_model import WorldModel
from models.interfaces import Memory


class Counting:
    """A memory whose state is the number of steps and the sum of the latents it has seen."""

    latent_size = 1

    def initial_state(self, n: int) -> np.ndarray:
        return np.zeros((n, 2), np.float32)

    def step(self, state, latents, actions) -> np.ndarray:
        return state + np.concatenate([np.ones_like(latents), latents], axis=1)


WORLD = WorldModel(None, cast(Memory, Counting()))


def recorded(path: Path, lengths: list[int]) -> tuple[Dataset, Latents]:
    """Episodes of so many steps, whose z is 100 times the episode's number, plus the step's."""
    writer = EpisodeWriter(
        path / "data", observation_shape=(1,), observation_dtype="float32", action_size=1
    )
    for number, steps in enumerate(lengths):
        seen = 100.0 * number + np.arange(steps + 1, dtype=np.float32)[:, None]
        flat = np.zeros(steps, np.float32)
        writer.append_episode(seen, flat[:, None], flat, terminated=True, seed=number)
    data = Dataset([path / "data"])
    latents = LatentWriter(path / "latents", 1)
    rows = data.observations(np.arange(data.num_rows))
    latents.append(rows, np.zeros_like(rows))
    return data, Latents.open(path / "latents")


def test_dreams_start_at_real_places_with_the_memory_that_led_there(tmp_path: Path) -> None:
    lengths = [3, 9, 5]
    data, latents = recorded(tmp_path, lengths)
    starts = dream_starts(data, latents, WORLD, np.random.default_rng(0))
    assert len(starts.latents) == len(starts.states) == 2048
    episode, step = np.divmod(starts.latents[:, 0].astype(int), 100)
    assert set(episode.tolist()) == {0, 1, 2}
    assert all(set(step[episode == e].tolist()) == set(range(n)) for e, n in enumerate(lengths))
    assert np.array_equal(starts.states[:, 0], step)
    sums = 100.0 * episode * step + step * (step - 1) / 2
    assert np.allclose(starts.states[:, 1], sums)


def test_a_start_carries_the_latent_before_it_and_the_first_of_an_episode_its_own(
    tmp_path: Path,
) -> None:
    data, latents = recorded(tmp_path, [2, 3])
    starts = dream_starts(data, latents, WORLD, np.random.default_rng(0))
    assert starts.before is not None
    pairs = set(zip(starts.latents[:, 0].tolist(), starts.before[:, 0].tolist(), strict=True))
    first, second = {(0.0, 0.0), (1.0, 0.0)}, {(100.0, 100.0), (101.0, 100.0), (102.0, 101.0)}
    assert pairs == first | second


def test_first_starts_are_what_episodes_begin_with(tmp_path: Path) -> None:
    data, latents = recorded(tmp_path, [3, 9, 5])
    first = dream_starts(data, latents, WORLD, np.random.default_rng(0), first=True)
    assert set(first.latents[:, 0].tolist()) == {0.0, 100.0, 200.0}
    assert not first.states.any() and np.array_equal(first.before, first.latents)
