"""TensorBoard logs: the ledger's numbers as curves, for those who have the extra installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum.errors import ComponentMissing
from curriculum.records.events import handlers, known
from curriculum.show.words import finite, plain

ENDINGS = frozenset(known("stage_done", "verdict", "run_stopped", "run_finished"))
"""Events after which the curves are on the disk."""


class TensorBoardWriter:
    """Writes metrics, checks and scores as scalars.

    Args:
        directory: created if missing; a resumed run adds another file to it.

    Raises:
        ComponentMissing: tensorboard is not installed.
    """

    def __init__(self, directory: Path) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except (Exception, SystemExit) as e:
            raise ComponentMissing(
                "curriculum.tensorboard is true, but tensorboard cannot be imported "
                f"({type(e).__name__}: {e}): "
                "install it with `pip install tensorboard`, or set curriculum.tensorboard=false"
            ) from e
        # Protocol buffers make their classes as they load, where no type checker sees them.
        self._event: Any = vars(event_pb2)["Event"]
        self._summary: Any = vars(summary_pb2)["Summary"]
        self._writer = EventFileWriter(str(directory))

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Writes the numbers of one event of the ledger, if it has any."""
        for name, value, step in _scalars(event):
            number = finite(value)
            if number is not None:
                scalar = self._summary.Value(tag=name, simple_value=number)
                self._writer.add_event(
                    self._event(
                        wall_time=float(event["t"]),
                        step=step,
                        summary=self._summary(value=[scalar]),
                    )
                )
        if event["event"] in ENDINGS:
            self._writer.flush()

    def close(self) -> None:
        """Writes what is left; events after this raise."""
        self._writer.close()


Scalars = list[tuple[str, Any, int]]
"""Name, value and step of every number in an event."""


def _scalars(event: Mapping[str, Any]) -> Scalars:
    read = _READ.get(event["event"])
    return [] if read is None else read(event)


def _of_metrics(event: Mapping[str, Any]) -> Scalars:
    return [(f"{_where(event)}/{k}", v, event["step"]) for k, v in event["values"].items()]


def _of_check(event: Mapping[str, Any]) -> Scalars:
    return [(f"{_where(event)}/check", event["score"], event["generation"])]


def _of_verdict(event: Mapping[str, Any]) -> Scalars:
    steps = int(finite(event.get("env_steps")) or 0)
    return [(f"{_place(event)}/score", event.get("score"), steps)]


def _place(event: Mapping[str, Any]) -> str:
    """The mode is part of every name."""
    return f"{plain(event.get('task'))}/{plain(event.get('mode'))}"


def _where(event: Mapping[str, Any]) -> str:
    return f"{_place(event)}/round-{event.get('round', 0):02d}/{plain(event.get('stage'))}"


_READ = handlers({"metrics": _of_metrics, "check": _of_check, "verdict": _of_verdict})
