"""What a self-test found, printed as it is found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.interfaces import State


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: what came out, and whether that is as it should be."""

    text: str
    good: bool


def report(name: str, findings: Iterable[Finding]) -> int:
    """Prints what is found.

    Returns:
        The exit code: 0, or 1 if something is not as it should be.
    """
    bad = 0
    for finding in findings:
        bad += not finding.good
        print(f"{name}: {'ok' if finding.good else 'FAILED'}: {finding.text}", flush=True)
    print(f"{name}: {f'{bad} of its checks failed' if bad else 'all checks passed'}")
    return 1 if bad else 0


def fell(what: str, before: float, after: float, below: float) -> Finding:
    """Tells how far something fell, which should have ended below a value."""
    text = f"{what} went from {before:.4g} to {after:.4g}, expected below {below:.4g}"
    return Finding(text, after < below)


def rose(what: str, before: float, after: float, above: float) -> Finding:
    """Tells how far something rose, which should have ended above a value."""
    text = f"{what} went from {before:.4g} to {after:.4g}, expected above {above:.4g}"
    return Finding(text, after > above)


def same_state(given: State, taken: State) -> Finding:
    """Tells whether a state came out of another one's as it went in."""
    equal = given.keys() == taken.keys() and all(
        np.array_equal(given[name], taken[name]) for name in given
    )
    numbers = sum(array.size for array in given.values())
    return Finding(f"a fresh one takes over its {numbers:,} numbers bit for bit", equal)


def same_answers(given: np.ndarray, taken: np.ndarray) -> Finding:
    """Tells whether what took a state over says the same as what gave it: a state may lack much."""
    return Finding("and says the same from then on", np.array_equal(given, taken))
