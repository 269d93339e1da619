"""C alone, on features as large as the paper's: a seeded system, a dream of it, and controllers.

The system is `LATENTS / 2` damped pendulums, each with its own period, that six pushes act upon at
once; what is earned is a weighted sum of where they are, weighted such that the same push for ever
earns nothing: it has to come in time. M learns it in one pass from random pushes, C learns in M's
dream, and what it has learned is tried on the system itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curriculum.envs.interface import ActionSpec
from curriculum.seeds import env_seed, generator
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from curriculum.world.world_model import WorldModel
from models.controller_cpu import CPUController, PopulationController
from models.echo import EchoMemory
from models.interfaces import Float, SequenceBatch
from models.search.evolution import EvolutionStrategy
from models.shapes import Float32, Shaped

LATENTS, UNITS, ACTIONS = 32, 256, 6
"""Z, R and A: with z and h, C reads 288 numbers and chooses among six actions, as Pong's does."""
SIZES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("linear", ()),
    ("MLP-32", (32,)),
    ("MLP-128", (128,)),
)
STEPS = 60
"""Of an episode, dreamed or real."""
EPISODES = 128
"""That M learns from."""
POPULATION, ROLLOUTS, CHECKED = 32, 4, 64
SIGMA = 0.05
KEPT, NOISE, PUSH = 0.97, 0.02, 0.3
"""What a pendulum keeps of its swing in a step, the noise of a step, and the size of a push."""
SHORTEST, LONGEST = 8.0, 30.0
"""Periods, in steps."""
_STREAM = "demo"

Act = Callable[[Float], np.ndarray]
Told = Callable[[int, float], None]
"""Is told each generation: its number and its mean score in dreams."""


@dataclass(frozen=True)
class Learned:
    """What a controller came to.

    Attributes:
        parameters: how many it has.
        before, dreamed: mean scores in dreams that learning did not use, before and after it.
        real: mean score in the system that was dreamed of.
        dream_steps: that learning took.
        seconds: that it took.
    """

    parameters: int
    before: float
    dreamed: float
    real: float
    dream_steps: int
    seconds: float


class Pendulums:
    """The system.

    Args:
        rng: draws periods, pushes and what is earned.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        turns = 2.0 * np.pi / rng.uniform(SHORTEST, LONGEST, LATENTS // 2)
        self._turning = np.zeros((LATENTS, LATENTS))
        for number, turn in enumerate(turns):
            at = slice(2 * number, 2 * number + 2)
            cosine, sine = np.cos(turn), np.sin(turn)
            self._turning[at, at] = KEPT * np.array([[cosine, -sine], [sine, cosine]])
        self._pushes = PUSH * rng.standard_normal((ACTIONS, LATENTS))
        at_rest = np.linalg.solve(np.eye(LATENTS) - self._turning, self._pushes.T)
        worth = rng.standard_normal(LATENTS) / np.sqrt(LATENTS)
        self._worth = worth - at_rest @ np.linalg.lstsq(at_rest, worth)[0]

    def begin(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "N Z"]:
        """Returns where the pendulums of so many systems begin."""
        return rng.standard_normal((count, LATENTS)).astype(np.float32)

    def step(
        self, z: Float32[np.ndarray, "N Z"], actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "N Z"], Float32[np.ndarray, " N"]]:
        """Returns where they are after a push, and what that earns."""
        moved = z @ self._turning.T + self._pushes[actions] + NOISE * rng.standard_normal(z.shape)
        return moved.astype(np.float32), (moved @ self._worth).astype(np.float32)


class SeededDream:
    """A dream of such a system.

    Args:
        seed: decides the system, what M sees of it, the dreams and what a search draws.

    Attributes:
        random: mean score of random pushes, from which M has learned.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._action = ActionSpec("discrete", ACTIONS)
        self._system = Pendulums(generator(seed, _STREAM, "system"))
        seen = self._seen()
        self.random = float(seen.rewards.sum(axis=1).mean())
        memory = EchoMemory(LATENTS, ACTIONS, UNITS, seed=seed)
        memory.update(seen, generator(seed, _STREAM, "ends"))
        memory.finish()
        self._world = WorldModel(None, memory)
        first = np.ascontiguousarray(seen.latents[:, 0])
        self._starts = DreamStarts(first, self._world.begin(len(first)))

    def learn(
        self, hidden_sizes: tuple[int, ...], generations: int, told: Told = lambda *_: None
    ) -> Learned:
        """Searches a controller's parameters in the dream, and measures what was found.

        Args:
            hidden_sizes: of the controller; none is linear.
            generations: each of them dreams `POPULATION * ROLLOUTS` dreams of `STEPS`.
            told: is told each generation.
        """
        began = time.perf_counter()
        start = controller(hidden_sizes, self._seed).get_parameters()
        solver = EvolutionStrategy(start, SIGMA, POPULATION, seed=self._seed)
        before = self._dreamed(start[None], hidden_sizes, "check", 0, CHECKED)[0].mean()
        for number in range(generations):
            asked = np.asarray(solver.ask(), np.float32)
            scores = self._dreamed(asked, hidden_sizes, "fitness", number, ROLLOUTS)
            solver.tell(scores.mean(axis=1))
            told(number + 1, float(scores.mean()))
        seconds = time.perf_counter() - began
        found = np.asarray(solver.mean(), np.float32)
        dreamed = self._dreamed(found[None], hidden_sizes, "check", 0, CHECKED)[0].mean()
        real = self._real(controller(hidden_sizes, self._seed, found).act)
        steps = generations * POPULATION * ROLLOUTS * STEPS
        return Learned(found.size, float(before), float(dreamed), real, steps, seconds)

    def _seen(self) -> SequenceBatch:
        """Pushes at random."""
        rng = generator(self._seed, _STREAM, "seen")
        latents = [self._system.begin(EPISODES, rng)]
        actions, rewards = rng.integers(ACTIONS, size=(STEPS, EPISODES)), []
        for chosen in actions:
            z, earned = self._system.step(latents[-1], chosen, rng)
            latents.append(z)
            rewards.append(earned)
        encoded = np.stack([self._action.encode(chosen) for chosen in actions], axis=1)
        earned = np.stack(rewards, axis=1)
        endless = np.zeros_like(earned)
        return SequenceBatch(np.stack(latents, axis=1), encoded, earned, endless, endless + 1.0)

    def _dreamed(
        self,
        parameters: Float32[np.ndarray, "C P"],
        hidden_sizes: tuple[int, ...],
        name: str,
        number: int,
        rollouts: int,
    ) -> Shaped[np.ndarray, "C K"]:
        """Returns what candidates earn in so many dreams, the same ones for each."""
        candidates = len(parameters)
        dreams = DreamVectorEnv(
            self._world, self._starts, self._action, candidates * rollouts, max_steps=STEPS
        )
        population = PopulationController(
            LATENTS + UNITS, "discrete", ACTIONS, hidden_sizes, parameters=parameters
        )
        seeds = [env_seed(self._seed, _STREAM, name, number, n) for n in range(rollouts)]
        dreams.reset(seeds * candidates)
        scores = np.zeros(candidates * rollouts)
        for _ in range(STEPS):
            features = np.concatenate([dreams.latents(), dreams.hidden()], axis=1)
            actions = population.act(features.reshape(candidates, rollouts, -1))
            scores += dreams.step(actions.reshape(-1)).rewards
        dreams.close()
        return scores.reshape(candidates, rollouts)

    def _real(self, act: Act) -> float:
        """Returns what a controller earns in the system itself, M following it."""
        rng, world = generator(self._seed, _STREAM, "real"), self._world
        z, state = self._system.begin(CHECKED, rng), world.begin(CHECKED)
        score = 0.0
        for _ in range(STEPS):
            actions = act(np.concatenate([z, world.hidden(state)], axis=1))
            state = world.remember(state, z, self._action.encode(actions))
            z, earned = self._system.step(z, actions, rng)
            score += float(earned.mean())
        return score


def controller(
    hidden_sizes: tuple[int, ...], seed: int, parameters: Float | None = None
) -> CPUController:
    """Returns a controller of 288 features and six actions, as it begins or with parameters."""
    rng = generator(seed, _STREAM, "initial") if hidden_sizes else None
    made = CPUController(LATENTS + UNITS, "discrete", ACTIONS, hidden_sizes, rng=rng)
    if parameters is not None:
        made.set_parameters(parameters)
    return made
