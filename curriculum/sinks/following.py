"""From the ledger to a sink: every number of an event, and the pictures that it tells of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from curriculum.datasets.sequences import Latents
from curriculum.records.events import handlers, known
from curriculum.records.rundir import RunDir
from curriculum.show.words import finite, plain
from curriculum.sinks.sink import Moment, Sink

SHOWN_AT_ONCE = frozenset(known("check", "stage_done", "verdict", "run_stopped", "run_finished"))
"""Events after which people see what was taken."""
FLUSH_SECONDS = 10.0
"""Of the ledger's time, in which what was taken is seen too."""
SAMPLED = 20_000
"""Latents that a histogram is made of, at most."""
PICTURES = ("vision", "memory", "laps")

Event = Mapping[str, Any]
Scalars = list[tuple[str, Any, int]]
"""Name, value and step of every number in an event."""


class Follower:
    """Gives a sink what the ledger is told.

    A tracker that fails, because a network is away or a disk full, is left alone from then on.

    Args:
        name: of the sink.
        sink: takes it.
        rundir: of the run, whose pictures are shown too.
        say: is told if the sink fails.
    """

    def __init__(self, name: str, sink: Sink, rundir: RunDir, say: Callable[[str], None]) -> None:
        self._name, self._sink, self._rundir, self._say = name, sink, rundir, say
        self._lost = False
        self._flushed = 0.0

    def on_event(self, event: Event) -> None:
        """Takes an event as the ledger holds it."""
        self._trying(lambda: self._take(event))

    def close(self) -> None:
        """Takes no more."""
        self._trying(self._sink.close)

    def _trying(self, what: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            what()
        except Exception as e:  # noqa: BLE001  (a tracker may raise whatever it likes)
            self._lost = True
            self._say(f"{self._name} is lost, and the run goes on without: {type(e).__name__}: {e}")

    def _take(self, event: Event) -> None:
        by_step: dict[int, dict[str, float]] = {}
        for name, value, step in scalars_of(event):
            number = finite(value)
            if number is not None:
                by_step.setdefault(step, {})[name] = number
        for step, values in by_step.items():
            self._sink.scalars(values, Moment(step, float(event["t"])))
        if event["event"] == "stage_done":
            self._show_stage(event)
        elif event["event"] == "media":
            self._show_media(event)
        due = event["t"] - self._flushed >= FLUSH_SECONDS
        if event["event"] in SHOWN_AT_ONCE or (by_step and due):
            self._flushed = event["t"]
            self._sink.flush()

    def _show_stage(self, event: Event) -> None:
        """Shows what a stage left beside its commits."""
        place = (event["task"], event["mode"], event["round"], event["stage"])
        directory, moment = self._rundir.stage_dir(*place), _moment(event)
        for name in PICTURES:
            path = directory / f"{name}.png"
            if path.is_file():
                self._sink.image(f"{_where(event)}/{name}", path, moment)
        if event["stage"] == "encode" and (directory / "data").is_dir():
            mean = Latents.open(directory / "data").mean
            rows = np.linspace(0, len(mean) - 1, min(len(mean), SAMPLED)).astype(np.int64)
            spread = np.asarray(mean[np.unique(rows)], np.float32)
            self._sink.histogram(f"{_where(event)}/latents", spread.ravel(), moment)

    def _show_media(self, event: Event) -> None:
        for name in event["paths"]:
            path = self._rundir.path / name
            shown = {".gif": self._sink.film, ".png": self._sink.image}.get(path.suffix)
            if shown is not None and path.is_file():
                what = path.stem.rpartition("-")[2]
                shown(f"{_where(event)}/{what}", path, _moment(event))


def scalars_of(event: Event) -> Scalars:
    """Returns the numbers of an event."""
    read = _READ.get(event["event"])
    return [] if read is None else read(event)


def _of_metrics(event: Event) -> Scalars:
    return [(f"{_where(event)}/{k}", v, event["step"]) for k, v in event["values"].items()]


def _of_check(event: Event) -> Scalars:
    where, step = _where(event), event["generation"]
    spread = ("median", "lowest", "highest", "std", "distinct_games")
    told = [(f"{where}/check_{name}", event[name], step) for name in spread if name in event]
    return [(f"{where}/check", event["score"], step), *told]


def _of_stage(event: Event) -> Scalars:
    """What a stage came to, a point for each round: scores and their spread, held-out errors."""
    where, step = _where(event), _round(event)
    found = [(f"{where}/final/{k}", v, step) for k, v in event["metrics"].items()]
    for name, horizon in _horizons(event["facts"].get("open_loop", {})):
        error = event["facts"]["open_loop"][f"{name}_{horizon}"]
        found.append((f"{where}/open_loop/{name}", error, horizon))
    return [*found, (f"{where}/final/seconds", event["seconds"], step)]


def _horizons(open_loop: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Returns names and steps of M's errors without sight, `mean_15` and the like."""
    parts = [key.rpartition("_") for key in open_loop]
    return [(name, int(steps)) for name, _, steps in parts if name and steps.isdigit()]


def _of_verdict(event: Event) -> Scalars:
    steps = int(finite(event.get("env_steps")) or 0)
    return [(f"{_place(event)}/score", event.get("score"), steps)]


def _moment(event: Event) -> Moment:
    return Moment(_round(event), float(event["t"]))


def _round(event: Event) -> int:
    """Counted from 1, as people are told."""
    return int(event.get("round", 0)) + 1


def _place(event: Event) -> str:
    """The mode is part of every name."""
    return f"{plain(event.get('task'))}/{plain(event.get('mode'))}"


def _where(event: Event) -> str:
    return f"{_place(event)}/round-{event.get('round', 0):02d}/{plain(event.get('stage'))}"


_READ = handlers(
    {
        "metrics": _of_metrics,
        "check": _of_check,
        "stage_done": _of_stage,
        "verdict": _of_verdict,
    }
)
