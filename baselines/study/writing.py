"""A study written as a page, for both programs that show one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baselines.study.films import AgentFilm
from baselines.study.keeping import Outcome
from baselines.study.verdicts import Judged
from curriculum.errors import ComponentMissing
from curriculum.records.files import write_bytes


def write_page(
    file: Path,
    title: str,
    found: Sequence[Judged],
    commands: Sequence[str],
    claims: Sequence[Outcome] = (),
    films: Sequence[AgentFilm] = (),
) -> None:
    """Writes a study as one HTML file, atomically; see `baselines.study.page.page`.

    Raises:
        ComponentMissing: matplotlib cannot be imported.
        RunIOError: the disk refused.
    """
    try:
        from baselines.study.page import page
    except ImportError as e:
        raise ComponentMissing(
            f"the page needs matplotlib for its figures, which cannot be imported ({e}): install "
            "it with `pip install matplotlib`"
        ) from e
    write_bytes(file, page(title, found, commands, claims, films).encode())
