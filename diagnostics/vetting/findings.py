"""What a review found, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from curriculum.show.words import plain
from diagnostics.json_report import write_json

Level = Literal["ok", "fixed", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)
STYLES = {"ok": "green", "fixed": "cyan", "warning": "yellow", "error": "red"}
TEXT_LIMIT = 1500


@dataclass(frozen=True)
class Finding:
    """One thing that was reviewed: how grave, where, what was found, what to do about it."""

    level: Level
    place: str
    text: str
    fix: str = ""


def show(findings: Sequence[Finding], json_target: str | None) -> None:
    """Prints findings as a table, and writes them as JSON if a target is given.

    File names and messages are a stranger's: what could move the cursor is left out of the table.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="review", show_lines=False)
    for heading in ("state", "where", "what", "what to do"):
        table.add_column(heading, overflow="fold")
    for f in findings:
        state = f"[{STYLES[f.level]}]{f.level}[/]"
        table.add_row(state, *(escape(plain(text)) for text in (f.place, f.text, f.fix)))
    console = Console(stderr=json_target == "-", highlight=False)
    console.print(table)
    counts = {level: sum(f.level == level for f in findings) for level in LEVELS}
    console.print(", ".join(f"{count} {level}" for level, count in counts.items() if count))
    if json_target:
        write_json(json_target, {"findings": [asdict(f) for f in findings]})
