"""The figures of a study as SVG, in colours that suit a light page and a dark one.

What is black in a figure becomes the page's own text colour.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from baselines.results import CONFIDENCE
from baselines.study.sides import OURS, PPO, PPO_STOCK, RANDOM, Contest, Side
from baselines.study.verdicts import Judged, Verdict, floor_of
from curriculum.seeds import generator
from curriculum.show.words import count
from curriculum.statistics import normalised, performance_profile, run_scores

INK = "#010203"
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

_PLOT: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "study",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def learning_curves(contest: Contest) -> str:
    """Returns the scores of checks and examinations against real steps; "" if there are none."""
    sides = [s for s in contest.sides if any(trial.curve for trial in s.trials)]
    if not sides:
        return ""

    def draw(axes: Axes) -> None:
        for side in sides:
            _curves(axes, side)
        if contest.target is not None:
            axes.axhline(contest.target, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xlabel("real steps")
        axes.set_ylabel("score")
        axes.xaxis.set_major_formatter(lambda x, _: count(x))
        axes.legend(frameon=False, loc="lower right")

    return _svg(draw, (6.4, 3.4))


def _curves(axes: Axes, side: Side) -> None:
    colour = COLOURS[side.agent]
    told = False
    for trial in side.trials:
        if not trial.curve:
            continue
        steps, scores = zip(*((point.steps, point.score) for point in trial.curve), strict=True)
        style = "--" if trial.apart else "-"
        label = None if told else f"{side.agent}, each run"
        axes.plot(
            steps,
            scores,
            style,
            color=colour,
            linewidth=1.3,
            marker="o",
            markersize=2.5,
            label=label,
        )
        told = True


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

    return _svg(draw, (6.4, 0.9 + 0.5 * len(rows)))


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
        axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xlabel("normalised score: 0 is random play, 1 the target")
        axes.set_ylabel("share of runs above it")
        axes.set_ylim(0.0, 1.03)
        axes.legend(frameon=False, loc="lower left")

    return _svg(draw, (6.4, 3.2))


def _svg(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    with mpl.rc_context(_PLOT):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    # The page sets the size; the picture keeps its proportions.
    for side in ("width", "height"):
        text = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", text, count=1)
    return text
