"""What a run keeps to be looked at: a film of its agent, strips of what V and M make of reality."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.envs.interface import Step
from curriculum.errors import ComponentMissing, CurriculumError
from curriculum.films.camera import film_episode, opened, step_seconds
from curriculum.films.reels import SUFFIXES, Together, reel_for
from curriculum.insight.drawing import Draw, Picture, drawer, strip, write_png
from curriculum.place import Place
from curriculum.world.world_model import WorldModel

FILM_STEPS = 2000
"""Steps of an episode that are filmed."""

STRIP_COLUMNS = 8
DREAM_STEPS = 32
DREAM_TEMPERATURE = 0.1
"""Low enough that a strip shows what M expects rather than what it could imagine."""

FAILURES = (CurriculumError, OSError, ValueError, ArithmeticError, RuntimeError, ImportError)


@dataclass
class Film:
    """The first steps of one episode.

    Attributes:
        observations: `T + 1` observations, the last one after the last filmed action.
        actions: `T` actions in environment units.
    """

    observations: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)

    def record(
        self, live: np.ndarray, observations: np.ndarray, actions: np.ndarray, step: Step
    ) -> None:
        """Takes one step of the only environment."""
        if not self.observations:
            self.observations.append(observations[0].copy())
        self.actions.append(np.asarray(actions[0]))
        self.observations.append(step.observations[0].copy())


def save_media(place: Place, open_agent: Callable[[], Agent]) -> None:
    """Writes a task's GIF and strips under the run's `media/` and notes their paths in the ledger.

    Pictures never stop a run: what cannot be drawn is noted instead.

    Args:
        place: of a finished evaluate stage.
        open_agent: builds the agent that was evaluated.
    """
    name = f"{place.task}-{place.mode}-round-{place.round:02d}"
    try:
        paths = _media(place, open_agent(), name)
    except FAILURES as e:
        text = f"videos could not be written: {type(e).__name__}: {e}"
        place.ledger.append("notice", task=place.task, text=text)
        return
    place.record("media", paths=[str(path.relative_to(place.rundir.path)) for path in paths])


def reconstruction_strip(world: WorldModel, observations: np.ndarray, draw: Draw) -> Picture:
    """Sets observations above what V makes of them.

    Args:
        world: whose V looks.
        observations: `[n, ...]`.
        draw: turns one observation into a picture.
    """
    rebuilt = world.draw(world.observe(observations))
    rows = [("real", observations), ("V", rebuilt)]
    return strip([(name, [draw(o) for o in seen]) for name, seen in rows])


def dream_strip(
    world: WorldModel,
    observations: np.ndarray,
    actions: np.ndarray,
    start: int,
    rng: np.random.Generator,
    draw: Draw,
) -> Picture:
    """Sets real observations above those that M dreams after the same actions.

    M follows reality up to `start`; from there it sees nothing but its own predictions.

    Args:
        world: V and M.
        observations: `[T+1, ...]` of one episode.
        actions: `[T, A]`, encoded as M sees them.
        start: first step that is dreamed.
        rng: the dream's noise.
        draw: turns one observation into a picture.
    """
    latents = world.observe(observations)
    state = world.begin(1)
    for t in range(start):
        state = world.remember(state, latents[t : t + 1], actions[t : t + 1])
    dreamed = [latents[start : start + 1]]
    for t in range(start, len(actions)):
        taken = actions[t : t + 1]
        state, imagined = world.imagine(state, dreamed[-1], taken, DREAM_TEMPERATURE, rng)
        dreamed.append(imagined.latents)
    shown = np.linspace(0, len(dreamed) - 1, min(STRIP_COLUMNS, len(dreamed))).round().astype(int)
    imagined = world.draw(np.concatenate(dreamed)[shown])
    rows = [("real", observations[start:][shown]), ("dream", imagined)]
    return strip([(name, [draw(o) for o in seen]) for name, seen in rows])


def _media(place: Place, agent: Agent, name: str) -> list[Path]:
    directory, world = place.rundir.media_dir, agent.world
    paths, film = _filmed(place, agent, directory / f"{name}-agent")
    draw = drawer(agent.spec)
    observations = np.stack(film.observations)
    actions = agent.spec.action.encode(np.stack(film.actions))
    rebuilt, dreamed = (directory / f"{name}-{what}.png" for what in ("reconstruction", "dream"))
    spread = np.linspace(0, len(observations) - 1, STRIP_COLUMNS).round().astype(int)
    write_png(rebuilt, reconstruction_strip(world, observations[spread], draw))
    start = min(len(actions) // 2, 64)
    end = start + DREAM_STEPS
    rng = place.rng("media")
    picture = dream_strip(world, observations[: end + 1], actions[:end], start, rng, draw)
    write_png(dreamed, picture)
    return [*paths, rebuilt, dreamed]


def _filmed(place: Place, agent: Agent, path: Path) -> tuple[list[Path], Film]:
    """Writes an episode as an animation, and as a video too where that can be written."""
    film, seed = Film(), place.env_seed("media", 0)
    paths = [path.with_suffix(suffix) for suffix in SUFFIXES]
    with opened(agent.make_screen) as screen, ExitStack() as reels:
        seconds = step_seconds(agent.spec, screen)
        open_reels = []
        for file in list(paths):
            try:
                open_reels.append(reels.enter_context(reel_for(file, seconds)))
            except ComponentMissing:
                paths.remove(file)
        film_episode(
            agent,
            seed,
            Together(open_reels),
            screen=screen,
            max_steps=FILM_STEPS,
            also=film.record,
        )
    return paths, film
