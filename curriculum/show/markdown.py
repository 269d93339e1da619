"""Markdown that says what it is given: whatever the text holds, it starts no table, link or tag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from curriculum.show.words import plain

_SPECIAL = re.compile(r"([\\`*<>|~#])")
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITY = re.compile(r"&(?=[#A-Za-z])")
_LINK = re.compile(r"\](?=[(\[:])|!(?=\[)")
_BLOCK = re.compile(r"^(?:([-+=\[])|(\d+)([.)]))")


def cell(value: Any) -> str:
    """Returns text for the inside of a line or of a table cell, which renders as it is written."""
    text = _SPECIAL.sub(r"\\\1", plain(value))
    text = _UNDERSCORE.sub(r"\\_", _ENTITY.sub("&amp;", text))
    return _LINK.sub(lambda m: f"\\{m[0]}", text)


def escape(value: Any) -> str:
    """Returns text for a line of its own, where it starts no list, heading or reference either."""
    return _BLOCK.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", cell(value))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a table, escaped; a sentence saying so where there are no rows."""
    lines = [_row(map(cell, row)) for row in rows]
    if not lines:
        return "None.\n"
    rule = _row("---" for _ in header)
    return "\n".join([_row(map(cell, header)), rule, *lines]) + "\n"


def bullets(items: Iterable[Any]) -> str:
    """Returns a list, escaped; a word saying so where it is empty."""
    lines = [f"- {escape(item)}" for item in items]
    return "\n".join(lines or ["None."]) + "\n"


def pictures(paths: Iterable[str]) -> str:
    """Returns pictures with their paths below them; a word saying so where there are none."""
    shown = [f"![{cell(path)}]({quote(path)})\n\n{escape(path)}" for path in paths]
    return "\n\n".join(shown or ["None."]) + "\n"


def code(lines: Iterable[str]) -> str:
    """Returns a code block of commands, one a line, that no content can end."""
    shown = [plain(line) for line in lines]
    ticks = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, ticks + 1)
    return "\n".join([f"{fence}sh", *shown, fence]) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
