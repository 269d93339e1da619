"""A study written as a page, and its figures as files, for both programs that show one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baselines.study.films import AgentFilm
from baselines.study.keeping import Outcome
from baselines.study.verdicts import Judged
from curriculum.errors import ComponentMissing
from curriculum.records.files import write_bytes


def write_figures(directory: Path, found: Sequence[Judged]) -> list[Path]:
    """Writes the figures of a study as SVG files, each atomically, and returns which.

    Raises:
        ComponentMissing: matplotlib cannot be imported.
        RunIOError: the disk refused.
    """
    try:
        from baselines.study import figures
        from curriculum.figures.drawing import as_file
    except ImportError as e:
        raise _without_matplotlib(e) from e
    drawn = {"ratios": figures.ratios(found), "profiles": figures.profiles(found)}
    for judged in found:
        for axis in figures.AXES:
            drawn[f"{judged.contest.task}-{axis.name}"] = figures.learning_curves(
                judged.contest, axis
            )
    written = {directory / f"{name}.svg": figure for name, figure in drawn.items() if figure}
    for path, figure in written.items():
        write_bytes(path, as_file(figure))
    return list(written)


def _without_matplotlib(error: ImportError) -> ComponentMissing:
    return ComponentMissing(
        f"figures need matplotlib, which cannot be imported ({error}): install it with "
        "`pip install matplotlib`"
    )


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
        raise _without_matplotlib(e) from e
    write_bytes(file, page(title, found, commands, claims, films).encode())
