"""The figures of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from baselines.results import CONFIDENCE
from baselines.study.sides import OURS, PPO, PPO_STOCK, RANDOM, Contest, Side, Trial
from baselines.study.verdicts import Judged, Verdict, floor_of
from curriculum.figures.curve import Point
from curriculum.figures.drawing import DASHES, INK, below, svg
from curriculum.seeds import generator
from curriculum.show.words import count
from curriculum.statistics import curve_band, normalised, performance_profile, run_scores

COLOURS = {
    OURS: "#2f7ed8",
    PPO: "#e07a1f",
    "DQN (SB3)": "#8a63d2",
    PPO_STOCK: "#b0455a",
    "DQN (SB3, stock)": "#5b4a8a",
    "SAC (SB3)": "#2f9e6e",
    "SAC (SB3, stock)": "#1d6b72",
    RANDOM: "#8c8c8c",
}
SHOWN = (0.05, 50.0)
"""Ratios between which intervals are drawn."""


class Axis(NamedTuple):
    """What a learning curve is drawn against: in words, in a file name, and at a point."""

    label: str
    name: str
    of: Callable[[Point], float | None]


_CURVE: Callable[[Trial], Sequence[Point]] = attrgetter("curve")
_TRAINING: Callable[[Trial], Sequence[Point]] = attrgetter("training")


class Line(NamedTuple):
    """The scores of a run `[n]`, and where they stand along an axis `[n]`."""

    trial: Trial
    at: np.ndarray
    scores: np.ndarray


AXES = (
    Axis("real steps", "steps", lambda point: point.steps),
    Axis(
        "minutes", "minutes", lambda point: None if point.seconds is None else point.seconds / 60.0
    ),
    Axis("episodes", "episodes", lambda point: point.episodes),
)


def learning_curves(contest: Contest, axis: Axis) -> str:
    """Returns the scores of checks and examinations along an axis; "" if none are told along it.

    Three runs and more are drawn together as well, with an interval over runs.
    """
    drawn = [(s, _along(s.trials, axis, _CURVE)) for s in contest.sides]
    drawn = [(side, lines) for side, lines in drawn if lines]
    if not drawn:
        return ""

    def draw(axes: Axes) -> None:
        for side, lines in drawn:
            _runs(axes, side, lines, _along(side.trials, axis, _TRAINING))
            _together(axes, contest.task, side, axis, lines)
        if contest.target is not None:
            axes.axhline(contest.target, color=INK, linewidth=0.8, linestyle=DASHES)
        axes.set_xlabel(axis.label)
        axes.set_ylabel("score")
        axes.xaxis.set_major_formatter(lambda x, _: count(x) if x >= 10 else f"{x:g}")
        below(axes)

    return svg(draw, (6.4, 4.0))


def _along(
    trials: Sequence[Trial], axis: Axis, points_of: Callable[[Trial], Sequence[Point]]
) -> list[Line]:
    """Returns where the points of each run stand, and their scores; of runs that tell it."""
    lines: list[Line] = []
    for trial in trials:
        points = points_of(trial)
        known = [place for place in map(axis.of, points) if place is not None]
        if known and len(known) == len(points):
            lines.append(Line(trial, np.array(known), np.array([p.score for p in points])))
    return lines


def _runs(axes: Axes, side: Side, lines: Sequence[Line], training: Sequence[Line]) -> None:
    for number, (_, at, scores) in enumerate(training):
        label = None if number else f"{side.agent}, training episodes"
        axes.plot(at, scores, ":", color=COLOURS[side.agent], linewidth=0.9, alpha=0.8, label=label)
    for number, (trial, at, scores) in enumerate(lines):
        axes.plot(
            at,
            scores,
            "--" if trial.apart else "-",
            color=COLOURS[side.agent],
            linewidth=0.9,
            alpha=0.55,
            marker="o",
            markersize=2.0,
            label=None if number else f"{side.agent}, each run",
        )


def _together(
    axes: Axes,
    task: str,
    side: Side,
    axis: Axis,
    lines: Sequence[Line],
) -> None:
    curves = [(at, scores) for trial, at, scores in lines if not trial.apart and trial.scores]
    rng = generator(0, "study", "curve", task, side.agent, axis.label)
    band = curve_band(curves, CONFIDENCE, rng)
    if band is None:
        return
    colour = COLOURS[side.agent]
    label = f"{side.agent}, interquartile mean of {len(curves)}"
    axes.plot(band.at, band.middle, color=colour, linewidth=2.0, label=label)
    axes.fill_between(band.at, band.low, band.high, color=colour, alpha=0.18, linewidth=0)


def ratios(found: Sequence[Judged]) -> str:
    """Returns how many times fewer steps ours need, beside what is usually claimed; "" if none."""
    rows = [(j.contest, v) for j in found for v in j.verdicts if v.steps is not None]
    if not rows:
        return ""

    def draw(axes: Axes) -> None:
        for place, (_, verdict) in enumerate(rows):
            _ratio(axes, place, verdict)
        axes.axvline(1.0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(rows)), [f"{c.task}, {v.agent}" for c, v in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}×")
        axes.xaxis.set_minor_formatter(lambda x, _: "")
        axes.set_xlabel("times fewer steps to the target (○ usually claimed, ▷ at least)")

    return svg(draw, (6.4, 0.9 + 0.5 * len(rows)))


def _ratio(axes: Axes, place: int, verdict: Verdict) -> None:
    ratio = verdict.steps
    assert ratio is not None
    colour = COLOURS[verdict.agent]
    if ratio.interval is not None:
        low, high = (min(max(end, SHOWN[0]), SHOWN[1]) for end in ratio.interval)
        axes.plot([low, high], [place, place], color=colour, linewidth=2.0)
    axes.plot([ratio.value], [place], ">" if ratio.at_least else "o", color=colour, markersize=7)
    if verdict.claimed is not None:
        axes.plot([verdict.claimed], [place], "o", color=INK, markerfacecolor="none", markersize=8)


def profiles(found: Sequence[Judged]) -> str:
    """Returns the shares of runs above each normalised score; "" where no floor was measured."""
    agents: dict[str, list[np.ndarray]] = {}
    for contest in (judged.contest for judged in found):
        floor = floor_of(contest)
        if floor is None or contest.target is None or not contest.target > floor:
            continue
        for side in contest.sides:
            scores = run_scores([np.array(trial.scores) for trial in side.counted])
            if len(scores) and side.agent != RANDOM:
                agents.setdefault(side.agent, []).append(normalised(scores, floor, contest.target))
    if not agents:
        return ""
    thresholds = np.linspace(0.0, 1.5, 151)

    def draw(axes: Axes) -> None:
        for agent, tasks in agents.items():
            rng = generator(0, "study", "profile", agent)
            profile = performance_profile(tasks, thresholds, CONFIDENCE, rng)
            label = f"{agent}, {len(tasks)} task{'s' if len(tasks) > 1 else ''}"
            axes.plot(thresholds, profile.shares, color=COLOURS[agent], label=label)
            axes.fill_between(
                thresholds, profile.low, profile.high, color=COLOURS[agent], alpha=0.2, linewidth=0
            )
        axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=DASHES)
        axes.set_xlabel("normalised score: 0 is random play, 1 the target")
        axes.set_ylabel("share of runs above it")
        axes.set_ylim(0.0, 1.03)
        below(axes)

    return svg(draw, (6.4, 3.6))
