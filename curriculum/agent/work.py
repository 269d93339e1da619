"""What worker processes do: whole episodes, described by plain data and named by seeds.

A unit of work is the same whoever executes it, so results are equal in one process, in many, and
after a retry. Units are cut by configuration, never by the number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.agent.episodes import Episode, Policy, run_episodes
from curriculum.agent.perception import Perception
from curriculum.agent.policies import ExploringPolicy, PopulationPolicy, RandomPolicy
from curriculum.backends.backend import Backend, import_plugins, load_backend
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import Step, VectorEnv
from curriculum.seeds import generator
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from models.controller_cpu import PopulationController
from models.interfaces import State


@dataclass(frozen=True)
class WorkSpec:
    """What a worker needs to rebuild a task's agent.

    Attributes:
        task, mode, states, plugins, seed: as in the run.
        learned: what of the agent was learned, see `Agent.state`; units of work may bring more.
        starts: where dreams begin; None where nothing is dreamed.
    """

    task: TaskConfig
    mode: str
    states: Mapping[str, str]
    plugins: tuple[str, ...] = ()
    seed: int = 0
    learned: State = field(default_factory=dict)
    starts: DreamStarts | None = None


@dataclass(frozen=True)
class EpisodesUnit:
    """Episodes of one agent: what it learned beyond its `WorkSpec`, and a seed for each.

    They are full, but for those that go on for `max_steps`, or for `idle_steps` without a reward;
    0 cuts none.
    """

    learned: State
    seeds: tuple[int, ...]
    sampled: bool = False
    max_steps: int = 0
    idle_steps: int = 0


@dataclass(frozen=True)
class FitnessUnit:
    """Episodes of several candidates: parameters `[n, P]`, the same seeds for each.

    Attributes:
        dream: whether they are played in M; then a seed stands for a dream.
    """

    parameters: np.ndarray
    seeds: tuple[int, ...]
    max_steps: int
    dream: bool


@dataclass(frozen=True)
class Fitness:
    """Scores and steps of a FitnessUnit, `[n, K]` each."""

    scores: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class CollectUnit:
    """Episodes to be recorded, by a random policy, or by a controller that keeps exploring.

    Attributes:
        path: place in the run that names the random streams of the policies.
        first: number of the first episode.
        seeds: one per episode.
        learned: as in `EpisodesUnit`; None plays at random.
    """

    path: tuple[int | str, ...]
    first: int
    seeds: tuple[int, ...]
    learned: State | None = None


@dataclass(frozen=True)
class Recording:
    """One recorded episode: observations `[T+1, ...]`, actions `[T, ...]`, rewards `[T]`."""

    seed: int
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool


@dataclass
class Workbench:
    """A worker's tools, each built when first used."""

    spec: WorkSpec
    _envs: dict[int, VectorEnv] = field(default_factory=dict)
    _dreams: dict[int, DreamVectorEnv] = field(default_factory=dict)

    @cached_property
    def backend(self) -> Backend:
        import_plugins(self.spec.plugins)
        return load_backend(self.spec.mode, self.spec.states)

    def env(self, num_envs: int) -> VectorEnv:
        """Returns a batch of environments, kept for later units of the same size."""
        if num_envs not in self._envs:
            self._envs[num_envs] = self.backend.make_env(self.spec.task, num_envs, _unheard)
        return self._envs[num_envs]

    def dream(self, num_envs: int) -> DreamVectorEnv:
        """Returns a batch of dreams."""
        if num_envs not in self._dreams:
            assert self.spec.starts is not None, "a dream needs starts"
            settings = self.spec.task.dream
            self._dreams[num_envs] = DreamVectorEnv(
                self.agent.world,
                self.spec.starts,
                self.agent.spec.action,
                num_envs,
                temperature=settings.temperature,
                max_steps=settings.max_steps,
            )
        return self._dreams[num_envs]

    @cached_property
    def agent(self) -> Agent:
        spec = self.spec
        return Agent.build(self.backend, spec.task, self.env(1).spec, spec.learned)

    def close(self) -> None:
        """Closes every environment."""
        for env in (*self._envs.values(), *self._dreams.values()):
            env.close()


def build(spec: WorkSpec) -> Workbench:
    """Builds a worker's context."""
    return Workbench(spec)


def _unheard(text: str) -> None:
    """Notices were shown when the main process built the same environment."""


def play_episodes(bench: Workbench, unit: EpisodesUnit) -> list[Episode]:
    """Plays full episodes.

    Each environment has two or more to play, so that few wait for the longest one.
    """
    env = bench.env(min(bench.spec.task.env.num_envs, -(-len(unit.seeds) // 2)))
    bench.agent.load(unit.learned)
    rng = generator(bench.spec.seed, "actions", *unit.seeds) if unit.sampled else None
    player = bench.agent.player(env.num_envs, rng)
    return run_episodes(
        env, player, unit.seeds, max_steps=unit.max_steps, idle_steps=unit.idle_steps
    )


def measure_fitness(bench: Workbench, unit: FitnessUnit) -> Fitness:
    """Plays every candidate's episodes."""
    candidates, rollouts = len(unit.parameters), len(unit.seeds)
    agent = bench.agent
    env: VectorEnv
    perception: Perception
    if unit.dream:
        env = dream = bench.dream(candidates * rollouts)
        perception = agent.perceive_dream(dream)
    else:
        env = bench.env(candidates * rollouts)
        perception = agent.perceive(env.num_envs)
    action = env.spec.action
    population = PopulationController(
        agent.num_features,
        action.kind,
        action.size,
        bench.spec.task.controller.hidden_sizes,
        action_low=action.low,
        action_high=action.high,
        parameters=unit.parameters,
        units=bench.spec.task.controller.units,
    )
    policy = PopulationPolicy(perception, population, candidates, rollouts, agent.num_features)
    played = run_episodes(env, policy, unit.seeds * candidates, max_steps=unit.max_steps)
    shape = (candidates, rollouts)
    return Fitness(
        np.array([e.score for e in played]).reshape(shape),
        np.array([e.steps for e in played]).reshape(shape),
    )


def collect_episodes(bench: Workbench, unit: CollectUnit) -> list[Recording]:
    """Plays and records episodes."""
    collect = bench.spec.task.collect
    env = bench.env(min(bench.spec.task.env.num_envs, len(unit.seeds)))
    recorder = _Recorder(env.num_envs)
    policy = _collecting_policy(bench, unit, env)
    episodes = run_episodes(
        env,
        policy,
        unit.seeds,
        max_steps=collect.max_steps_per_rollout,
        recorder=recorder.record,
    )
    return [
        Recording(episode.seed, *recorder.recordings[number], episode.terminated)
        for number, episode in enumerate(episodes)
    ]


def _collecting_policy(bench: Workbench, unit: CollectUnit, env: VectorEnv) -> Policy:
    collect = bench.spec.task.collect
    numbers = range(unit.first, unit.first + len(unit.seeds))
    streams = [generator(bench.spec.seed, *unit.path, "actions", n) for n in numbers]
    random = RandomPolicy(env.spec.action, collect.repeat_action_probability, streams)
    if unit.learned is None:
        return random
    bench.agent.load(unit.learned)
    mixing = [generator(bench.spec.seed, *unit.path, "mix", n) for n in numbers]
    followed = bench.agent.player(env.num_envs)
    return ExploringPolicy(followed, random, collect.random_fraction, mixing)


class _Recorder:
    """Records the steps of a batch and cuts them into episodes, numbered as the seeds are."""

    def __init__(self, num_envs: int) -> None:
        self.recordings: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._playing = list(range(num_envs))
        self._following = num_envs
        self._open: list[tuple[list, list, list]] = [([], [], []) for _ in range(num_envs)]

    def record(
        self, live: np.ndarray, observations: np.ndarray, actions: np.ndarray, step: Step
    ) -> None:
        over = step.terminated | step.truncated
        for row, slot in enumerate(live.tolist()):
            seen, done, earned = self._open[slot]
            seen.append(observations[slot].copy())
            done.append(actions[row])
            earned.append(step.rewards[slot])
            if over[slot]:
                seen.append(step.observations[slot].copy())
                self._close(slot)

    def _close(self, slot: int) -> None:
        seen, done, earned = self._open[slot]
        self._open[slot] = ([], [], [])
        arrays = np.stack(seen), np.stack(done), np.asarray(earned, np.float32)
        self.recordings[self._playing[slot]] = arrays
        self._playing[slot] = self._following
        self._following += 1
