"""A study as one HTML file: nothing is loaded from anywhere, and it runs no code."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from baselines.study import figures
from baselines.study.films import AgentFilm
from baselines.study.keeping import Outcome
from baselines.study.sides import OURS, Contest
from baselines.study.text import (
    AGAINST,
    CLAIMED,
    CLAIMS,
    KNOWN,
    NOTES,
    RUNS,
    STANDINGS,
    TIMES,
    UNCLAIMED,
    VERDICTS,
    claim_row,
    hash_lines,
    known_rows,
    run_rows,
    standing_row,
    time_rows,
    verdict_row,
)
from baselines.study.verdicts import Judged
from curriculum.show.words import facts as told

_LARGEST_PICTURE = 400_000
_PICTURES = {
    "vision.png": "V: what is seen, and what it draws again of its latents",
    "memory.png": "M: what came, and what it dreams after the same actions",
    "laps.png": "Laps: the worst and the median one, missed tiles marked",
}
_CURVES = (
    "Ours: checks of the deployed agent during practice, and the evaluation at its end; baselines: "
    "examinations at even distances. Bands are 95% intervals over runs, of three runs and more; a "
    "run that is over keeps its last score. Dashed: the target, and runs that are set apart; "
    "dotted: training episodes of ours, in which actions are explored. Time "
    "and episodes are those of practice and what came before it, as each ledger tells them."
)
_STYLE = """
:root { color-scheme: light dark; --line: #d8dbe0; --soft: #f4f5f7; --warn: #fff4d6; --ink: #1d2127;
  --back: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --line: #3a3f47; --soft: #22262c; --warn: #3a3115;
  --ink: #e4e7eb; --back: #16191d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--ink);
  background: var(--back); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
h3 { font-size: 1.05rem; margin-bottom: .3rem; }
.first { background: var(--warn); border-radius: .5rem; padding: .7rem 1rem .7rem 2rem; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; white-space: nowrap; }
th, td { padding: .4rem .7rem; text-align: left; border-bottom: 1px solid var(--line); }
.words td { white-space: normal; }
th { background: var(--soft); position: sticky; top: 0; font-weight: 600; }
tr:last-child td { border-bottom: 0; }
figure { margin: 1rem 0; max-width: 46rem; } figure svg { width: 100%; height: auto; }
figure img { max-width: 100%; height: auto; image-rendering: pixelated; border-radius: .3rem; }
.curves { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.films { display: flex; flex-wrap: wrap; gap: 1rem; } .films figure { width: 18rem; }
.films img { width: 100%; }
figcaption { font-size: .875rem; opacity: .8; }
pre { background: var(--soft); border-radius: .5rem; padding: .7rem 1rem; overflow-x: auto;
  font-size: .82rem; }
details { margin: .4rem 0; } summary { cursor: pointer; }
"""


def page(
    title: str,
    found: Sequence[Judged],
    commands: Sequence[str],
    claims: Sequence[Outcome] = (),
    films: Sequence[AgentFilm] = (),
) -> str:
    """Returns the study as HTML.

    Args:
        title: of the page.
        found: the tasks.
        commands: that make it again.
        claims: what became of those made before the runs.
        films: an episode of each side, shown side by side.
    """
    tasks = [judged.contest for judged in found]
    first = [line for judged in found for line in judged.headlines]
    standings = [standing_row(j.contest, standing) for j in found for standing in j.standings]
    against = [verdict_row(j.contest, verdict) for j in found for verdict in j.verdicts]
    low, high = figures.SHOWN
    body = [
        f"<h1>{escape(title)}</h1>",
        _list(first, "first"),
        _section(CLAIMED, _claims(claims) if claims else ""),
        _section(UNCLAIMED if claims else AGAINST, _table(VERDICTS, against) if against else ""),
        _section("Where each stands", _table(STANDINGS, standings)),
        "".join(f"<p>{escape(note)}</p>" for note in NOTES),
        _section(
            "Steps to the target",
            _figure(
                figures.ratios(found),
                f"Intervals over runs, cut at {low:g} and {high:g}; a median alone has none.",
            ),
        ),
        _section("Learning", _curves(tasks)),
        _section(
            "All tasks together",
            _figure(
                figures.profiles(found),
                "Performance profiles; bands are 95% intervals over runs, tasks counting alike.",
            ),
        ),
        _section("What it looks like", "".join(_filmed(films, task.task) for task in tasks)),
        _section("Where the time went", _table(TIMES, time_rows(found), "wide words")),
        _section("What V and M know", "".join(map(_known, tasks))),
        _section("Every run", _table(RUNS, run_rows(found)) + "".join(map(_made, tasks))),
        _section(
            "Rules that differ", _list([d for c in tasks for d in c.differences]) or "<p>none</p>"
        ),
        _section("How to make it again", _code(commands)),
    ]
    joined = "\n".join(part for part in body if part)
    top = f'<!doctype html>\n<html lang="en"><head>{_head(title)}</head>'
    return f"{top}\n<body>\n{joined}\n</body></html>\n"


def _head(title: str) -> str:
    return (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _claims(claims: Sequence[Outcome]) -> str:
    """Returns what became of each claim, with the hash of its plan."""
    kept = _table(CLAIMS, map(claim_row, claims), "wide words")
    return f"{kept}<p>SHA-256 of the plans:</p>{_code(hash_lines(claims))}"


def _curves(tasks: Sequence[Contest]) -> str:
    drawn = "".join(map(_learning, tasks))
    return f"<p>{escape(_CURVES)}</p>{drawn}" if drawn else ""


def _learning(contest: Contest) -> str:
    """Returns the learning curves of a task: against steps, minutes and episodes."""
    drawn = [
        _figure(figures.learning_curves(contest, axis), f"Against {axis.label}.")
        for axis in figures.AXES
    ]
    shown = "".join(drawn)
    return f'<h3>{escape(contest.task)}</h3><div class="curves">{shown}</div>' if shown else ""


def _filmed(films: Sequence[AgentFilm], task: str) -> str:
    """Returns the films of a task, side by side where there is room."""
    shown = []
    for film in films:
        if film.task == task:
            picture = _image(film.gif, "gif", f"{film.agent} plays {task}") if film.gif else ""
            caption = f"<figcaption>{escape(f'{film.agent}, {film.words}')}</figcaption>"
            shown.append(f"<figure>{picture}{caption}</figure>")
    if not shown:
        return ""
    return f'<h3>{escape(task)}</h3><div class="films">{"".join(shown)}</div>'


def _known(contest: Contest) -> str:
    """Returns what V and M of our runs know, and how it looks in the first that is counted."""
    rows = known_rows(contest)
    if not rows:
        return ""
    ours = next(side for side in contest.sides if side.agent == OURS)
    pictures = "".join(map(_picture, [p for trial in ours.counted[:1] for p in trial.pictures]))
    table = f"<details><summary>numbers</summary>{_table(KNOWN, rows)}</details>"
    return f"<h3>{escape(contest.task)}</h3>{pictures}{table}"


def _picture(file: str) -> str:
    path = Path(file)
    try:
        content = path.read_bytes()
    except OSError:
        return ""  # it was there when the runs were read
    if len(content) > _LARGEST_PICTURE:
        return f"<p>{escape(path.name)} is too large to stand here: {escape(file)}</p>"
    caption = _PICTURES.get(path.name, path.name)
    shown = _image(content, "png", caption)
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _image(content: bytes, kind: str, words: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(words)}" src="data:image/{kind};base64,{data}">'


def _made(contest: Contest) -> str:
    """Tells how each run was made: its command, settings, machine and versions."""
    parts = []
    for side in contest.sides:
        for trial in side.trials:
            machine: Mapping[str, Any] = trial.machine or {}
            known = {
                "command": trial.command,
                "set apart": trial.apart,
                "settings": _words(trial.settings),
                "machine": _words(machine.get("hardware")),
                "versions": _words(machine.get("versions")),
            }
            lines = [f"{name}: {text}" for name, text in known.items() if text]
            who = f"{contest.task}, {side.agent}, {trial.name}"
            parts.append(f"<details><summary>{escape(who)}</summary>{_code(lines)}</details>")
    return "".join(parts)


def _words(values: Any) -> str:
    return told(values, ", ") if isinstance(values, Mapping) else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "wide") -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = (
        "<tr>" + "".join(f"<td>{escape(str(text))}</td>" for text in row) + "</tr>" for row in rows
    )
    return f'<div class="{kind}"><table><tr>{top}</tr>{"".join(lines)}</table></div>'


def _list(lines: Sequence[str], kind: str = "") -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="{kind}">{items}</ul>' if kind else f"<ul>{items}</ul>"


def _code(lines: Sequence[str]) -> str:
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" if svg else ""
