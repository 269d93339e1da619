"""Many full episodes of one agent, played by an executor in units that never depend on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from curriculum.agent.episodes import Episode
from curriculum.agent.work import EpisodesUnit, play_episodes
from curriculum.place import Place
from curriculum.pool import Executor, in_order
from curriculum.records.evaluation import LOOPING_STEPS, Evaluation
from curriculum.statistics import mean
from models.interfaces import State


def play(
    place: Place,
    executor: Executor,
    learned: State,
    seeds: Sequence[int],
    *,
    unit_size: int,
    sampled: bool,
    idle_steps: int = 0,
    before: Sequence[Episode] = (),
    on_more: Callable[[list[Episode]], None] = lambda played: None,
) -> list[Episode]:
    """Plays one episode per seed.

    Args:
        place: is told progress.
        executor: it already knows what of the agent `learned` does not hold.
        learned: what of the agent was learned, see `Agent.state`.
        seeds: of the episodes.
        unit_size: episodes that are played together; sampled actions depend on it.
        sampled: draw actions from the policy instead of taking the most likely one.
        idle_steps: steps without a reward after which an episode is cut; 0 cuts none.
        before: episodes of the first seeds that were played already.
        on_more: is told all episodes so far, in order, when there are more and about once a second.
    """
    played = list(before)
    units = [
        EpisodesUnit(learned, tuple(seeds[i : i + unit_size]), sampled, idle_steps=idle_steps)
        for i in range(len(played), len(seeds), unit_size)
    ]
    take = in_order(played.extend)

    def on_result(number: int, result: list[Episode]) -> None:
        take(number, result)
        facts = {"score": mean_score(played)} if played else {}
        place.say(len(played), len(seeds), "episodes", **facts)
        on_more(played)

    executor.map(
        play_episodes,
        units,
        on_result=on_result,
        on_wait=lambda: on_more(played),
    )
    return played


def even_unit_size(episodes: int, num_envs: int) -> int:
    """Returns how many episodes a unit of work has: equal parts, an even number of them.

    Users have two cores as often as not, and a game that is over is stepped on until its batch is.
    """
    parts = 2 * -(-episodes // (2 * num_envs))
    return -(-episodes // parts)


def judged(
    episodes: Sequence[Episode],
    *,
    policy: str,
    confidence: float,
    rng: np.random.Generator,
    other: Evaluation | None = None,
) -> Evaluation:
    """Judges full episodes: their scores, how alike they are, and how they ended.

    Args:
        episodes: at least one.
        policy, confidence, rng, other: see `Evaluation.of`.
    """
    scores, steps = [e.score for e in episodes], sum(e.steps for e in episodes)
    found = Evaluation.of(
        scores, policy=policy, confidence=confidence, rng=rng, steps=steps, other=other
    )
    return replace(
        found,
        lengths=tuple(e.steps for e in episodes),
        lives=tuple(e.lives_lost for e in episodes),
        cut=sum(not e.terminated for e in episodes),
        looping=sum(e.barren_steps > LOOPING_STEPS for e in episodes),
    )


def mean_score(episodes: Sequence[Episode]) -> float:
    """Returns the mean score of episodes."""
    return float(mean(np.array([e.score for e in episodes])))
