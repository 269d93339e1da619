"""SIMULATION's environments: the four games as vectorised numpy physics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from curriculum.envs.action_table import Table, tabled
from curriculum.envs.batch import Batch
from curriculum.envs.interface import Screen
from curriculum.envs.simulation.breakout import Breakout
from curriculum.envs.simulation.cartpole import CartPole
from curriculum.envs.simulation.game import Game, Games, Streams
from curriculum.envs.simulation.lander import Lander
from curriculum.envs.simulation.pong import Pong
from curriculum.envs.simulation.racing import Racing
from curriculum.envs.stacking import stacked

Observation = Literal["pixels", "state"]


@dataclass(frozen=True)
class Options:
    """What `make_simulation` was asked for, its zeros replaced by the game's own values."""

    num_envs: int
    observation: Observation
    grayscale: bool
    continuous: bool
    frames_per_step: int
    max_episode_steps: int


@dataclass(frozen=True)
class Simulation:
    """One game and the values that are its own.

    Attributes:
        make: builds the game.
        frames_per_step: frames one step advances.
        max_episode_steps: the time limit in steps.
    """

    make: Callable[[Streams, Options], Game]
    frames_per_step: int
    max_episode_steps: int


def _drawn(game: Callable[..., Game]) -> Callable[[Streams, Options], Game]:
    """Returns how a game is built that has both pixels and a state."""

    def make(streams: Streams, o: Options) -> Game:
        limits = (o.frames_per_step, o.max_episode_steps)
        return game(streams, o.num_envs, o.observation, o.grayscale, *limits)

    return make


def _lander(streams: Streams, o: Options) -> Game:
    return Lander(streams, o.num_envs, o.continuous, o.frames_per_step, o.max_episode_steps)


SIMULATIONS: Mapping[str, Simulation] = MappingProxyType(
    {
        "pong": Simulation(_drawn(Pong), frames_per_step=4, max_episode_steps=1000),
        "lunarlander": Simulation(_lander, frames_per_step=1, max_episode_steps=1000),
        "breakout": Simulation(_drawn(Breakout), frames_per_step=4, max_episode_steps=1000),
        "carracing": Simulation(_drawn(Racing), frames_per_step=4, max_episode_steps=250),
        "cartpole": Simulation(_drawn(CartPole), frames_per_step=1, max_episode_steps=500),
    }
)
"""The games by the names of their tasks."""


FRAMES_PER_SECOND: Mapping[str, float] = MappingProxyType({"lunarlander": 50.0, "cartpole": 50.0})
"""Where it is not the 60 of Atari games."""


def screen_of(name: str, **options: Any) -> Screen | None:
    """Builds one simulated game that shows itself in colours; None for one that has no pixels.

    Args:
        name: a key of `SIMULATIONS`.
        **options: as for `make_simulation`.
    """
    shown = {**options, "observation": "pixels", "grayscale": False, "frame_stack": 1}
    env = make_simulation(name, 1, **shown)
    if env.spec.observation != "pixels":
        return None
    return Screen(env, FRAMES_PER_SECOND.get(name, 60.0))


def make_simulation(
    name: str,
    num_envs: int,
    observation: Observation = "pixels",
    grayscale: bool = True,
    max_episode_steps: int = 0,
    continuous: bool = False,
    frame_skip: int = 0,
    actions: Table = (),
    frame_stack: int = 1,
) -> Batch:
    """Builds a batch of simulated environments; `env_id` is `simulation/<name>`.

    Args:
        name: a key of `SIMULATIONS`.
        num_envs: N, at least 1.
        observation: `pixels` or, where a game documents one, its true `state`; lunarlander is
            observed by its state in either case.
        grayscale: one channel instead of three (pixels).
        max_episode_steps: steps after which an episode is truncated; 0 is the game's own limit.
        continuous: the continuous variant of lunarlander.
        frame_skip: frames one step advances; 0 is the game's own (4, lunarlander 1).
        actions: vectors that are chosen among, in place of continuous actions.
        frame_stack: frames in one observation (pixels).

    Raises:
        ValueError: an argument is not one of these.
        ConfigError: the table of actions does not fit the game's, or frames of a state are asked
            for.
    """
    if name not in SIMULATIONS:
        raise ValueError(f"no simulation is called {name!r}; choose from {', '.join(SIMULATIONS)}")
    if observation not in ("pixels", "state"):
        raise ValueError(f"observation must be 'pixels' or 'state', got {observation!r}")
    if num_envs < 1 or frame_skip < 0 or max_episode_steps < 0:
        raise ValueError(
            "num_envs must be at least 1, frame_skip and max_episode_steps at least 0; got "
            f"{num_envs}, {frame_skip} and {max_episode_steps}"
        )
    simulation = SIMULATIONS[name]
    frames = frame_skip or simulation.frames_per_step
    limit = max_episode_steps or simulation.max_episode_steps
    streams = Streams(num_envs)
    options = Options(num_envs, observation, grayscale, continuous, frames, limit)
    games = tabled(Games(simulation.make(streams, options), streams), actions)
    return Batch(stacked(games, frame_stack), limit)
