"""TensorBoard: what the ledger says is what curves, histograms and pictures show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.films.reels import Gif
from curriculum.insight.drawing import write_png
from curriculum.records.rundir import RunDir
from curriculum.sinks.following import Follower
from curriculum.sinks.sink import Moment, Told

pytest.importorskip("tensorboard")


def written(directory: Path) -> list[tuple[Any, Any]]:
    """Returns entries of all event files with each of their values."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    return [
        (entry, value)
        for path in sorted(directory.iterdir())
        for entry in LegacyEventFileLoader(str(path)).Load()
        for value in entry.summary.value
    ]


def opened(tmp_path: Path) -> tuple[Any, RunDir]:
    from curriculum.sinks.tensorboard import TensorBoardSink

    rundir = RunDir.create(tmp_path / "run", "")
    return TensorBoardSink(Told("a run", "id", rundir.path, {})), rundir


def test_metrics_checks_and_scores_become_curves(
    tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    sink, rundir = opened(tmp_path)
    follower = Follower("tensorboard", sink, rundir, pytest.fail)
    for event in events:
        follower.on_event(event)
    follower.close()
    found = [
        (value.tag, entry.step, pytest.approx(value.simple_value), entry.wall_time)
        for entry, value in written(rundir.path / "tensorboard")
    ]
    times = {e["event"]: e["t"] for e in events}
    assert ("pong/FULL/round-00/controller/sigma", 9, 0.4, times["metrics"]) in found
    assert ("pong/FULL/round-00/controller/check", 10, 12.3, times["check"]) in found
    assert ("pong/SIMULATION/score", 1_234_567, 5.0, times["verdict"] - 10) in found


def test_histograms_pictures_and_films_are_what_they_were(tmp_path: Path) -> None:
    sink, rundir = opened(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_png(tmp_path / "a.png", picture)
    with Gif(tmp_path / "a.gif", 0.05) as reel:
        reel.take(picture)
        reel.take(picture[::-1])
    sample = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    moment = Moment(3, 1e9)
    sink.histogram("latents", sample, moment)
    sink.image("vision", tmp_path / "a.png", moment)
    sink.film("agent", tmp_path / "a.gif", moment)
    sink.close()
    found = {value.tag: (entry, value) for entry, value in written(rundir.path / "tensorboard")}
    assert {entry.step for entry, _ in found.values()} == {3}
    histogram = found["latents"][1].histo
    assert histogram.num == sum(histogram.bucket) == 1000
    assert histogram.max == pytest.approx(sample.max()) == histogram.bucket_limit[-1]
    for name, suffix in (("vision", "png"), ("agent", "gif")):
        image = found[name][1].image
        assert (image.height, image.width) == (20, 30)
        assert image.encoded_image_string == (tmp_path / f"a.{suffix}").read_bytes()
