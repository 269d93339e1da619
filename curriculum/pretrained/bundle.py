"""A learned agent as a directory that can be handed on, and what is read back from it.

`agent.safetensors` holds the weights of V, M and C, `task.yaml` the configuration they were
learned with, `ledger.jsonl` what the run told of them, headed by the sizes and hashes of these two,
and `card.md` the same for people. Nothing of it is ever executed: it is arrays, YAML and JSON, or
it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curriculum.config.loading import dump, load_config
from curriculum.config.plugins import code_of
from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.mode import LADDER
from curriculum.records import agent_state
from curriculum.records.commit import Unverified, fingerprint, pack, unpack
from curriculum.records.files import read_plain, write_bytes
from curriculum.records.ledger import Event, parse_events
from models.interfaces import State

FORMAT = 1
AGENT, TASK, LEDGER, CARD = "agent.safetensors", "task.yaml", "ledger.jsonl", "card.md"
NAMES = (AGENT, TASK, LEDGER, CARD)

_HEAD = "exported"
"""What the first line of a bundle's ledger is called; no run records it."""

_LIMIT = 2**30
_MODES = tuple(mode.value for mode in LADDER)


@dataclass(frozen=True)
class Bundle:
    """A learned agent.

    Attributes:
        config: of a run with this task alone, in the mode the agent was learned in.
        mode, round: where it was learned.
        learned: by V, M and C (`curriculum.records.agent_state`), without what only further
            learning needs.
        events: what the run's ledger tells of it, oldest first.
    """

    config: Config
    mode: str
    round: int
    learned: State = field(repr=False)
    events: tuple[Event, ...] = field(repr=False)

    @property
    def task(self) -> TaskConfig:
        """The one task."""
        return self.config.tasks[0]

    @property
    def rounds(self) -> range:
        """The rounds whose data V and M have learned from: those of one attempt."""
        first = self.round - self.round % self.config.curriculum.rounds
        return range(first, self.round + 1)


Describe = Callable[[Bundle], str]
"""Writes what `card.md` says."""


def write(bundle: Bundle, directory: Path, describe: Describe) -> None:
    """Writes a bundle; the ledger comes last, so that a half-written one is refused by its hashes.

    Args:
        bundle: what to write.
        directory: created if need be; a bundle in it is replaced.
        describe: writes the card.

    Raises:
        ConfigError: it needs code that a bundle cannot carry, or `directory` holds something else.
        NoCheckpoint: its numbers are not finite.
        RunIOError: the disk refused.
    """
    _refuse_code(bundle.config, "this run")
    if directory.exists():
        there = [p.name for p in directory.iterdir()] if directory.is_dir() else [directory.name]
        foreign = sorted(name for name in there if name.lstrip(".").split(".tmp-")[0] not in NAMES)
        if foreign:
            raise ConfigError(
                f"{directory} holds {foreign[0]}, which is no part of a pretrained agent: give an "
                f"empty or a new directory"
            )
    arrays = bundle.learned
    _require_finite(arrays, "what the run learned")
    contents = {AGENT: pack(arrays), TASK: dump(bundle.config).encode()}
    head = {
        "t": max((e["t"] for e in bundle.events), default=0.0),
        "event": _HEAD,
        "format": FORMAT,
        "task": bundle.task.name,
        "mode": bundle.mode,
        "round": bundle.round,
        "files": {name: fingerprint(data) for name, data in contents.items()},
    }
    lines = (json.dumps(event, ensure_ascii=False) + "\n" for event in (head, *bundle.events))
    contents[CARD] = describe(bundle).encode()
    contents[LEDGER] = "".join(lines).encode(errors="backslashreplace")
    for name, data in contents.items():
        write_bytes(directory / name, data)


def load(directory: Path) -> Bundle:
    """Reads a bundle back.

    Raises:
        NoCheckpoint: a file is missing, damaged, of another format or not finite; a sentence says
            which.
        ConfigError: its configuration is none, or asks for code to be imported.
    """
    try:
        contents = {name: _bytes(directory / name) for name in NAMES}
        head, *events = _events(contents[LEDGER])
        _check_head(head, contents)
        arrays = unpack(contents[AGENT], AGENT)
        _require_whole(arrays)
        _require_finite(arrays, AGENT)
    except (_Unusable, Unverified) as e:
        raise NoCheckpoint(
            f"{directory} is no pretrained agent that can be used: {e}; take it anew from where it "
            f"came from, or write it again with `python -m curriculum export`"
        ) from e
    config = load_config(directory / TASK)
    if len(config.tasks) != 1 or config.curriculum.mode != head.get("mode"):
        raise ConfigError(f"{directory / TASK} is not the configuration of one task in one mode")
    _refuse_code(config, str(directory / TASK))
    return Bundle(
        config=config,
        mode=config.curriculum.mode,
        round=head["round"],
        learned=arrays,
        events=tuple(events),
    )


class _Unusable(NoCheckpoint):
    """A part of a bundle cannot be used; its text says which and why."""


def _require_whole(arrays: Mapping[str, np.ndarray]) -> None:
    for name in agent_state.foreign(arrays):
        raise _Unusable(f"{AGENT} holds an array {name!r} that belongs to neither V, M nor C")
    missing = agent_state.missing(arrays)
    if missing:
        raise _Unusable(f"{AGENT} holds nothing under {', '.join(missing)}")


def _require_finite(arrays: Mapping[str, np.ndarray], what: str) -> None:
    bad = sorted(n for n, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all())
    if bad:
        raise _Unusable(f"{what} holds numbers that are not finite, in {', '.join(bad[:3])}")


def _refuse_code(config: Config, what: str) -> None:
    """Whoever plays a bundle imports nothing that it names."""
    names = code_of(config)
    if names:
        raise ConfigError(
            f"{what} wants {names[0]} to be imported, and a pretrained agent runs no code: use an "
            f"environment that is registered without it, or hand on the run directory"
        )


def _check_head(head: Event, contents: Mapping[str, bytes]) -> None:
    if head.get("event") != _HEAD:
        raise _Unusable(f"{LEDGER} does not begin with what was exported")
    if head.get("format") != FORMAT:
        raise _Unusable(f"its format is {head.get('format')}, this program reads {FORMAT}")
    if head.get("mode") not in _MODES or type(head.get("round")) is not int:
        raise _Unusable(f"{LEDGER} does not say in which mode and round it was learned")
    files = head.get("files")
    for name in (AGENT, TASK):
        if not isinstance(files, dict) or files.get(name) != fingerprint(contents[name]):
            raise _Unusable(f"{name} is not what {LEDGER} says")


def _events(data: bytes) -> list[Event]:
    events = list(parse_events(data))
    bad = next((event for event in events if event["event"] == "unreadable_line"), None)
    if bad is not None:
        raise _Unusable(f"line {bad['line']} of {LEDGER} cannot be used: {bad['reason']}")
    if not events:
        raise _Unusable(f"{LEDGER} holds no events")
    return events


def _bytes(path: Path) -> bytes:
    try:
        return read_plain(path, _LIMIT)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise _Unusable(f"{path.name} is missing") from e
    except OSError as e:
        raise _Unusable(f"{path.name} cannot be read: {e.strerror}") from e
