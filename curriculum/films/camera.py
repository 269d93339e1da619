"""An episode filmed while it is played: by the game's own screen, or by what the agent saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.agent.episodes import Episode, Recorder, run_episodes
from curriculum.envs.interface import EnvSpec, Screen, Step
from curriculum.errors import CurriculumError
from curriculum.films.reels import Pictures, Reel, side_by_side
from curriculum.insight.drawing import Draw, Picture, drawer
from curriculum.world.dream import DreamStarts, DreamVectorEnv

FRAMES_PER_SECOND = 30.0
"""Of the time of environments that neither say nor show themselves."""

BESIDE_HEIGHT = 256
"""Pixels that pictures are high which are set side by side."""

Notice = Callable[[str], None]


class Camera:
    """Takes one picture of each observation of an episode.

    Args:
        reel: where they go.
        draw: makes a picture of what the agent sees; used where there is no screen.
        seed: of the episode.
        screen: what shows the game as it is; it plays along.
        notice: is told where the screen shows another game than is played.
    """

    def __init__(
        self,
        reel: Reel,
        draw: Draw,
        seed: int,
        screen: Screen | None = None,
        notice: Notice = lambda text: None,
    ) -> None:
        self._reel, self._draw, self._screen, self._notice = reel, draw, screen, notice
        self._seed = seed
        self._begun = False

    def record(
        self, live: np.ndarray, observations: np.ndarray, actions: np.ndarray, step: Step
    ) -> None:
        """Takes a step of the only environment (`curriculum.agent.episodes.Recorder`)."""
        if self._reel.full:
            return
        if not self._begun:
            self._begun = True
            self._reel.take(self._first(observations[0]))
        self._reel.take(self._picture(actions[0], step))

    def _first(self, observation: np.ndarray) -> Picture:
        if self._screen is None:
            return self._draw(observation)
        return self._screen.env.reset([self._seed])[0]

    def _picture(self, action: np.ndarray, step: Step) -> Picture:
        if self._screen is None:
            return self._draw(step.observations[0])
        shown = self._screen.env.step(np.asarray(action)[None])
        if not np.isclose(shown.rewards[0], step.rewards[0], rtol=0.0, atol=1e-4):
            self._notice(
                "the picture is of another game than the one that is scored: this environment "
                "does not play alike with equal seeds and actions"
            )
            self._notice = lambda text: None
        return shown.observations[0]


@contextmanager
def opened(
    make_screen: Callable[[], Screen | None], notice: Notice = lambda text: None
) -> Iterator[Screen | None]:
    """Opens what shows a game as it is, where that can be had; it is closed after use."""
    try:
        screen = make_screen()
    except CurriculumError as e:
        notice(f"what the agent sees is shown instead of the game itself: {e}")
        screen = None
    try:
        yield screen
    finally:
        if screen is not None:
            screen.env.close()


def step_seconds(spec: EnvSpec, screen: Screen | None) -> float:
    """Returns how long a step of an environment is, in its own time."""
    if screen is not None:
        return screen.step_seconds
    return spec.frames_per_step / FRAMES_PER_SECOND


def film_episode(
    agent: Agent,
    seed: int,
    reel: Reel,
    *,
    screen: Screen | None = None,
    max_steps: int = 0,
    notice: Notice = lambda text: None,
    also: Recorder | None = None,
) -> Episode:
    """Plays one episode in an agent's environment.

    Args:
        agent: acts greedily.
        seed: of the episode.
        reel: where its pictures go.
        screen: of the game; what the agent sees is shown if None.
        max_steps: after which it is cut; 0 is never.
        notice: is told what is not as it should be.
        also: is told each step too.
    """
    env = agent.make_env(1)
    camera = Camera(reel, drawer(agent.spec), seed, screen, notice)

    def record(live: np.ndarray, seen: np.ndarray, actions: np.ndarray, step: Step) -> None:
        for recorder in (camera.record, also):
            if recorder is not None:
                recorder(live, seen, actions, step)

    try:
        (episode,) = run_episodes(
            env, agent.player(1), [seed], max_steps=max_steps, recorder=record
        )
    finally:
        env.close()
    return episode


def film_dream(
    agent: Agent, seed: int, reel: Reel, *, temperature: float, max_steps: int
) -> Episode:
    """Plays one episode inside M, from the first frame of a real one.

    Args:
        agent: acts greedily.
        seed: of the real first frame and of the dream.
        reel: where what V decodes of it goes.
        temperature, max_steps: of the dream.
    """
    world, real = agent.world, agent.make_env(1)
    try:
        first = world.observe(real.reset([seed]))
    finally:
        real.close()
    limits = {"temperature": temperature, "max_steps": max_steps}
    starts = DreamStarts(first, world.begin(1))
    dream = DreamVectorEnv(world, starts, agent.spec.action, 1, **limits)
    draw = drawer(agent.spec)

    def decoded(latents: np.ndarray) -> Picture:
        return draw(world.draw(latents[None])[0])

    camera = Camera(reel, decoded, seed)
    return run_episodes(dream, agent.dreamer(dream), [seed], recorder=camera.record)[0]


def film_beside_dream(
    agent: Agent,
    seed: int,
    reel: Reel,
    *,
    temperature: float,
    max_steps: int,
    screen: Screen | None = None,
) -> Episode:
    """Films an episode and, beside it, the dream that begins with the same frame.

    The agent acts in both, so they part; what is over keeps its last picture.

    Args:
        agent, seed, reel, screen: as for `film_episode`.
        temperature, max_steps: of the dream; the film is as long.

    Returns:
        The real episode, cut where the film ends.
    """
    episode, played = kept(
        lambda taking: film_episode(agent, seed, taking, screen=screen, max_steps=max_steps)
    )
    limits = {"temperature": temperature, "max_steps": max_steps}
    _, dreamed = kept(lambda taking: film_dream(agent, seed, taking, **limits))
    for number in range(max(len(played), len(dreamed))):
        if reel.full:
            break
        pair = [pictures[min(number, len(pictures) - 1)] for pictures in (played, dreamed)]
        reel.take(side_by_side(pair, BESIDE_HEIGHT))
    return episode


def kept(film: Callable[[Reel], Episode], most: int = 0) -> tuple[Episode, list[Picture]]:
    """Returns an episode and its pictures, of which so many are kept at most."""
    pictures = Pictures(most)
    episode = film(pictures)
    return episode, pictures.taken
