"""The agent: V, M, C and the features that C reads; the unit that is deployed, shipped and played.

It is built in one way everywhere, from a backend and what was learned, whether a stage trains it,
a worker plays it, a film shows it or a script asks it what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from curriculum.agent.action_trace import trace_size
from curriculum.agent.perception import (
    Dreaming,
    DreamPerception,
    Perception,
    WorldModelPerception,
    num_features,
)
from curriculum.backends.backend import Backend
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec, Screen, VectorEnv
from curriculum.records.agent_state import PARAMETERS, as_part, part_of, with_moments_of
from curriculum.world.world_model import WorldModel
from models.interfaces import Controller, Float, State

NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


class Player:
    """An agent's way through a batch of episodes (`curriculum.agent.episodes.Policy`).

    Args:
        perception: what makes features of what is seen.
        controller: C.
        rng: where sampled actions are drawn from; None acts greedily.
        epsilon: share of them that are drawn from all actions, the others being the likeliest; 0
            draws from C.
        action: the action space.

    Attributes:
        read: `[L, F]`, what C read when it was last asked.
    """

    def __init__(
        self,
        perception: Perception,
        controller: Controller,
        rng: np.random.Generator | None = None,
        epsilon: float = 0.0,
        action: ActionSpec | None = None,
    ) -> None:
        self._perception = perception
        self._controller = controller
        self._rng = rng
        self._epsilon, self._action = epsilon, action
        self.read: Float = np.zeros((0, 0), np.float32)

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        self._perception.begin(slots)

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        self.read = self._perception.features(observations, slots)
        return chosen(self._controller, self.read, self._rng, self._epsilon, self._action)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        self._perception.acted(actions, slots)


def chosen(
    controller: Controller,
    read: Float,
    rng: np.random.Generator | None,
    epsilon: float = 0.0,
    action: ActionSpec | None = None,
) -> np.ndarray:
    """Returns what C does, reading `[L, F]`; see `Player`."""
    if rng is None:
        return controller.act(read)
    if not epsilon or action is None:
        return controller.sample(read, rng)
    actions = controller.act(read)
    for row in np.flatnonzero(rng.random(len(actions)) < epsilon):
        actions[row] = action.sample(rng)
    return actions


class Agent:
    """V, M, C and the features that C reads.

    For one environment: `begin` at each start of an episode, then `act` at each step (and `observe`
    where something else was done than it said). For a batch, `player` has the same with slots.

    Args:
        world: V and M.
        controller: C; it may be given other parameters meanwhile.
        features: what C reads, of `curriculum.agent.perception.FEATURES`.
        spec: of the environments it acts in.
        make_env: builds a batch of so many of these.
        key_points: K of V.
        epsilon: share of sampled actions that are drawn from all, see `Player`.
        make_screen: builds what shows such an environment as it is.
    """

    def __init__(
        self,
        world: WorldModel,
        controller: Controller,
        features: tuple[str, ...],
        spec: EnvSpec,
        make_env: Callable[[int], VectorEnv],
        key_points: int = 0,
        epsilon: float = 0.0,
        make_screen: Callable[[], Screen | None] = lambda: None,
    ) -> None:
        self.world = world
        self.controller = controller
        self.features = features
        self.spec = spec
        self.key_points = key_points
        self.epsilon = epsilon
        self._make_env, self._make_screen = make_env, make_screen
        self._slot = np.zeros(1, np.int64)
        self._player: Player | None = None
        self._said: np.ndarray | None = None

    @classmethod
    def build(
        cls,
        backend: Backend,
        task: TaskConfig,
        spec: EnvSpec,
        learned: Mapping[str, np.ndarray] = NOTHING,
        *,
        rng: np.random.Generator | None = None,
    ) -> Agent:
        """Builds a task's agent with a backend's parts.

        Args:
            backend: of the mode it was learned in.
            task: as that backend can learn it.
            spec: of the task's environments.
            learned: what `state` gave, or some of its parts; the rest is as it is made.
            rng: draws C's initial parameters; zeros if None.

        Raises:
            ValueError: `learned` is not of this task's sizes, or C is to read key points of a V
                that has none.
        """
        vision = backend.make_vision(task, spec, 0)
        memory = backend.make_memory(task, vision.latent_size, spec.action.size, 0)
        features = task.controller.features
        placed = backend.key_points and spec.observation == "pixels"
        key_points = task.vae.model.key_points if placed else 0
        sizes = (vision.latent_size, memory.hidden_size, key_points, trace_size(spec.action))
        size = num_features(features, *sizes)
        agent = cls(
            WorldModel(vision, memory),
            backend.make_controller(task, spec.action, size, rng),
            features,
            spec,
            lambda num_envs: backend.make_env(task, num_envs, _unheard),
            key_points,
            task.evaluate.epsilon,
            lambda: backend.make_screen(task),
        )
        agent.load(learned)
        return agent

    def __repr__(self) -> str:
        return f"Agent({self.spec.env_id}, C reads {', '.join(self.features)})"

    @property
    def num_features(self) -> int:
        """F, the length of the vector that C reads."""
        return self.controller.num_features

    def state(self) -> State:
        """Returns all that was learned (`curriculum.records.agent_state`)."""
        world = self.world
        return {
            **as_part("vision", world.vision.state()),
            **as_part("memory", world.memory.state()),
            PARAMETERS: self.controller.get_parameters(),
        }

    def load(self, learned: Mapping[str, np.ndarray]) -> None:
        """Takes over what was learned.

        Args:
            learned: what `state` gave, or some of its three parts, each as a whole; the others
                stay as they are. What only further learning needs may be missing.

        Raises:
            ValueError: it is not of this agent's sizes.
        """
        for name, model in (("vision", self.world.vision), ("memory", self.world.memory)):
            part = part_of(learned, name)
            if part:
                model.load_state(with_moments_of(model.state(), part))
        if PARAMETERS in learned:
            self.controller.set_parameters(learned[PARAMETERS])

    def make_env(self, num_envs: int = 1) -> VectorEnv:
        """Builds a batch of the environments it acts in.

        Raises:
            ValueError: there is to be none.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs was {num_envs}, expected at least 1")
        return self._make_env(num_envs)

    def make_screen(self) -> Screen | None:
        """Builds what shows such an environment as it is; None where it has no pictures."""
        return self._make_screen()

    def perceive(self, num_slots: int) -> WorldModelPerception:
        """Returns what turns the observations of so many environments into features."""
        names, action = self.features, self.spec.action
        return WorldModelPerception(self.world, action, names, num_slots, self.key_points)

    def perceive_dream(self, dream: Dreaming) -> DreamPerception:
        """Returns what turns dreams into features."""
        return DreamPerception(dream, self.features, self.key_points)

    def player(self, num_slots: int, rng: np.random.Generator | None = None) -> Player:
        """Returns a policy for a batch of environments; greedy without `rng`."""
        return self._playing(self.perceive(num_slots), rng)

    def dreamer(self, dream: Dreaming, rng: np.random.Generator | None = None) -> Player:
        """Returns a policy for a batch of dreams; greedy without `rng`."""
        return self._playing(self.perceive_dream(dream), rng)

    def _playing(self, perception: Perception, rng: np.random.Generator | None) -> Player:
        return Player(perception, self.controller, rng, self.epsilon, self.spec.action)

    def begin(self, seed: int | None = None) -> None:
        """Begins an episode in one environment.

        Args:
            seed: of actions drawn from the policy; None acts greedily.
        """
        rng = None if seed is None else np.random.default_rng(seed)
        self._player = self.player(1, rng)
        self._player.begin(self._slot, self._slot)
        self._said = None

    def act(self, observation: np.ndarray) -> np.ndarray | np.int64:
        """Returns the action for what one environment shows.

        Args:
            observation: `[H, W, C]` uint8 or `[D]` float32, of an environment like `make_env`'s.

        Returns:
            An int64 scalar, or `[A]` float32 in the bounds.

        Raises:
            RuntimeError: no episode has begun.
            ValueError: the observation has another shape, or is not finite.
        """
        if self._player is None:
            raise RuntimeError("act was called before an episode began: call begin() first")
        seen = np.asarray(observation)
        if seen.shape != self.spec.shape:
            raise ValueError(
                f"the observation has the shape {seen.shape}, expected {self.spec.shape}: agents "
                "see what the environments of agent.make_env show"
            )
        if not np.isfinite(seen).all():
            raise ValueError("the observation is not finite: no action follows from it")
        if self._said is not None:
            self._player.acted(self._said, self._slot)
        self._said = self._player.act(seen[None], self._slot)
        return self._said[0]

    def observe(self, action: np.ndarray | int) -> None:
        """Tells which action was really taken; not needed where it was the one `act` gave."""
        if self._said is None:
            raise RuntimeError("observe was called before act: there is no action to replace")
        self._said = np.asarray(action, self._said.dtype).reshape(self._said.shape)


def _unheard(text: str) -> None:
    """Notices were shown when the task's environments were first looked at."""
