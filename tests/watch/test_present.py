"""What a run tells of the moment: seldom, by whole files, and believed only while it is fresh."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from curriculum.progress import Progress
from curriculum.watch.present import NAME, STALE_S, Present, present_in

HERE = Progress("pong", "FULL", 0, "vision", 3, 10, "updates", {"loss": 0.5})


def test_what_was_told_is_read(tmp_path: Path) -> None:
    present = Present(tmp_path)
    assert present_in(tmp_path) is None
    present.on_progress(HERE)
    assert present_in(tmp_path) == HERE
    present.close()
    assert present_in(tmp_path) is None and not list(tmp_path.iterdir())


def test_it_is_told_twice_a_second_at_most(tmp_path: Path) -> None:
    now = [0.0]
    present = Present(tmp_path, lambda: now[0])
    for done, at in ((1, 0.0), (2, 0.1), (3, 0.49), (4, 0.5), (5, 0.9)):
        now[0] = at
        present.on_progress(Progress("pong", "FULL", 0, "vision", done, 10, "updates"))
    found = present_in(tmp_path)
    assert found is not None and found.done == 4


def test_a_disk_that_refuses_is_no_matter(tmp_path: Path) -> None:
    Present(tmp_path / "not there").on_progress(HERE)


def test_what_is_old_says_nothing_of_the_present(tmp_path: Path) -> None:
    Present(tmp_path).on_progress(HERE)
    old = time.time() - STALE_S - 5
    os.utime(tmp_path / NAME, (old, old))
    assert present_in(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "[" * 9000, '{"task": 3}', '{"task": "x"}' * 2000, "\xff"]
)
def test_what_is_none_is_not_believed(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text, encoding="latin-1")
    assert present_in(tmp_path) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    Present(tmp_path).on_progress(HERE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / NAME).symlink_to(tmp_path / NAME)
    assert present_in(elsewhere) is None
