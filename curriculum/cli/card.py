"""The card of a pretrained agent: what it is, where it comes from, and what it cannot do.

Every number is one that the run's ledger holds, or is counted from the scores in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curriculum.mode import LADDER
from curriculum.pretrained.bundle import Bundle
from curriculum.records.evaluation import Evaluation
from curriculum.show.markdown import bullets, code, escape, table
from curriculum.show.summary import RunSummary, StageRow, summarise
from curriculum.show.view import transfer_line
from curriculum.show.words import count, duration, interval, number, plain, tried

NOT_STATED = "Nobody stated why."


def card(bundle: Bundle, why: str) -> str:
    """Returns the card as Markdown.

    Args:
        bundle: what it describes.
        why: why this run and seed were taken; written as it is given.
    """
    summary, task = summarise(bundle.events), bundle.task
    seed = plain(summary.started.get("seed"))
    rows = [row for row in summary.stages if row.mode == bundle.mode or row.stage == "collect"]
    return "\n".join(
        [
            f"# {escape(task.name)}: a pretrained agent\n",
            _what(bundle, rows),
            "## How it was trained\n",
            code(summary.commands),
            f"\nThe run's seed is {seed or 'not recorded'}. {_sentence(why) or NOT_STATED}\n",
            "## Data, steps and time\n",
            _used(summary, rows),
            "## Scores\n",
            _scores(bundle, rows, seed),
            "## What it cannot do\n",
            bullets(_limits(bundle, summary)),
            "## How to score it again\n",
            _again(task.name),
            "## Where it was trained\n",
            _machine(summary),
            "## Licence\n",
            "MIT, as the program that trained it.\n",
        ]
    )


def _sentence(why: str) -> str:
    """Begins it with a capital letter and leaves the rest as it was given."""
    given = why.strip()
    return given[:1].upper() + given[1:]


def _what(bundle: Bundle, rows: list[StageRow]) -> str:
    task = bundle.task
    learned = next((r for r in rows if r.stage == "controller" and r.round == bundle.round), None)
    size = count(learned.facts.get("parameters")) if learned else "an unknown number of"
    sees = ", ".join(task.controller.features)
    return (
        f"An agent for {escape(_played(bundle))}, learned in mode {bundle.mode}: V turns "
        f"what it sees ({task.observation}) into z, M remembers in h what came before, and a "
        f"controller C of {size} parameters reads {sees} and acts. `task.yaml` is its whole "
        f"configuration, `agent.safetensors` holds the weights, `ledger.jsonl` is what the run "
        f"told.\n"
    )


def _played(bundle: Bundle) -> str:
    simulated = bundle.mode == LADDER[-1].value
    return f"simulation/{bundle.task.env.simulation}" if simulated else bundle.task.env_id


def _verdict(summary: RunSummary, task: str) -> Mapping[str, Any]:
    return next((v for v in summary.verdicts if plain(v.get("task")) == task), {})


def _used(summary: RunSummary, rows: list[StageRow]) -> str:
    header = ["round", "stage", "time", "env steps", "dream steps", "result"]
    cells = []
    for r in rows:
        used = duration(r.seconds), count(r.env_steps), count(r.dream_steps)
        cells.append([r.round + 1, r.stage, *used, r.result])
    total = "The run ended without a verdict."
    for v in summary.verdicts:
        total = (
            f"Until its verdict the run took {count(v.get('env_steps'))} steps in the environment, "
            f"{count(v.get('dream_steps'))} in dreams, and {duration(v.get('seconds'))}; what V "
            "and M learned from is included, evaluation episodes are not."
        )
    return f"{table(header, cells)}\n{total}\n"


def _scores(bundle: Bundle, rows: list[StageRow], seed: str) -> str:
    header = ["policy", "mean", "interval of the mean", "std", "min", "max", "episodes", "steps"]
    found = [r for r in rows if r.stage == "evaluate" and r.round == bundle.round]
    both = [each for row in found if row.evaluation for each in row.evaluation.both]
    path = f"{bundle.task.name}, {bundle.round}, evaluate, episodes, n"
    verdict = _verdict(summarise(bundle.events), bundle.task.name)
    held = ""
    if verdict:
        held = (
            f"The verdict is by the {plain(verdict.get('policy'))} policy: "
            f"{plain(verdict.get('verdict'))}, against a target of {number(verdict.get('target'))}."
        )
    confidence = both[0].confidence if both else None
    level = f" at a level of {plain(confidence)}" if confidence is not None else ""
    return (
        f"{table(header, map(_score_row, both))}\nFull episodes with true rewards; intervals are "
        f"bootstrapped{level}. Episode n has the seed that follows from the run's seed {seed} and "
        f"the path ({escape(path)}), on which nothing learns. {held}\n"
    )


def _score_row(told: Evaluation) -> list[str]:
    spread = (told.std, told.lowest, told.highest) if told.scores else (None, None, None)
    return [
        plain(told.policy),
        number(told.score, 2),
        interval(told.interval),
        *(number(value, 2) for value in spread),
        count(len(told.scores)),
        count(told.evaluation_steps),
    ]


def _limits(bundle: Bundle, summary: RunSummary) -> list[str]:
    task, verdict = bundle.task, _verdict(summary, bundle.task.name)
    limits = [
        f"It plays {_played(bundle)} as task.yaml sets it up; anything else, sticky actions or "
        "another frame skip included, was not measured here; evaluate --env-id measures it.",
        "V and M saw only what the run collected; what looks different, or comes later in a game "
        "than anything collected, they may describe wrongly.",
        "It does not go on learning: the moments of its optimisers and whatever only learning "
        "needs are left out. task.yaml trains another one.",
        "Another machine or other versions may round differently: a single episode can then end "
        "otherwise, the mean only within its interval.",
    ]
    limits += [
        f"In its run, {transfer_line(event)}: task.yaml trains this task alone, from the start."
        for event in summary.transfers
        if event.get("taken") and event.get("round") in bundle.rounds
    ]
    if tried(verdict):
        limits.append(
            f"It is of {tried(verdict)} with different seeds in one run: the best of several "
            "flatters, and the steps and minutes above are those of all."
        )
    if bundle.mode != LADDER[0].value:
        limits.append(f"It was learned in {bundle.mode}: its score counts for no FULL target.")
    if verdict and verdict.get("verdict") != "passed":
        found = plain(verdict.get("verdict")).replace("_", " ")
        limits.append(f"It did not pass {task.name} in its run: the verdict is {found}.")
    return limits


def _again(task: str) -> str:
    lines = [
        f"python -m curriculum evaluate --pretrained {task} --episodes 100 --seed 1",
        f"python -m curriculum play --pretrained {task} --gif {task}.gif",
        f"python -m curriculum run models/pretrained/{task}/task.yaml",
    ]
    return (
        f"{code(lines)}\nThe first plays fresh seeds: expect a mean near the intervals above. The "
        "last trains it again from the start and evaluates it on the seeds above.\n"
    )


def _machine(summary: RunSummary) -> str:
    started = summary.started
    facts = {**(started.get("hardware") or {}), **(started.get("versions") or {})}
    facts["configuration"] = started.get("config_hash")
    return table(["what", "which"], [[plain(k).replace("_", " "), v] for k, v in facts.items()])
