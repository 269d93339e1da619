"""The executable contract, over every environment, and proof that it finds what is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from curriculum.envs.batch import Batch, Outcome, Rows, Slots
from curriculum.envs.contract import check_vector_env, checked_actions, checked_rows
from curriculum.envs.interface import ActionSpec, EnvSpec, Step, VectorEnv
from curriculum.envs.registry import make_env
from curriculum.envs.simulation import SIMULATIONS, make_simulation

REAL: dict[str, Callable[[int], VectorEnv]] = {
    "pong": lambda n: make_env(
        "PongNoFrameskip-v4", "pixels", n, frame_skip=4, max_episode_steps=10
    ),
    "lunarlander": lambda n: make_env("LunarLander-v3", "state", n),
    "lunarlander-continuous": lambda n: make_env(
        "LunarLander-v3", "state", n, continuous=True, max_episode_steps=10
    ),
    "carracing": lambda n: make_env(
        "CarRacing-v3", "pixels", n, frame_skip=4, grayscale=False, max_episode_steps=5
    ),
    "cartpole-pixels": lambda n: make_env("CartPole-v1", "pixels", n, max_episode_steps=5),
    "frozenlake": lambda n: make_env("FrozenLake-v1", "state", n),
}
STEPS = {"lunarlander": 120, "carracing": 8, "cartpole-pixels": 8}


@pytest.mark.gym
@pytest.mark.parametrize("name", REAL)
def test_real_environments_keep_the_contract(name: str) -> None:
    assert check_vector_env(REAL[name], steps=STEPS.get(name, 20)) == []


@pytest.mark.parametrize("name", SIMULATIONS)
def test_simulated_environments_keep_the_contract(name: str) -> None:
    assert check_vector_env(lambda n: make_simulation(name, n, max_episode_steps=10)) == []


class Walking:
    """A right core."""

    def __init__(self, num_envs: int) -> None:
        self.spec = EnvSpec("walk", "state", (2,), ActionSpec("discrete", 3), 1, 9)
        self.num_envs = num_envs
        self.streams = [np.random.default_rng(0) for _ in range(num_envs)]
        self.places = np.zeros((num_envs, 2), np.float32)
        self.closed = 0

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        assert not slots.ages[rows].any()
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self.streams[row] = np.random.default_rng(seed)
            self.places[row] = self.streams[row].standard_normal(2)
        return self.places[rows]

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        assert slots.live.any()
        for row in np.flatnonzero(slots.live):
            self.places[row] += actions[row] - 1 + self.streams[row].standard_normal(2)
        # What parked environments give is put right by the batch.
        seen = np.where(slots.live[:, None], self.places, -7).astype(np.float32)
        over = np.abs(seen).max(axis=1) > 4
        return Outcome(seen, seen[:, 0], over, over)

    def close(self) -> None:
        self.closed += 1


class Walk(Batch):
    """A right environment, of which each saboteur breaks one promise."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(Walking(num_envs), 9)


class Deaf(Walk):
    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        shown = super().reset(seeds, indices)
        return shown + np.random.default_rng().standard_normal(2, np.float32)


class Crowded(Walk):
    def recv(self) -> Step:
        step = super().recv()
        return step._replace(rewards=np.where(step.rewards, step.rewards.sum(), 0))


class Restless(Walk):
    def recv(self) -> Step:
        step = super().recv()
        return step._replace(rewards=step.rewards + np.float32(1))


class Reviving(Walk):
    def recv(self) -> Step:
        step = super().recv()
        over = np.flatnonzero(step.terminated | step.truncated)
        return step._replace(observations=self.reset([0] * over.size, over.tolist()))


class Overwriting(Walk):
    def recv(self) -> Step:
        kept, step = self._observations, super().recv()
        kept[:] = step.observations
        self._observations = kept
        return step._replace(observations=kept)


class Twofold(Walk):
    def recv(self) -> Step:
        step = super().recv()
        return step._replace(truncated=step.truncated | step.terminated)


class Wide(Walk):
    def recv(self) -> Step:
        return super().recv()._replace(rewards=np.zeros(self.num_envs))


class Boundless(Walk):
    def send(self, actions: np.ndarray) -> np.ndarray:
        return super().send(np.clip(actions, 0, 2))


class Hasty(Walk):
    def recv(self) -> Step:
        if self._sent is None:
            self.send(np.zeros(self.num_envs, np.int64))
        return super().recv()


class Hoarding(Walk):
    def send(self, actions: np.ndarray) -> np.ndarray:
        self._sent = None
        return super().send(actions)


class Drifting(Walk):
    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        if seeds is None:
            seeds = np.random.default_rng().integers(2**31, size=len(indices or "12")).tolist()
        return super().reset(seeds, indices)


class Wilful(Walk):
    def send(self, actions: np.ndarray) -> np.ndarray:
        return super().send(2 - np.asarray(actions))


class Dying(Walk):
    def recv(self) -> Step:
        step = super().recv()
        return step._replace(life_lost=step.terminated)


class Infinite(Walk):
    def recv(self) -> Step:
        step = super().recv()
        return step._replace(rewards=step.rewards / np.float32(0.0))


class Mislabelled(Walk):
    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.spec = replace(self.spec, shape=(3,))


def test_a_right_environment_passes() -> None:
    assert check_vector_env(Walk) == []


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize(
    ("saboteur", "complaint"),
    [
        (Deaf, "equal seeds"),
        (Crowded, "batch of another size"),
        (Restless, "parked"),
        (Reviving, "parked"),
        (Overwriting, "returned before"),
        (Twofold, "terminated and truncated together"),
        (Wide, "rewards"),
        (Boundless, "action that does not exist"),
        (Infinite, "not finite"),
        (Mislabelled, "its spec promises"),
        (Hasty, "recv without send"),
        (Hoarding, "send between send and recv"),
        (Drifting, "goes on without seeds"),
        (Dying, "life_lost at the end"),
        (Wilful, "takes other actions"),
    ],
)
def test_each_broken_promise_is_found(saboteur: type[Walk], complaint: str) -> None:
    assert any(complaint in violation for violation in check_vector_env(saboteur))


def test_shared_noise_permits_neighbours_and_nothing_else() -> None:
    assert check_vector_env(Crowded, shared_noise=True) == []
    assert check_vector_env(Deaf, shared_noise=True) != []


@pytest.mark.parametrize(
    ("seeds", "indices"),
    [([1], None), ([1, 2], [0]), ([1, 2], [0, 0]), ([1], [-1]), ([1], [2]), ([-1, 2], None)],
)
def test_wrong_resets_are_refused(seeds: list[int], indices: list[int] | None) -> None:
    with pytest.raises(ValueError, match="reset got"):
        checked_rows(2, seeds, indices)


def test_continuous_actions_are_kept_inside_their_bounds() -> None:
    spec = EnvSpec("sticks", "state", (1,), ActionSpec("continuous", 2, (-1.0, 0.0), (1.0, 2.0)))
    kept = checked_actions(spec, 1, np.array([[-1.5, 2.5]]))
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, [[-1.0, 2.0]])
