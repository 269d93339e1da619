"""Throughput of this machine: controllers, V, M, dreams and environments, with medians."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from curriculum.errors import ComponentMissing, ConfigError, ExitCode
from diagnostics.json_report import write_json

if TYPE_CHECKING:
    from diagnostics.bench.measuring import Case

SUITES = {
    "controller": "diagnostics.bench.learners:controller_cases",
    "vision": "diagnostics.bench.learners:vision_cases",
    "memory": "diagnostics.bench.learners:memory_cases",
    "dream": "diagnostics.bench.learners:dream_cases",
    "env": "diagnostics.bench.envs:env_cases",
}
"""Each names a function that yields cases, or groups of cases that hold resources."""

GROWTH = "growth"
"""Not a rate, and slow: memory over 100,000 steps of each environment. Measured when named."""

OFF_POLICY = "off-policy"
"""No rate either, and takes hours: steps to a target beside Stable-Baselines3. When named."""

TRIES = 3
"""With `--check`, what seems to lag is measured so often before it counts."""


def main(args: argparse.Namespace) -> int:
    """Runs `python -m diagnostics bench`.

    Args:
        args: `suites`, `repeats`, `steps`, `check` and `json`, as declared in `__main__`.

    Returns:
        0; with `check` 1 if something lags far behind what it is compared with, or grows.
    """
    known = [*SUITES, GROWTH, OFF_POLICY]
    if args.repeats < 1:
        raise ConfigError(f"--repeats {args.repeats}: expected at least 1")
    unknown = [name for name in args.suites if name not in known]
    if unknown:
        raise ConfigError(f"there is no suite {unknown[0]}: expected some of {', '.join(known)}")
    # Loaded here, because help and the refusals above must not wait for what they load.
    from diagnostics.bench.measuring import Figure, measure
    from diagnostics.bench.table import show_figures, show_growths

    figures: list[Figure] = []
    skipped: list[str] = []
    for suite in [name for name in args.suites or SUITES if name in SUITES]:
        try:
            for group in _groups(suite, skipped):
                figures += measure(group, args.repeats, TRIES if args.check else 1)
        except ComponentMissing as e:
            skipped.append(f"{suite}: {e}")
    if figures or skipped:
        show_figures(figures, skipped, args.json)
    report: dict[str, Any] = {
        "figures": [asdict(figure) for figure in figures],
        "not_measured": skipped,
    }
    passed = not any(figure.lags for figure in figures)
    if GROWTH in args.suites:
        from diagnostics.bench.growth import growths

        found = list(growths())
        show_growths(found, args.json)
        report["growth"] = [asdict(growth) for growth in found]
        passed = passed and all(growth.within_noise for growth in found)
    if OFF_POLICY in args.suites:
        report["off_policy"] = _raced(args)
    if args.json:
        write_json(args.json, report)
    return int(ExitCode.OK if passed or not args.check else ExitCode.INTERNAL)


def _raced(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs learners from a replay beside their rivals; returns what came of each training."""
    try:
        from diagnostics.bench.off_policy import races
    except ImportError as e:
        raise ComponentMissing(
            f"the suite off-policy needs torch, gymnasium and stable-baselines3: {e}"
        ) from e
    from diagnostics.bench.table import show_races

    reached = list(races(args.repeats, args.steps))
    show_races(reached, args.json)
    return [asdict(each) for each in reached]


def _groups(suite: str, skipped: list[str]) -> Iterator[Sequence[Case]]:
    """Yields a suite's groups one by one, so that each is closed before the next is built."""
    from diagnostics.bench.measuring import Case, NotMeasured, by_name

    module, _, function = SUITES[suite].partition(":")
    loose: list[Case] = []
    for item in getattr(importlib.import_module(module), function)():
        if isinstance(item, NotMeasured):
            skipped.append(f"{suite}: {item.text}")
        elif isinstance(item, Case):
            loose.append(item)
        else:
            yield item
    yield from by_name(loose)
