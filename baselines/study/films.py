"""Films for a study: an episode each of ours and of the others, played by the usual commands.

Each is played in a process of its own: what cannot play is told in its place, and stops nothing.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from baselines.study.sides import OURS, RANDOM, Contest, Side, Trial

LONGEST_S = 900.0
"""Seconds for one film; an agent that waits for ever is not waited for."""

_LARGEST = 1_500_000


@dataclass(frozen=True)
class AgentFilm:
    """One episode of one agent.

    Attributes:
        task, agent: whose, on what.
        gif: the animation; empty if there is none.
        words: what it scored; or why there is no film.
    """

    task: str
    agent: str
    gif: bytes
    words: str


def film_all(found: Sequence[Contest], seed: int) -> list[AgentFilm]:
    """Plays an episode with the median run of every side, random play left out.

    Args:
        found: the tasks.
        seed: of the episodes.
    """
    films = []
    for contest in found:
        for side in contest.sides:
            if side.agent != RANDOM and side.counted:
                films.append(_film(contest.task, side, seed))
    return films


def _film(task: str, side: Side, seed: int) -> AgentFilm:
    trial = _median(side.counted)
    words = ["-m", "curriculum", "play", trial.where, "--task", task]
    if side.agent != OURS:
        words = ["-m", "baselines", "play", trial.where]
    with TemporaryDirectory(prefix="films-") as directory:
        gif = Path(directory) / "film.gif"
        command = [sys.executable, *words, "--seed", str(seed), "--gif", str(gif)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=LONGEST_S
            )
        except subprocess.TimeoutExpired:
            return AgentFilm(task, side.agent, b"", f"no film: not over in {LONGEST_S:.0f} s")
        except OSError as e:
            return AgentFilm(task, side.agent, b"", f"no film: {e}")
        if done.returncode != 0 or not gif.is_file():
            told = done.stderr.strip().splitlines()
            why = told[-1] if told else f"exit code {done.returncode}"
            return AgentFilm(task, side.agent, b"", f"no film: {why}")
        content, told = gif.read_bytes(), done.stdout.strip().splitlines()
    if len(content) > _LARGEST:
        megabytes = len(content) / 1e6
        return AgentFilm(task, side.agent, b"", f"no film: {megabytes:.1f} MB are too many here")
    return AgentFilm(task, side.agent, content, f"{trial.name}: {told[0] if told else ''}")


def _median(trials: Sequence[Trial]) -> Trial:
    ordered = sorted(trials, key=lambda trial: (trial.score or 0.0, trial.name))
    return ordered[(len(ordered) - 1) // 2]
