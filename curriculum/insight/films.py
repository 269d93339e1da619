"""The agent on film: GIFs of its play and of its dreams, strips of what V and M make of reality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.agent.episodes import Episode, Policy, run_episodes
from curriculum.envs.interface import EnvSpec, Step, VectorEnv
from curriculum.errors import CurriculumError
from curriculum.insight.drawing import Draw, Picture, drawer, strip, write_gif, write_png
from curriculum.place import Place
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from curriculum.world.world_model import WorldModel

FILM_STEPS = 2000
"""Steps of an episode that are filmed; the rest is played but not kept."""

GIF_FRAMES = 500
FRAMES_PER_SECOND = 60.0
"""Of the games; a GIF plays at about that speed, whatever frames an action is held for."""

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
        if len(self.actions) >= FILM_STEPS:
            return
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


def play_episode(agent: Agent, seed: int, gif: Path | None = None) -> Episode:
    """Plays one episode in an agent's environment.

    Args:
        agent: acts greedily.
        seed: of the episode.
        gif: where to write it as an animation; nowhere if None.
    """
    episode, film = film_episode(agent, seed)
    if gif is not None:
        write_gif(gif, *agent_gif(agent.spec, film))
    return episode


def play_dream(
    agent: Agent,
    seed: int,
    gif: Path | None = None,
    *,
    temperature: float = 1.0,
    max_steps: int = 300,
) -> Episode:
    """Plays one episode inside M, from the first frame of a real one.

    Args:
        agent: acts greedily.
        seed: of the real first frame and of the dream.
        gif: where to write what V decodes of it; nowhere if None.
        temperature, max_steps: of the dream.
    """
    episode, film = film_dream(agent, seed, temperature=temperature, max_steps=max_steps)
    if gif is not None:
        write_gif(gif, *agent_gif(agent.spec, film))
    return episode


def film_dream(
    agent: Agent, seed: int, *, temperature: float, max_steps: int
) -> tuple[Episode, Film]:
    """Plays one episode inside M, from the first frame of a real one; V decodes what is seen."""
    world, real = agent.world, agent.make_env(1)
    try:
        first = world.observe(real.reset([seed]))
    finally:
        real.close()
    dream = DreamVectorEnv(
        world,
        DreamStarts(first, world.begin(1)),
        agent.spec.action,
        1,
        temperature=temperature,
        max_steps=max_steps,
    )
    episode, film = _film(dream, agent.dreamer(dream), seed)
    return episode, Film(list(world.draw(np.stack(film.observations))), film.actions)


def agent_gif(spec: EnvSpec, film: Film) -> tuple[list[Picture], float]:
    """Returns an animation's pictures and the milliseconds of each, thinned to a bearable size."""
    draw = drawer(spec)
    stride = -(-len(film.observations) // GIF_FRAMES)
    step_ms = 1000.0 * spec.frames_per_step / FRAMES_PER_SECOND
    if step_ms * stride < 20.0:
        stride = round(20.0 / step_ms)
    pictures = [draw(observation) for observation in film.observations[::stride]]
    return pictures, step_ms * stride


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
    _, film = film_episode(agent, place.env_seed("media", 0), max_steps=FILM_STEPS)
    draw = drawer(agent.spec)
    observations = np.stack(film.observations)
    actions = agent.spec.action.encode(np.stack(film.actions))
    gif, rebuilt, dreamed = (
        directory / f"{name}-{what}" for what in ("agent.gif", "reconstruction.png", "dream.png")
    )
    write_gif(gif, *agent_gif(agent.spec, film))
    spread = np.linspace(0, len(observations) - 1, STRIP_COLUMNS).round().astype(int)
    write_png(rebuilt, reconstruction_strip(world, observations[spread], draw))
    start = min(len(actions) // 2, 64)
    end = start + DREAM_STEPS
    rng = place.rng("media")
    picture = dream_strip(world, observations[: end + 1], actions[:end], start, rng, draw)
    write_png(dreamed, picture)
    return [gif, rebuilt, dreamed]


def film_episode(agent: Agent, seed: int, max_steps: int = 0) -> tuple[Episode, Film]:
    """Plays one episode in an agent's environment; 0 steps set no limit."""
    env = agent.make_env(1)
    try:
        return _film(env, agent.player(1), seed, max_steps)
    finally:
        env.close()


def _film(env: VectorEnv, policy: Policy, seed: int, max_steps: int = 0) -> tuple[Episode, Film]:
    film = Film()
    episode = run_episodes(env, policy, [seed], max_steps=max_steps, recorder=film.record)[0]
    return episode, film
