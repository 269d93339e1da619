"""A V, an M and a solver of one's own: chosen by name, in every process, tried by a command."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from curriculum.backends import own
from curriculum.errors import ConfigError
from diagnostics.__main__ import main as diagnostics
from tests.cli.conftest import ROOT, TINY, commands_in
from tests.own_parts import mine

OWN = (
    *("--set", "vae.kind=mine", "--set", "mdnrnn.kind=mine"),
    *("--set", "controller.solver_kind=mine", "--set", "curriculum.plugins=[mine]"),
)
AROUND = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "own_parts")])}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_is_made_of_ones_own_parts(workers: int, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    run = commands_in(tmp_path)
    words = ("run", "tiny.yaml", "--tasks", "pong", "--set", f"curriculum.workers={workers}")
    done = run(*words, *OWN, "--run-dir", "own", env=AROUND)
    assert done.code == 3, done.err
    for part in ("my V", "my M", "my solver"):
        assert f"made by {part}" in done.out
    played = run("play", "own", "--plugins", "mine", "--no-film", env=AROUND)
    assert played.code == 0, played.err


def test_a_name_of_nothing_is_told_with_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    words = ("run", "tiny.yaml", "--tasks", "pong", *OWN, "--set", "vae.kind=min")
    done = commands_in(tmp_path)(*words, "--run-dir", "own", env=AROUND)
    assert done.code != 0
    assert "vae.kind was 'min'" in done.err and "did you mean mine?" in done.err


def test_an_installed_package_offers_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        [
            EntryPoint("theirs", "tests.own_parts.mine:from_a_package", own.GROUPS["vision"]),
            EntryPoint("broken", "tests.own_parts.nowhere:make", own.GROUPS["vision"]),
        ]
    )
    monkeypatch.setattr(own, "entry_points", lambda group: points.select(group=group))
    assert own.find("vision", "theirs") is mine.from_a_package
    with pytest.raises(ConfigError, match="cannot be imported: ModuleNotFoundError"):
        own.find("vision", "broken")
    with pytest.raises(ConfigError, match=r"there are .*theirs"):
        own.find("vision", "other")


@pytest.mark.parametrize(
    ("kind", "name", "code", "told"),
    [
        ("vision", "mine", 0, "all checks passed"),
        ("memory", "mine", 0, "all checks passed"),
        ("solver", "mine", 0, "all checks passed"),
        ("vision", "forgetful", 1, "FAILED: and says the same from then on"),
        ("solver", "lazy", 1, "FAILED"),
    ],
)
def test_a_part_is_tried(
    kind: str, name: str, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diagnostics(["contract", kind, name, "--plugins", "tests.own_parts.mine"]) == code
    assert told in capsys.readouterr().out


def test_a_part_that_raises_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def raising(*args: Any) -> Any:
        raise RuntimeError("not today")

    own.register_memory("raising", raising)
    assert diagnostics(["contract", "memory", "raising"]) == 1
    assert "it raised" in capsys.readouterr().out
    assert diagnostics(["contract", "memory", "nobody"]) == 2
