"""M as environments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from curriculum.envs.contract import check_vector_env
from curriculum.envs.interface import ActionSpec
from curriculum.errors import StageFailure
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from curriculum.world.world_model import WorldModel
from models.interfaces import Float, Memory, Metrics, Prediction, SequenceBatch, State
from models.settings.mdnrnn import MDNRNNSettings

BUTTONS = ActionSpec("discrete", 2)
STICKS = ActionSpec("continuous", 2, (-1.0, 0.0), (1.0, 2.0))


class Drift:
    """A memory whose every number can be worked out by hand: z moves on by h and some noise."""

    latent_size = 3
    action_size = 2
    hidden_size = 2
    single_pass = True

    def __init__(self, noise: float = 0.1, end: float = 0.05) -> None:
        self.noise = noise
        self.end = end
        self.temperatures: list[float] = []

    def update(self, batch: SequenceBatch, rng: np.random.Generator) -> Metrics:
        return {"loss": 0.0}

    def finish(self) -> Metrics:
        return {}

    def evaluate(self, batch: SequenceBatch) -> Metrics:
        return {}

    def initial_state(self, n: int) -> Float:
        return np.zeros((n, 4), np.float32)

    def hidden(self, state: Float) -> Float:
        return state[:, :2]

    def step(self, state: Float, latents: Float, actions: Float) -> Float:
        moved = 0.5 * state[:, :2] + actions
        return np.concatenate([moved, latents[:, :2]], axis=1).astype(np.float32)

    def predict(
        self, state: Float, latents: Float, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        self.temperatures.append(temperature)
        noise = self.noise * rng.standard_normal(latents.shape)
        following = (latents + state[:, :1] + noise).astype(np.float32)
        return Prediction(following, state[:, 1], np.full(len(state), self.end, np.float32))

    def state(self) -> State:
        return {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        del state


def starts(memory: Memory, count: int = 16) -> DreamStarts:
    rng = np.random.default_rng(0)
    state = memory.initial_state(count)
    latents = rng.standard_normal((count, memory.latent_size)).astype(np.float32)
    return DreamStarts(latents, rng.standard_normal(state.shape).astype(np.float32))


def dream(memory: Memory, num_envs: int, action: ActionSpec = BUTTONS, **options) -> DreamVectorEnv:
    return DreamVectorEnv(WorldModel(None, memory), starts(memory), action, num_envs, **options)


@pytest.mark.parametrize("action", [BUTTONS, STICKS], ids=["discrete", "continuous"])
def test_dreams_keep_the_contract(action: ActionSpec) -> None:
    memory = Drift()
    assert isinstance(memory, Memory)
    found = check_vector_env(lambda n: dream(memory, n, action, max_steps=12), shared_noise=True)
    assert found == []


def test_dreams_begin_where_the_seed_says_in_real_data() -> None:
    memory = Drift()
    begin = starts(memory)
    env = dream(memory, 3)
    seen = env.reset([5, 6, 5])
    np.testing.assert_array_equal(seen[0], seen[2])
    place = np.flatnonzero((begin.latents == seen[1]).all(axis=1))
    assert place.size == 1
    np.testing.assert_array_equal(env.hidden()[1], memory.hidden(begin.states[place])[0])
    np.testing.assert_array_equal(dream(memory, 1).reset([6])[0], seen[1])
    places = {env.reset([seed, 0, 0])[0].tobytes() for seed in range(200)}
    assert len(places) == len(begin.latents)


def test_a_step_is_what_memory_predicts() -> None:
    memory = Drift(noise=0.0, end=0.0)
    env = dream(memory, 2)
    before, state = env.reset([1, 2]), env.hidden()
    step = env.step(np.array([0, 1]))
    moved = 0.5 * state + np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(env.hidden(), moved, rtol=1e-6)
    np.testing.assert_allclose(step.observations, before + moved[:, :1], rtol=1e-6)
    np.testing.assert_allclose(step.rewards, moved[:, 1], rtol=1e-6)


def test_equal_seeds_of_the_whole_batch_give_equal_dreams() -> None:
    memory = Drift()
    actions = np.random.default_rng(1).integers(0, 2, (10, 4))

    def play(env: DreamVectorEnv, seeds: list[int]) -> np.ndarray:
        env.reset(seeds)
        return np.stack([env.step(row).observations for row in actions])

    env = dream(memory, 4)
    first = play(env, [1, 2, 3, 4])
    other = play(env, [1, 2, 3, 5])
    np.testing.assert_array_equal(play(env, [1, 2, 3, 4]), first)
    np.testing.assert_array_equal(play(dream(memory, 4), [1, 2, 3, 4]), first)
    assert not np.array_equal(other[:, 0], first[:, 0])  # the batch is one unit


def test_ends_are_drawn_with_the_predicted_probability() -> None:
    env = dream(Drift(end=0.3), 4000)
    env.reset(list(range(4000)))
    ended = env.step(np.zeros(4000, np.int64)).terminated.mean()
    assert abs(ended - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)


def test_certain_ends_terminate_and_others_are_truncated_at_the_limit() -> None:
    sure = dream(Drift(end=1.0), 2, max_steps=1)
    sure.reset([1, 2])
    step = sure.step(np.zeros(2, np.int64))
    assert step.terminated.all()
    assert not step.truncated.any()
    endless = dream(Drift(end=0.0), 2, max_steps=3)
    endless.reset([1, 2])
    cut = [endless.step(np.zeros(2, np.int64)).truncated.all() for _ in range(4)]
    assert cut == [False, False, True, False]


def test_the_temperature_reaches_memory_and_has_bounds() -> None:
    memory = Drift()
    env = dream(memory, 1, temperature=1.3)
    env.reset([1])
    env.step(np.zeros(1, np.int64))
    assert memory.temperatures == [1.3]
    for wrong in (0.4, 2.1, float("nan")):
        with pytest.raises(ValueError, match="temperature"):
            dream(memory, 1, temperature=wrong)


def test_sizes_that_do_not_fit_are_refused() -> None:
    memory = Drift()
    with pytest.raises(ValueError, match="sizes"):
        DreamVectorEnv(WorldModel(None, memory), starts(memory), ActionSpec("discrete", 3), 1)
    with pytest.raises(ValueError, match="same M"):
        DreamStarts(np.zeros((2, 3), np.float32), np.zeros((1, 4), np.float32))
    with pytest.raises(ValueError, match="not finite"):
        DreamStarts(np.full((1, 3), np.nan, np.float32), np.zeros((1, 4), np.float32))


def test_a_memory_that_diverges_fails_the_stage() -> None:
    env = dream(Drift(noise=np.inf), 1)
    env.reset([1])
    with pytest.raises(StageFailure, match="not finite"):
        env.step(np.zeros(1, np.int64))


def test_the_numpy_memory_dreams() -> None:
    from models.echo import EchoMemory

    memory = EchoMemory(3, 2, hidden_size=8)
    teach(memory)
    assert check_vector_env(lambda n: dream(memory, n, max_steps=12), shared_noise=True) == []


@pytest.mark.torch
def test_the_torch_memory_dreams() -> None:
    from models.mdnrnn import MDNRNN

    memory = MDNRNN(3, 2, MDNRNNSettings(rnn_size=8))
    teach(memory)
    assert check_vector_env(lambda n: dream(memory, n, max_steps=12), shared_noise=True) == []


@pytest.mark.gym
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_a_dream_is_a_gymnasium_environment(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    action = BUTTONS if kind == "discrete" else ActionSpec("continuous", 2, (-1, -1), (1, 1))
    memory = Drift()
    monkeypatch.setattr("gymnasium.envs.registration.registry", dict(gymnasium.registry))
    gymnasium.register("Dream-v0", "curriculum.agent.dream_env:DreamEnv")
    world = WorldModel(None, memory)
    env = gymnasium.make("Dream-v0", world=world, starts=starts(memory), action=action)
    check_env(env.unwrapped)
    seen, _ = env.reset(seed=3)
    assert seen in env.observation_space
    assert env.unwrapped.hidden().shape == (2,)
    assert not np.array_equal(env.reset()[0], env.reset()[0])


def teach(memory: Memory) -> None:
    """Shows a memory a random walk whose rewards and ends follow from it."""
    rng = np.random.default_rng(2)
    for _ in range(3):
        steps = 0.1 * rng.standard_normal((8, 11, 3))
        latents = np.cumsum(steps, axis=1).astype(np.float32)
        actions = BUTTONS.encode(rng.integers(0, 2, 80)).reshape(8, 10, 2)
        ends = (rng.random((8, 10)) < 0.1).astype(np.float32)
        mask = np.ones((8, 10), np.float32)
        memory.update(SequenceBatch(latents, actions, latents[:, :-1, 0], ends, mask), rng)
    memory.finish()
