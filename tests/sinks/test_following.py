"""A run and its trackers: they are told all of it, and a broken one is no fault of the run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.errors import ComponentMissing
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.sinks.following import Follower, scalars_of
from curriculum.sinks.opening import SINKS, chosen, followed
from curriculum.sinks.sink import Moment
from curriculum.tasks import load_config
from tests.cli.conftest import TINY, commands_in


class Noting:
    """A sink that notes what it is told."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[tuple[int, float]]] = {}
        self.shown: dict[str, Any] = {}
        self.flushes, self.closed = 0, False

    def scalars(self, values: dict[str, float], moment: Moment) -> None:
        for name, value in values.items():
            self.numbers.setdefault(name, []).append((moment.step, value))

    def histogram(self, name: str, values: np.ndarray, moment: Moment) -> None:
        self.shown[name] = values

    def image(self, name: str, path: Path, moment: Moment) -> None:
        self.shown[name] = path.read_bytes()[:4]

    film = image

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that kept films."""
    place = tmp_path_factory.mktemp("run")
    (place / "tiny.yaml").write_text(TINY, encoding="utf-8")
    words = ("run", "tiny.yaml", "--tasks", "pong", "--run-dir", "there", "--save-videos")
    done = commands_in(place)(*words)
    assert done.code == 3, done.err
    return place / "there"


def test_a_sink_is_told_curves_pictures_films_and_latents(run: Path) -> None:
    sink = Noting()
    with RunDir.open(run) as rundir:
        follower = Follower("noting", sink, rundir, pytest.fail)
        for event in Ledger(rundir.ledger_path).events():
            follower.on_event(event)
        follower.close()
    where = "pong/SIMULATION/round-00"
    for name in (
        "vision/final/reconstruction_mse",
        "vision/final/reconstruction_bce",
        "memory/final/held_out_nll",
        "memory/open_loop/mean",
        "controller/check",
        "controller/check_std",
        "evaluate/final/score",
        "evaluate/final/score_min",
        "evaluate/final/episode_steps",
    ):
        assert f"{where}/{name}" in sink.numbers, sorted(sink.numbers)
    assert len(sink.numbers[f"{where}/memory/open_loop/mean"]) > 1
    pictures = {name: kind for name, kind in sink.shown.items() if isinstance(kind, bytes)}
    assert pictures == {
        f"{where}/vision/vision": b"\x89PNG",
        f"{where}/memory/memory": b"\x89PNG",
        f"{where}/evaluate/agent": b"GIF8",
        f"{where}/evaluate/reconstruction": b"\x89PNG",
        f"{where}/evaluate/dream": b"\x89PNG",
    }
    latents = sink.shown[f"{where}/encode/latents"]
    assert latents.ndim == 1 and np.isfinite(latents).all() and latents.std() > 0.1
    assert sink.flushes > 5 and sink.closed


def test_a_sink_that_fails_is_left_alone_and_told_once(run: Path) -> None:
    class Broken(Noting):
        calls = 0

        def scalars(self, values: dict[str, float], moment: Moment) -> None:
            self.calls += 1
            raise ConnectionError("no network")

    sink, said = Broken(), []
    with RunDir.open(run) as rundir:
        follower = Follower("broken", sink, rundir, said.append)
        for event in Ledger(rundir.ledger_path).events():
            follower.on_event(event)
        follower.close()
    assert sink.calls == 1 and not sink.closed
    assert len(said) == 1 and "broken is lost" in said[0] and "no network" in said[0]


@pytest.mark.parametrize("name", SINKS)
def test_a_sink_that_is_not_installed_names_what_to_install(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(_written(tmp_path))
    rundir = RunDir.create(tmp_path / "run", "")
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    ledger = Ledger(rundir.ledger_path)
    with (
        pytest.raises(ComponentMissing, match="pip install .*" + SINKS[name][2].split()[0]),
        followed([name], config, rundir, ledger, lambda text: None),
    ):
        pytest.fail("it is not there")


def test_tensorboard_is_asked_for_in_two_ways(tmp_path: Path) -> None:
    path = _written(tmp_path)
    both = ["curriculum.tensorboard=true", "curriculum.sinks=[mlflow, tensorboard]"]
    assert chosen(load_config(path, both)) == ["tensorboard", "mlflow"]
    assert chosen(load_config(path)) == []


def test_numbers_that_are_none_are_left_out() -> None:
    place = {"t": 1.0, "task": "pong", "mode": "FULL", "round": 1, "stage": "memory"}
    facts = {"open_loop": {"mean_5": 0.5, "mean_50": 2.0, "odd": 1.0}}
    event = {**place, "event": "stage_done", "seconds": 2.0, "metrics": {"nll": 1.0}}
    found = scalars_of({**event, "facts": facts})
    assert ("pong/FULL/round-01/memory/final/nll", 1.0, 2) in found
    assert ("pong/FULL/round-01/memory/open_loop/mean", 2.0, 50) in found
    assert len(found) == 4
    assert scalars_of({"event": "a later version's"}) == []


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_trackers_are_told_offline(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    done = commands_in(tmp_path)(
        *("run", "tiny.yaml", "--tasks", "lunarlander", "--run-dir", "there"),
        *("--set", f"curriculum.sinks=[{name}]"),
        env={
            "WANDB_MODE": "offline",
            "TRACKIO_DIR": str(tmp_path / "trackio"),
            "HOME": str(tmp_path),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
    )
    assert done.code == 3, done.err
    assert "is lost" not in done.err, done.err
    check = {
        "wandb": lambda: list((tmp_path / "there").rglob("*.wandb")),
        "mlflow": lambda: (tmp_path / "there" / "mlflow.db").stat().st_size > 10_000,
        "trackio": lambda: list((tmp_path / "trackio").glob("*.db")),
    }[name]
    assert check(), [str(path) for path in tmp_path.rglob("*")]


def _written(directory: Path) -> Path:
    path = directory / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path
