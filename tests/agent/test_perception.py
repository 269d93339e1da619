"""[z, dz, h]: the same through V and M in a real environment as inside a dream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest

from curriculum.agent.perception import (
    DreamPerception,
    WorldModelPerception,
    feature_slices,
    join_features,
    num_features,
)
from curriculum.envs.interface import ActionSpec
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from curriculum.world.world_model import WorldModel
from models.interfaces import Memory, Prediction, Vision

BUTTONS = ActionSpec("discrete", 2)
ALL = ("z", "dz", "h")


class Sees:
    """A vision that takes states as they are."""

    latent_size = 2

    def encode(self, observations: np.ndarray) -> np.ndarray:
        return np.array(observations, np.float32)


class Sums:
    """A memory whose h is the sum of the latents it has seen, and the last action."""

    latent_size, action_size, hidden_size, single_pass = 2, 2, 3, True

    def initial_state(self, n: int) -> np.ndarray:
        return np.zeros((n, 3), np.float32)

    def hidden(self, state: np.ndarray) -> np.ndarray:
        return state

    def step(self, state: np.ndarray, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return np.concatenate([state[:, :2] + latents, actions[:, 1:]], axis=1)

    def predict(
        self, state: np.ndarray, latents: np.ndarray, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        nothing = np.zeros(len(latents), np.float32)
        noise = rng.standard_normal(latents.shape).astype(np.float32)
        return Prediction(latents + noise, nothing, nothing)


def perception(names: tuple[str, ...] = ALL, slots: int = 3, **options: Any):
    world = WorldModel(cast(Vision, Sees()), cast(Memory, Sums()))
    return WorldModelPerception(world, BUTTONS, names, slots, **options)


def test_features_lie_in_their_fixed_order_whatever_the_names_are_given_in() -> None:
    assert feature_slices(("h", "dz"), 2, 3) == {"dz": slice(0, 2), "h": slice(2, 5)}
    assert num_features(("h", "dz", "z"), 2, 3) == 7
    z, before, h = (
        np.array([[1, 2]], np.float32),
        np.array([[0, 5]], np.float32),
        np.array([[7, 8, 9]], np.float32),
    )
    assert join_features(("h", "dz", "z"), z, before, h).tolist() == [[1, 2, 1, -3, 7, 8, 9]]


def test_dz_is_the_change_since_the_step_before_in_each_slot() -> None:
    seen = np.random.default_rng(0).standard_normal((12, 3, 2)).astype(np.float32)
    built = perception()
    # When slot n begins an episode, and when it is live at all.
    begins = {0: [0, 1, 2], 4: [1], 5: [1, 2], 9: [0]}
    live = [np.flatnonzero([True, t != 7, t % 3 != 2]) for t in range(12)]
    last: dict[int, np.ndarray] = {}
    total = np.zeros((3, 2), np.float32)
    for t, slots in enumerate(live):
        fresh = begins.get(t, [])
        built.begin(np.array(fresh, np.int64))
        for n in fresh:
            last.pop(n, None)
            total[n] = 0
        found = built.features(seen[t, slots], slots)
        for row, n in enumerate(slots.tolist()):
            z = seen[t, n]
            change = z - last[n] if n in last else np.zeros(2)
            np.testing.assert_array_equal(found[row, :4], [*z, *change])
            np.testing.assert_allclose(found[row, 4:6], total[n], rtol=1e-6)
            last[n] = z
            total[n] += z
        built.acted(np.zeros(len(slots), np.int64), slots)


def test_what_was_seen_before_is_part_of_the_state() -> None:
    rng = np.random.default_rng(1)
    slots = np.arange(3)
    seen = rng.standard_normal((5, 3, 2)).astype(np.float32)
    first, second = perception(), perception()
    second.features(seen[4], slots)
    first.begin(slots)
    first.features(seen[0], slots)
    first.begin(slots[1:2])
    state = first.state()
    second.load_state(state)
    expected = first.features(seen[1], slots)
    assert np.array_equal(second.features(seen[1], slots), expected)
    assert (expected[1, 2:4] == 0).all() and expected[[0, 2], 2:4].all()
    # A state once given is not moved by what comes later.
    third = perception()
    third.load_state(state)
    assert np.array_equal(third.features(seen[1], slots), expected)


def test_memory_is_stepped_only_where_c_reads_it() -> None:
    for names, remembered in ((("z", "dz"), [0, 0, 0]), (ALL, [6, 6, 1])):
        built, slots = perception(names), np.arange(3)
        built.begin(slots)
        for seen in (1.0, 2.0, 3.0):
            built.features(np.full((3, 2), seen, np.float32), slots)
            built.acted(np.ones(3, np.int64), slots)
        assert (built.state()["memory"] == remembered).all()


def dreaming(starts: Mapping[str, np.ndarray], names: tuple[str, ...]):
    memory = WorldModel(None, cast(Memory, Sums()))
    dream = DreamVectorEnv(memory, DreamStarts(**starts), BUTTONS, 3, max_steps=50)
    return dream, DreamPerception(dream, names, key_points=1)


@pytest.mark.parametrize("names", [ALL, ("z", "dz"), ("dz",), ("z", "h"), ("k", "dk"), ("dk", "h")])
def test_a_dream_is_perceived_as_reality_is(names: tuple[str, ...]) -> None:
    rng, slots = np.random.default_rng(2), np.arange(3)
    # These dreams begin at the beginning of episodes, so reality has no past either.
    latents = rng.standard_normal((5, 2)).astype(np.float32)
    starts = {"latents": latents, "states": np.zeros((5, 3), np.float32)}
    dream, dreamed = dreaming(starts, names)
    real = perception(names, key_points=1)
    seen = dream.reset([1, 2, 3])
    real.begin(slots)
    dreamed.begin(slots)
    for step in range(12):
        if step == 6:
            seen = dream.reset([9], [1])
            real.begin(slots[1:2])
        some = slots if step % 2 else slots[[0, 2]]
        actions = rng.integers(2, size=3)
        expected = real.features(seen, slots)
        assert np.array_equal(dreamed.features(seen[some], some), expected[some])
        real.acted(actions, slots)
        seen = dream.step(actions).observations


def test_a_dream_begun_within_an_episode_has_the_change_that_led_there() -> None:
    rng = np.random.default_rng(3)
    starts = {
        "latents": rng.standard_normal((5, 2)).astype(np.float32),
        "states": rng.standard_normal((5, 3)).astype(np.float32),
        "before": rng.standard_normal((5, 2)).astype(np.float32),
    }
    dream, dreamed = dreaming(starts, ALL)
    seen = dream.reset([4, 5, 6])
    slots = np.arange(3)
    places = [int(np.flatnonzero((starts["latents"] == z).all(axis=1))[0]) for z in seen]
    first = dreamed.features(seen, slots)
    assert np.array_equal(first[:, 2:4], (starts["latents"] - starts["before"])[places])
    assert np.array_equal(first[:, 4:], starts["states"][places])
    following = dream.step(np.ones(3, np.int64)).observations
    assert np.array_equal(dreamed.features(following, slots)[:, 2:4], following - seen)
    with pytest.raises(ValueError, match="before"):
        DreamStarts(starts["latents"], starts["states"], starts["before"][:4])
