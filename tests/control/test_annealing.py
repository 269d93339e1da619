"""Falls of the learning rate, worked out by hand."""

from __future__ import annotations

import pytest

from curriculum.control.annealing import falls, rate_share


@pytest.mark.parametrize(
    ("steps", "share"),
    [(0, 1.0), (20, 0.6), (39, 0.22), (40, 0.5), (50, 0.35), (59, 0.215), (60, 0.5), (90, 0.35)],
)
def test_the_rate_falls_and_falls_again_from_half_over_half_as_many_steps(
    steps: int, share: float
) -> None:
    assert rate_share(steps, 40, 0.2) == pytest.approx(share)


@pytest.mark.parametrize("steps", [0, 5, 10, 12, 15, 100])
def test_a_rate_that_stays_stays(steps: int) -> None:
    assert rate_share(steps, 10, 1.0) == 1.0


def test_later_falls_never_rise() -> None:
    assert [rate_share(steps, 10, 0.7) for steps in (10, 12, 14)] == pytest.approx([0.7] * 3)


@pytest.mark.parametrize(("steps", "times"), [(0, 0), (40, 0), (41, 1), (60, 1), (61, 1), (62, 2)])
def test_falls_are_counted_when_they_are_over(steps: int, times: int) -> None:
    assert falls(steps, 41)[0] == times
