"""A histogram on one line: every score is in it, and the fullest bin is full."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.figures.histogram import histogram


def test_known_counts_have_known_heights() -> None:
    assert histogram([0, 0, 0, 0, 1, 1, 2], bins=3) == "0.0 |█▄▂| 2.0"
    assert histogram([0.0, 10.0], bins=5) == "0.0 |█   █| 10.0"


def test_equal_scores_are_one_full_bin() -> None:
    assert histogram([7.0] * 100) == "7.0 |█| 7.0"
    assert histogram([-21.0]) == "-21.0 |█| -21.0"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "nonsense"])
def test_a_terminal_without_blocks_gets_plain_characters(encoding: str) -> None:
    line = histogram([0, 0, 1], bins=2, encoding=encoding)
    assert line == "0.0 |@=| 1.0" and line.isascii()


def test_no_score_is_lost_beside_many() -> None:
    scores = np.r_[np.zeros(100_000), 1.0]
    assert histogram(scores.tolist(), bins=2) == "0.0 |█▁| 1.0"
