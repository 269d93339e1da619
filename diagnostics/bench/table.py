"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from diagnostics.bench.growth import Growth
from diagnostics.bench.measuring import Figure

if TYPE_CHECKING:
    from diagnostics.bench.off_policy import Reached


def show_figures(
    figures: Sequence[Figure], skipped: Sequence[str], json_target: str | None
) -> None:
    """Prints one row per figure, then what could not be measured."""
    table = Table(title="throughput, items per second: median [lowest, highest]")
    for heading in ("what", "by", "median", "range", "wanted"):
        right = heading in ("median", "range")
        table.add_column(heading, justify="right" if right else "left")
    group = ""
    for figure in figures:
        if (figure.suite, figure.name) != group:
            table.add_section()
        group = (figure.suite, figure.name)
        table.add_row(
            figure.name,
            figure.implementation,
            f"{figure.median:,.0f} {figure.unit}",
            f"[{figure.lowest:,.0f}, {figure.highest:,.0f}]",
            "\n".join(_wishes(figure)),
        )
    console = _console(json_target)
    console.print(table)
    for text in skipped:
        console.print(f"not measured: {text}", markup=False)


def show_growths(growths: Sequence[Growth], json_target: str | None) -> None:
    """Prints how much resident memory each environment took up while it was stepped."""
    table = Table(title="resident memory after a warm-up and after as many steps, MiB")
    for heading in ("environment", "steps", "before", "after", "growth", "recycled", "verdict"):
        table.add_column(heading, justify="left" if heading == "environment" else "right")
    for growth in growths:
        table.add_row(
            growth.name,
            f"{growth.steps:,}",
            f"{growth.before_mib:,.1f}",
            f"{growth.after_mib:,.1f}",
            f"{growth.growth_mib:+,.1f}",
            f"{growth.recycled}",
            "within noise" if growth.within_noise else "GROWS",
        )
    _console(json_target).print(table)


def show_races(reached: Sequence[Reached], json_target: str | None) -> None:
    """Prints each learner's median steps to the target, over seeds; `never` counts as endless."""
    table = Table(title="environment steps to the target: median over seeds, and each seed")
    for heading in ("environment", "target", "learner", "median", "seeds", "best", "seconds"):
        left = heading in ("environment", "learner", "seeds")
        table.add_column(heading, justify="left" if left else "right")
    for key in dict.fromkeys((each.env_id, each.learner) for each in reached):
        runs = [each for each in reached if (each.env_id, each.learner) == key]
        table.add_row(
            key[0],
            f"{runs[0].target:g}",
            key[1],
            _steps(median(_endless(each) for each in runs)),
            ", ".join(_steps(_endless(each)) for each in runs),
            f"{median(each.best for each in runs):,.1f}",
            f"{median(each.seconds for each in runs):,.0f}",
        )
    _console(json_target).print(table)


def _endless(reached: Reached) -> float:
    return inf if reached.steps is None else reached.steps


def _steps(steps: float) -> str:
    return f"{steps:,.0f}" if isfinite(steps) else "never"


def _wishes(figure: Figure) -> list[str]:
    wishes = []
    if figure.target:
        wishes.append(f"{figure.target:,.0f} {_reached(figure.median >= figure.target)}")
    for ratio in figure.ratios:
        limit = f", wanted {ratio.wanted:g} {_reached(ratio.median >= ratio.wanted)}"
        wishes.append(f"{ratio.median:.2f} x {ratio.to}{limit if ratio.wanted else ''}")
    return wishes


def _reached(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def _console(json_target: str | None) -> Console:
    return Console(stderr=json_target == "-", highlight=False)
