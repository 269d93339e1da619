"""What becomes of laps: tiles left behind, where the car came round, where it left the road.

The score alone does not tell a slow driver from one that skips tiles or stays on the grass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from curriculum.agent.told import ToldEpisode
from curriculum.envs.interface import EnvSpec
from curriculum.envs.lap import (
    COMPLETE,
    FRONT,
    LAP_FACTS,
    LEFT_BEHIND,
    TILES,
    VISITED,
    WHEELS_OFF,
)

WHEELS = 4


@dataclass(frozen=True)
class Excursion:
    """Steps in a row after which no wheel was on the road.

    Attributes:
        frame: the first frame after which it was so; all frames are counted in whole steps.
        tile: the foremost one the car had come to.
        frames: how long it lasted.
        found_back: whether a wheel touched the road again.
    """

    frame: int
    tile: int
    frames: int
    found_back: bool


@dataclass(frozen=True)
class Lap:
    """One episode of driving.

    Attributes:
        seed, score: of the episode.
        frames: that it lasted.
        tiles, visited, left_behind: at its end.
        came_round: the frame by which the car first passed the start again; None if it did not.
        complete: whether every tile was visited.
        excursions: where it left the road.
    """

    seed: int
    score: float
    frames: int
    tiles: int
    visited: int
    left_behind: int
    came_round: int | None
    complete: bool
    excursions: tuple[Excursion, ...]

    @property
    def lost(self) -> bool:
        """Whether it left the road and did not find back."""
        return any(not excursion.found_back for excursion in self.excursions)


def tells_of_laps(spec: EnvSpec) -> bool:
    """Whether an environment tells what is looked at here."""
    return set(LAP_FACTS) <= set(spec.facts)


def lap_of(told: ToldEpisode, spec: EnvSpec) -> Lap:
    """Returns what became of one episode's lap."""
    column = {name: told.facts[:, place] for place, name in enumerate(spec.facts)}
    front, frames = column[FRONT], spec.frames_per_step
    round_again = np.flatnonzero(front >= column[TILES])
    return Lap(
        seed=told.episode.seed,
        score=told.episode.score,
        frames=told.episode.steps * frames,
        tiles=int(column[TILES][-1]),
        visited=int(column[VISITED][-1]),
        left_behind=int(column[LEFT_BEHIND][-1]),
        came_round=(int(round_again[0]) + 1) * frames if round_again.size else None,
        complete=bool(column[COMPLETE][-1]),
        excursions=_excursions(column[WHEELS_OFF] == WHEELS, front, frames),
    )


def _excursions(off: np.ndarray, front: np.ndarray, frames: int) -> tuple[Excursion, ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], off, [False]]).astype(np.int8)))
    return tuple(
        Excursion((begin + 1) * frames, int(front[begin]), (end - begin) * frames, end < len(off))
        for begin, end in edges.reshape(-1, 2).tolist()
    )


def summary_of(laps: Sequence[Lap]) -> dict[str, Any]:
    """Returns what laps have in common, and each of them, as JSON-compatible data."""
    scores = np.array([lap.score for lap in laps])
    complete = sorted(lap.frames for lap in laps if lap.complete)
    rounds = [lap.came_round for lap in laps if lap.came_round is not None]
    shares = [lap.visited / lap.tiles for lap in laps]
    return {
        "episodes": len(laps),
        "score_mean": float(scores.mean()),
        "score_median": float(np.median(scores)),
        "score_worst": float(scores.min()),
        "visited_share": float(np.mean(shares)),
        "left_behind_mean": float(np.mean([lap.left_behind for lap in laps])),
        "complete": len(complete),
        "complete_frames": complete,
        "came_round": len(rounds),
        "came_round_frame_median": float(np.median(rounds)) if rounds else None,
        "left_the_road": sum(bool(lap.excursions) for lap in laps),
        "not_found_back": sum(lap.lost for lap in laps),
        "laps": [asdict(lap) for lap in laps],
    }


def worst_and_median(laps: Sequence[Lap]) -> tuple[int, int]:
    """Returns the places of the laps with the lowest and the (lower) median score."""
    order = sorted(range(len(laps)), key=lambda place: laps[place].score)
    return order[0], order[(len(order) - 1) // 2]
