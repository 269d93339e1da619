"""A dream as a `gymnasium.Env`: learn in it, or play in it, with whatever speaks Gymnasium.

env = DreamEnv.from_run("runs/default", task="pong")
# the same, of a shipped agent:
env = gymnasium.make("curriculum.dreams:curriculum/Dream-v0", path="pong")
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from curriculum.agent.agent import Agent
from curriculum.agent.loading import load_agent, open_bundle
from curriculum.datasets.episodes import Dataset
from curriculum.datasets.sequences import Latents
from curriculum.envs.export.single import ExportedEnv, Info
from curriculum.envs.interface import ActionSpec
from curriculum.place import Place
from curriculum.records.rundir import RunDir
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from curriculum.world.starts import dream_starts
from curriculum.world.world_model import WorldModel
from models.interfaces import Float

_LARGEST = float(np.finfo(np.float32).max)

FIRST_FRAMES = 16
"""Real episodes whose first frames dreams begin with where no collected data are at hand."""


class DreamEnv(gymnasium.Env[np.ndarray, Any]):
    """M as a Gymnasium environment whose observation is z, `[Z]` float32.

    Args:
        world: V and M; they are only read.
        starts: where dreams may begin.
        action: the action space of the environment that M has learned.
        temperature: tau in [0.5, 2].
        max_steps: steps after which a dream is truncated.
        pictures: whether V makes pictures of z, and not states.
        render_mode: None, or with pictures `rgb_array`.

    Raises:
        ValueError: the temperature or a size does not fit, or it cannot be rendered.
    """

    def __init__(
        self,
        world: WorldModel,
        starts: DreamStarts,
        action: ActionSpec,
        *,
        temperature: float = 1.0,
        max_steps: int = 300,
        pictures: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self._dream = DreamVectorEnv(
            world, starts, action, 1, temperature=temperature, max_steps=max_steps
        )
        draw = (lambda latents: world.draw(latents[None])[0]) if pictures else None
        self._env = ExportedEnv(self._dream, draw, render_mode)
        self.metadata, self.render_mode = self._env.metadata, render_mode
        # Bounds that are infinite are warned of by Gymnasium's checker.
        self.observation_space = spaces.Box(-_LARGEST, _LARGEST, (world.latent_size,), np.float32)
        self.action_space = self._env.action_space

    @classmethod
    def from_run(
        cls,
        path: Path | str,
        task: str = "",
        *,
        temperature: float = 1.0,
        max_steps: int = 300,
        render_mode: str | None = None,
        seed: int = 0,
        plugins: Collection[str] = (),
    ) -> DreamEnv:
        """Opens the dream of what a run has learned.

        Args:
            path: of the run or agent, as for `curriculum.agent.load_agent`.
            task: as there.
            plugins: as there.
            temperature: of the dream.
            max_steps: of the dream.
            render_mode: of the dream.
            seed: picks the places that dreams may begin at: anywhere in the run's collected
                episodes, or first frames of the real environment where there are none.

        Raises:
            ConfigError, NoCheckpoint, ComponentMissing: as `load_agent` does.
        """
        agent = load_agent(path, task, plugins=plugins)
        return cls(
            agent.world,
            _starts(agent, path, task, plugins, seed),
            agent.spec.action,
            temperature=temperature,
            max_steps=max_steps,
            pictures=agent.spec.observation == "pixels",
            render_mode=render_mode,
        )

    def hidden(self) -> Float:
        """Returns M's features h of what was seen before the present z, `[R]`."""
        return self._dream.hidden()[0]

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[np.ndarray, Info]:
        """Starts a new dream; without a seed, the next one of the stream last seeded."""
        super().reset(seed=seed)
        return self._env.reset(seed=seed)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Dreams one step with an action of `action_space`."""
        return self._env.step(action)

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Returns what V makes of the present z, `[H, W, 3]` uint8; None without a mode."""
        return self._env.render()


def open_dream(path: Path | str, **options: Any) -> DreamEnv:
    """Opens a dream for `gymnasium.make` (`curriculum.dreams`); see `DreamEnv.from_run`."""
    return DreamEnv.from_run(path, **options)


def _starts(
    agent: Agent, path: Path | str, task: str, plugins: Collection[str], seed: int
) -> DreamStarts:
    rng = np.random.default_rng(seed)
    if RunDir.exists(Path(path)):
        bundle = open_bundle(path, task, plugins=plugins)
        simulated = agent.spec.env_id.startswith("simulation/")
        where = (bundle.task.name, bundle.mode, bundle.round)
        place = Place.to_look_at(RunDir.open(Path(path)), *where, simulated=simulated)
        rounds = [place.at("collect", n).directory / "data" for n in bundle.rounds]
        latents = place.at("encode").directory / "data"
        if latents.is_dir() and all(directory.is_dir() for directory in rounds):
            return dream_starts(Dataset(rounds), Latents.open(latents), agent.world, rng)
    return _first_frames(agent, rng)


def _first_frames(agent: Agent, rng: np.random.Generator) -> DreamStarts:
    env = agent.make_env(FIRST_FRAMES)
    try:
        frames = env.reset(rng.integers(2**31, size=FIRST_FRAMES).tolist())
    finally:
        env.close()
    world = agent.world
    return DreamStarts(world.observe(frames), world.begin(FIRST_FRAMES))
