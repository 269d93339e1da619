"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from diagnostics.bench.growth import Growth
from diagnostics.bench.measuring import Figure


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
