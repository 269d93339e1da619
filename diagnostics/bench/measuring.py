"""Rates with medians: what is compared runs in turns, so that a noisy neighbour slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MIN_SECONDS = 0.2
FLOOR = 0.5
"""What reaches less than this share of a wanted ratio lags: no machine explains that."""


def _nothing() -> None:
    """Closes what needs no closing."""


@dataclass(frozen=True)
class Case:
    """One thing to measure: `work()` does `items` of `unit`.

    Attributes:
        suite, name, implementation: where it stands in the table.
        unit: what is counted.
        items: how many of them one `work()` does.
        work: the work.
        target: wanted rate; 0 is none.
        wanted: wanted ratios to other implementations of the same group.
        calls: how often `work` is called in a run, in turns with the others of the group; 0 is as
            often as makes a run long enough, one after the other, for what lives in caches.
        close: releases what the case holds.
    """

    suite: str
    name: str
    implementation: str
    unit: str
    items: int
    work: Callable[[], object]
    target: float = 0.0
    wanted: Mapping[str, float] = field(default_factory=dict)
    calls: int = 0
    close: Callable[[], object] = _nothing


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as another implementation: median of the runs taken in turns."""

    to: str
    median: float
    wanted: float


@dataclass(frozen=True)
class Figure:
    """One measured rate: median, lowest and highest of the runs, in `unit` per second."""

    suite: str
    name: str
    implementation: str
    unit: str
    median: float
    lowest: float
    highest: float
    runs: int
    target: float
    ratios: tuple[Ratio, ...] = ()

    @property
    def lags(self) -> bool:
        """Whether it is far behind what it is compared with, as it ran in turns with it."""
        return any(ratio.median < FLOOR * ratio.wanted for ratio in self.ratios)


@dataclass(frozen=True)
class NotMeasured:
    """What could not be measured here, in one line with its reason."""

    text: str


def by_name(cases: Iterable[Case]) -> list[list[Case]]:
    """Returns groups of cases that go by the same name."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.name, []).append(case)
    return list(groups.values())


def measure(group: Sequence[Case], repeats: int, tries: int = 1) -> list[Figure]:
    """Times the cases of a group in turns, each after a warm-up, and closes them.

    Args:
        group: cases that are compared with each other.
        repeats: runs of each; one lasts at least 0.2 s, or as many calls as the case says.
        tries: how often all of this is done, at most, until none lags.
    """
    try:
        calls = [_calls_for(case) for case in group]
        figures = _figures(group, calls, repeats)
        while any(figure.lags for figure in figures) and (tries := tries - 1) > 0:
            figures = _figures(group, calls, repeats)
    finally:
        for case in group:
            case.close()
    return figures


def _figures(group: Sequence[Case], calls: Sequence[int], repeats: int) -> list[Figure]:
    rates: list[list[float]] = [[] for _ in group]
    for _ in range(repeats):
        for found, case, count, seconds in zip(
            rates, group, calls, _run(group, calls), strict=True
        ):
            found.append(count * case.items / seconds)
    by_name = dict(zip((case.implementation for case in group), rates, strict=False))
    return [_figure(case, found, by_name) for case, found in zip(group, rates, strict=True)]


def _run(group: Sequence[Case], calls: Sequence[int]) -> list[float]:
    """Returns the seconds that each case needed for its calls."""
    seconds = [0.0] * len(group)
    rounds = max((case.calls for case in group), default=0) or 1
    for turn in range(rounds):
        for number, case in enumerate(group):
            count = calls[number] if not case.calls and turn == 0 else turn < case.calls
            started = time.perf_counter()
            for _ in range(count):
                case.work()
            seconds[number] += time.perf_counter() - started
    return seconds


def _figure(case: Case, found: list[float], others: Mapping[str, list[float]]) -> Figure:
    ratios = [
        Ratio(name, statistics.median(a / b for a, b in zip(found, others[name], strict=True)), x)
        for name, x in case.wanted.items()
        if name in others
    ]
    return Figure(
        case.suite,
        case.name,
        case.implementation,
        case.unit,
        statistics.median(found),
        min(found),
        max(found),
        len(found),
        case.target,
        tuple(ratios),
    )


def _calls_for(case: Case) -> int:
    """Warms up, and finds how many calls last long enough to be timed."""
    case.work()
    if case.calls:
        return case.calls
    started = time.perf_counter()
    case.work()
    seconds = max(time.perf_counter() - started, 1e-7)
    return max(1, round(MIN_SECONDS / seconds))
