"""The contracts of the world model: Vision (V), Memory (M), Controller (C) and Solver.

Everything crosses these interfaces as numpy arrays, so torch and numpy implementations are
interchangeable and a caller never asks which one it holds. Shape letters: `N` parallel
environments, `B` batch, `T` time, `H W C` image (uint8), `Z` latent, `R` recurrent hidden,
`S` memory state, `F` features, `A` action size, `P` parameters.

A learner is driven update by update, so that training can be committed between any two; what each
takes is its own (frames and those before them, a `SequenceBatch`, `Rollout`s):

    for number in range(updates):
        metrics = memory.update(batches[number], rng)
    memory.finish()

`state()` holds everything the next `update` depends on (weights, optimiser moments, counters),
as numpy arrays; `load_state(state())` on a fresh instance built with the same arguments
continues bit-identically.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from models.shapes import Bool, Float32, Int64

Float = NDArray[np.float32]
Frames = NDArray[np.uint8]
State = dict[str, np.ndarray]
Metrics = dict[str, float]


class NonFiniteLoss(ArithmeticError):
    """A training step met a NaN or infinite loss or gradient; weights were left untouched."""


class OutOfDeviceMemory(RuntimeError):
    """A training step did not fit into the device's memory; load a good state before the next."""


class NonFiniteFitness(ValueError):
    """A solver was told a NaN or infinite fitness; its state was left untouched."""


@dataclass(frozen=True)
class SequenceBatch:
    """Real transitions for M, cut from episodes and never crossing one.

    Attributes:
        latents: `[B, T+1, Z]` float32, z_t for t = 0..T (sampled from V's posterior).
        actions: `[B, T, A]` float32, one-hot or scaled to [-1, 1].
        rewards: `[B, T]` float32, the reward of action t.
        terminated: `[B, T]` float32 in {0, 1}, whether action t ended the episode (no time limit).
        mask: `[B, T]` float32 in {0, 1}, zero on padding after an episode's end.
    """

    latents: Float32[np.ndarray, "B L Z"]
    actions: Float32[np.ndarray, "B T A"]
    rewards: Float32[np.ndarray, "B T"]
    terminated: Float32[np.ndarray, "B T"]
    mask: Float32[np.ndarray, "B T"]


@dataclass(frozen=True)
class Prediction:
    """One imagined step of M.

    Attributes:
        latents: `[N, Z]` float32, sampled z_{t+1}.
        rewards: `[N]` float32, expected reward.
        terminated: `[N]` float32, probability that the episode ended with this step.
    """

    latents: Float32[np.ndarray, "N Z"]
    rewards: Float32[np.ndarray, " N"]
    terminated: Float32[np.ndarray, " N"]


@runtime_checkable
class Vision(Protocol):
    """V: observations to latents. For state environments V is a running normaliser."""

    latent_size: int
    single_pass: bool
    """True where one pass over the data suffices (closed-form learners); epochs are then 1."""

    def update(
        self, observations: np.ndarray, previous: np.ndarray, rng: np.random.Generator
    ) -> Metrics:
        """Learns from one batch.

        Args:
            observations: `[B, H, W, C]` uint8 frames, or `[B, D]` float32 states.
            previous: same shape, the observation one step earlier in the same episode (the same
                observation at an episode's first step); what differs is what moved.
            rng: noise of the reparameterisation.

        Returns:
            Finite metrics, `loss` among them.

        Raises:
            NonFiniteLoss: the step was refused.
        """
        ...

    def finish(self) -> Metrics:
        """Completes learning after the last update (closed-form learners solve here)."""
        ...

    def encode(self, observations: np.ndarray) -> Float:
        """Returns posterior means `[N, Z]`."""
        ...

    def posterior(self, observations: np.ndarray) -> tuple[Float, Float]:
        """Returns mean and log variance, `[N, Z]` each (a very low variance if V is not random)."""
        ...

    def decode(self, latents: Float) -> np.ndarray:
        """Returns observations `[N, H, W, C]` uint8, or `[N, D]` float32 for states."""
        ...

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


@runtime_checkable
class Memory(Protocol):
    """M: p(z_{t+1}, r_t, end_t | z_t, a_t, state). `state` is `[N, S]` float32, opaque."""

    latent_size: int
    action_size: int
    hidden_size: int
    single_pass: bool

    def update(self, batch: SequenceBatch, rng: np.random.Generator) -> Metrics:
        """Learns from one batch; Raises NonFiniteLoss when the step was refused."""
        ...

    def finish(self) -> Metrics: ...

    def evaluate(self, batch: SequenceBatch) -> Metrics:
        """Scores a batch without learning: at least `nll`, `prediction_error`, `reward_error`."""
        ...

    def initial_state(self, n: int) -> Float:
        """Returns the state before an episode's first step, `[n, S]`."""
        ...

    def hidden(self, state: Float) -> Float:
        """Returns the features h of a state, `[N, R]`."""
        ...

    def step(self, state: Float, latents: Float, actions: Float) -> Float:
        """Advances `[N, S]` by z_t `[N, Z]` and the encoded a_t `[N, A]`."""
        ...

    def predict(
        self, state: Float, latents: Float, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        """Samples z_{t+1}, r_t and the end's probability from a state already advanced by `step`.

        Args:
            state: `[N, S]`, the state *after* `step(state, z_t, a_t)`.
            latents: `[N, Z]`, z_t (implementations may predict a difference from it).
            temperature: tau > 0 as in Ha & Schmidhuber 2018: mixture logits are divided by tau,
                standard deviations multiplied by sqrt(tau).
            rng: the only source of noise.
        """
        ...

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


@runtime_checkable
class Descends(Protocol):
    """What V, M and C's learner can do if they learn by gradients: be healed; not in `state()`."""

    learning_rate: float
    """The optimiser's step size; may be set between updates."""
    parts: int
    """How many parts an update's batch is taken in, their gradients added up; may be set."""

    @property
    def device(self) -> str:
        """Where it computes, `cpu` or `cuda`."""
        ...

    def move_to(self, device: str) -> None:
        """Goes on computing on another device, with its weights, moments and counters."""
        ...


@runtime_checkable
class Controller(Protocol):
    """C: features to actions; every implementation gives equal actions for equal parameters."""

    num_features: int
    num_parameters: int

    def get_parameters(self) -> Float:
        """Returns a flat copy, `[P]` float32: per layer weights `[in, out]` by rows, then bias."""
        ...

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Raises ValueError on a wrong size or a non-finite value."""
        ...

    def act(self, features: Float) -> np.ndarray:
        """Greedy actions for `[N, F]`: `[N]` int64 (discrete) or `[N, A]` float32 in the bounds."""
        ...

    def sample(self, features: Float, rng: np.random.Generator) -> np.ndarray:
        """Actions drawn from the policy: softmax, or a Gaussian squashed by tanh."""
        ...

    def draw_noise(self, count: int, rng: np.random.Generator) -> Float:
        """Noise `[count, A]`, a column for each action or action dimension, for `perturbed`."""
        ...

    def perturbed(self, features: Float, noise: Float) -> np.ndarray:
        """Actions with given noise, fresh or older; `sample` draws it anew."""
        ...


@dataclass(frozen=True)
class Rollout:
    """T steps of each of N environments or dreams, as a policy that learns from them needs them.

    Attributes:
        features: `[T, N, F]` float32, what the policy read before each step; where an encoder is
            learned jointly, what that reads, `[T, N, ...]`.
        actions: `[T, N]` int64, or `[T, N, A]` float32 in environment units.
        rewards: `[T, N]` float32.
        terminated, truncated: `[T, N]` bool, never both.
        last_features: `[N, F]`, after the last step; not read where that ended an episode.
        cut_at: `[M, 2]` int64, the places `(t, n)` of the truncated steps, in any order.
        cut_features: `[M, F]`, of the last observations of the episodes that were cut there.
        mask: `[T, N]` bool, False for steps that were never taken because the episode was over
            and nothing followed; None if all were.
        log_probs: `[T, N]` float32, log-probabilities (densities) of the actions under the policy
            that played them, as `PolicyLearner.log_probs` gave them then; None if that is the
            present one.
    """

    features: np.ndarray
    actions: np.ndarray
    rewards: Float32[np.ndarray, "T N"]
    terminated: Bool[np.ndarray, "T N"]
    truncated: Bool[np.ndarray, "T N"]
    last_features: np.ndarray
    cut_at: Int64[np.ndarray, "M 2"]
    cut_features: np.ndarray
    mask: Bool[np.ndarray, "T N"] | None = None
    log_probs: Float32[np.ndarray, "T N"] | None = None


@runtime_checkable
class PolicyLearner(Protocol):
    """Improves a controller by gradients, from rollouts of the controller as it is or was."""

    num_features: int
    num_parameters: int

    @property
    def learning_rate(self) -> float:
        """The optimiser's step size; may be set between updates."""
        ...

    @learning_rate.setter
    def learning_rate(self, value: float) -> None: ...

    def set_feature_scale(self, mean: Float, std: Float) -> None:
        """Takes the usual mean and spread of each feature, `[F]`, before the first update."""
        ...

    def update(self, rollouts: Sequence[Rollout], rng: np.random.Generator) -> Metrics:
        """Learns from rollouts that the present parameters have played, or earlier ones.

        Raises:
            NonFiniteLoss: the update was refused; everything is as before.
        """
        ...

    def log_probs(self, rollout: Rollout) -> Float:
        """Returns what `Rollout.log_probs` is of a rollout that the present parameters played."""
        ...

    def values(self, features: np.ndarray) -> Float:
        """Returns the expected discounted returns `[N]` of features `[N, F]`."""
        ...

    def get_parameters(self) -> Float:
        """Returns the policy as parameters of a `Controller`, `[P]` float32."""
        ...

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Starts from the parameters of a `Controller`; what values are worth is kept."""
        ...

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


@dataclass(frozen=True)
class Transitions:
    """Transitions over up to n steps, drawn at random from a replay.

    Attributes:
        features: `[B, F]` float32, what C read before the first step.
        actions: `[B]` int64 or `[B, A]` float32 in environment units, of the first step.
        returns: `[B]` float32, the discounted rewards of the steps.
        discounts: `[B]` float32, what the value of `following` counts: gamma to the number of
            steps, 0 where the episode terminated.
        following: `[B, F]` float32, what C read after the last step.
    """

    features: Float
    actions: np.ndarray
    returns: Float
    discounts: Float
    following: Float


@runtime_checkable
class OffPolicyLearner(Descends, Protocol):
    """Improves a controller by gradients, from transitions that any policy has played."""

    num_features: int
    num_parameters: int

    def set_feature_scale(self, mean: Float, std: Float) -> None:
        """Takes each feature's usual mean and spread, `[F]`; what was learned stays a function."""
        ...

    def update(self, batch: Transitions, rng: np.random.Generator) -> Metrics:
        """Takes one step; raises NonFiniteLoss where it is refused and everything is as before."""
        ...

    def all_or_nothing(self) -> AbstractContextManager[None]:
        """Puts everything back if the block, of many updates, does not come to its end."""
        ...

    def get_parameters(self) -> Float:
        """Returns the policy as parameters of a `Controller` of raw features, `[P]` float32."""
        ...

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Starts from the parameters of a `Controller`."""
        ...

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


@runtime_checkable
class Solver(Protocol):
    """A black-box optimiser that maximises fitness by ask and tell."""

    dimension: int
    popsize: int
    generation: int

    def ask(self) -> NDArray[np.float64]:
        """Returns candidates `[popsize, P]`; asking twice without a tell gives the same ones."""
        ...

    def tell(self, fitness: np.ndarray) -> None:
        """Takes the fitness `[popsize]` of the last asked candidates, higher is better.

        Raises:
            NonFiniteFitness: some value is NaN or infinite.
        """
        ...

    def mean(self) -> NDArray[np.float64]:
        """Returns the distribution's mean, `[P]`: the solution to deploy."""
        ...

    def best(self) -> tuple[NDArray[np.float64], float]:
        """Returns the best candidate ever told and its fitness."""
        ...

    def statistics(self) -> Metrics:
        """Convergence: at least sigma, axis_ratio, fitness_mean, fitness_best, fitness_std."""
        ...

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...
