"""TensorBoard logs: what the ledger says is what the curves show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from curriculum.errors import ComponentMissing
from curriculum.show.tensorboard import TensorBoardWriter


def test_metrics_checks_and_scores_become_curves(
    tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    pytest.importorskip("tensorboard")
    writer = TensorBoardWriter(tmp_path)
    for event in events:
        writer.on_event(event)
    writer.close()
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    (path,) = tmp_path.iterdir()
    found = [
        (value.tag, entry.step, pytest.approx(value.simple_value), entry.wall_time)
        for entry in LegacyEventFileLoader(str(path)).Load()
        for value in entry.summary.value
    ]
    times = {e["event"]: e["t"] for e in events}
    assert ("pong/FULL/round-00/controller/sigma", 9, 0.4, times["metrics"]) in found
    assert ("pong/FULL/round-00/controller/check", 10, 12.3, times["check"]) in found
    assert ("pong/SIMULATION/score", 1_234_567, 5.0, times["verdict"] - 10) in found


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ComponentMissing, match="pip install tensorboard"):
        TensorBoardWriter(tmp_path)
