"""The agent on film: GIFs of its play and of its dreams, strips of what V and M make of reality."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curriculum.agent.episodes import ControllerPolicy, Episode, run_episodes
from curriculum.agent.perception import DreamPerception, Perception, WorldModelPerception
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from curriculum.envs.interface import Step, VectorEnv
from curriculum.errors import CurriculumError
from curriculum.insight.drawing import Draw, Picture, drawer, strip, write_gif, write_png
from curriculum.stages.stage import StageContext
from models.interfaces import Controller, Memory, Vision

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


def save_media(ctx: StageContext) -> None:
    """Writes a task's GIF and strips under the run's `media/` and notes their paths in the ledger.

    Pictures never stop a run: what cannot be drawn is noted instead.

    Args:
        ctx: of a finished evaluate stage.
    """
    name = f"{ctx.task.name}-{ctx.backend.mode.value}-round-{ctx.round:02d}"
    try:
        paths = _media(ctx, ctx.rundir.media_dir, name)
    except FAILURES as e:
        text = f"videos could not be written: {type(e).__name__}: {e}"
        ctx.ledger.append("notice", task=ctx.task.name, text=text)
        return
    ctx.record("media", paths=[str(path.relative_to(ctx.rundir.path)) for path in paths])


def play_episode(ctx: StageContext, seed: int, gif: Path | None = None) -> Episode:
    """Plays one episode in the agent's environment.

    Args:
        ctx: of any stage after a finished controller.
        seed: of the episode.
        gif: where to write it as an animation; nowhere if None.
    """
    episode, film = _play(ctx, ctx.vision(), ctx.memory(), seed)
    if gif is not None:
        write_gif(gif, *agent_gif(ctx, film))
    return episode


def play_dream(ctx: StageContext, seed: int, gif: Path | None = None) -> Episode:
    """Plays one episode inside M, from the first frame of a real one.

    Args:
        ctx: of any stage after a finished controller.
        seed: of the real first frame and of the dream.
        gif: where to write what V decodes of it; nowhere if None.
    """
    vision, memory = ctx.vision(), ctx.memory()
    real = ctx.backend.make_env(ctx.task, 1, _unheard)
    try:
        first = vision.encode(real.reset([seed]))
    finally:
        real.close()
    dream = DreamVectorEnv(
        memory,
        DreamStarts(first, memory.initial_state(1)),
        ctx.spec.action,
        1,
        temperature=ctx.task.dream.temperature,
        max_steps=ctx.task.dream.max_steps,
    )
    perception = DreamPerception(dream, ctx.task.controller.features)
    episode, film = _film(dream, perception, _controller(ctx, vision, memory), seed)
    if gif is not None:
        decoded = list(vision.decode(np.stack(film.observations)))
        write_gif(gif, *agent_gif(ctx, Film(decoded, film.actions)))
    return episode


def agent_gif(ctx: StageContext, film: Film) -> tuple[list[Picture], float]:
    """Returns an animation's pictures and the milliseconds of each, thinned to a bearable size."""
    draw = drawer(ctx.spec)
    stride = -(-len(film.observations) // GIF_FRAMES)
    step_ms = 1000.0 * ctx.spec.frames_per_step / FRAMES_PER_SECOND
    if step_ms * stride < 20.0:
        stride = round(20.0 / step_ms)
    pictures = [draw(observation) for observation in film.observations[::stride]]
    return pictures, step_ms * stride


def reconstruction_strip(vision: Vision, observations: np.ndarray, draw: Draw) -> Picture:
    """Sets observations above what V makes of them.

    Args:
        vision: V.
        observations: `[n, ...]`.
        draw: turns one observation into a picture.
    """
    rebuilt = vision.decode(vision.encode(observations))
    rows = [("real", observations), ("V", rebuilt)]
    return strip([(name, [draw(o) for o in seen]) for name, seen in rows])


def dream_strip(
    vision: Vision,
    memory: Memory,
    observations: np.ndarray,
    actions: np.ndarray,
    start: int,
    rng: np.random.Generator,
    draw: Draw,
) -> Picture:
    """Sets real observations above those that M dreams after the same actions.

    M follows reality up to `start`; from there it sees nothing but its own predictions.

    Args:
        vision, memory: V and M.
        observations: `[T+1, ...]` of one episode.
        actions: `[T, A]`, encoded as M sees them.
        start: first step that is dreamed.
        rng: the dream's noise.
        draw: turns one observation into a picture.
    """
    latents = vision.encode(observations)
    state = memory.initial_state(1)
    for t in range(start):
        state = memory.step(state, latents[t : t + 1], actions[t : t + 1])
    dreamed = [latents[start : start + 1]]
    for t in range(start, len(actions)):
        state = memory.step(state, dreamed[-1], actions[t : t + 1])
        dreamed.append(memory.predict(state, dreamed[-1], DREAM_TEMPERATURE, rng).latents)
    shown = np.linspace(0, len(dreamed) - 1, min(STRIP_COLUMNS, len(dreamed))).round().astype(int)
    imagined = vision.decode(np.concatenate(dreamed)[shown])
    rows = [("real", observations[start:][shown]), ("dream", imagined)]
    return strip([(name, [draw(o) for o in seen]) for name, seen in rows])


def _media(ctx: StageContext, directory: Path, name: str) -> list[Path]:
    vision, memory = ctx.vision(), ctx.memory()
    seed = ctx.env_seeds("media", count=1)[0]
    _, film = _play(ctx, vision, memory, seed, max_steps=FILM_STEPS)
    draw = drawer(ctx.spec)
    observations = np.stack(film.observations)
    actions = ctx.spec.action.encode(np.stack(film.actions))
    gif, rebuilt, dreamed = (
        directory / f"{name}-{what}" for what in ("agent.gif", "reconstruction.png", "dream.png")
    )
    write_gif(gif, *agent_gif(ctx, film))
    spread = np.linspace(0, len(observations) - 1, STRIP_COLUMNS).round().astype(int)
    write_png(rebuilt, reconstruction_strip(vision, observations[spread], draw))
    start = min(len(actions) // 2, 64)
    end = start + DREAM_STEPS
    rng = ctx.rng("media")
    picture = dream_strip(vision, memory, observations[: end + 1], actions[:end], start, rng, draw)
    write_png(dreamed, picture)
    return [gif, rebuilt, dreamed]


def _play(
    ctx: StageContext, vision: Vision, memory: Memory, seed: int, max_steps: int = 0
) -> tuple[Episode, Film]:
    env = ctx.backend.make_env(ctx.task, 1, _unheard)
    names = ctx.task.controller.features
    perception = WorldModelPerception(vision, memory, env.spec.action, names, 1)
    try:
        return _film(env, perception, _controller(ctx, vision, memory), seed, max_steps)
    finally:
        env.close()


def _film(
    env: VectorEnv, perception: Perception, controller: Controller, seed: int, max_steps: int = 0
) -> tuple[Episode, Film]:
    film = Film()
    policy = ControllerPolicy(perception, controller)
    episode = run_episodes(env, policy, [seed], max_steps=max_steps, recorder=film.record)[0]
    return episode, film


def _controller(ctx: StageContext, vision: Vision, memory: Memory) -> Controller:
    features = ctx.num_features(vision, memory)
    controller = ctx.backend.make_controller(ctx.task, ctx.spec.action, features)
    controller.set_parameters(ctx.completed("controller").arrays["parameters"])
    return controller


def _unheard(text: str) -> None:
    """Notices were shown when the run built the same environment."""
