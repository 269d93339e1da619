"""A wheel, installed into an empty environment, works away from any clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def done(words: Sequence[str | Path], where: Path, code: int = 0) -> str:
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    found = subprocess.run(
        list(map(str, words)), cwd=where, env=environment, capture_output=True, text=True
    )
    assert found.returncode == code, f"{words}: {found.stdout[-3000:]}{found.stderr[-3000:]}"
    return found.stdout + found.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds from a copy of what is committed or would be: build folders stay out of the clone."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "assets/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    done([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", out, source], out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installs it beside nothing but its requirements; returns where its commands are."""
    place = tmp_path_factory.mktemp("environment") / "leer"
    done([sys.executable, "-m", "venv", place], place.parent)
    pip = [place / "bin" / "python", "-m", "pip", "install", "-q"]
    done([*pip, "-c", ROOT / "constraints.txt", wheel], place.parent)
    return place / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "ein Ordner mit ü"
    place.mkdir()
    return place


def test_it_holds_what_is_needed_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    packages = {top for top in tops if not top.endswith(".dist-info")}
    assert packages == {"baselines", "curriculum", "diagnostics", "models"}
    assert {f"{package}/py.typed" for package in packages} <= names
    assert "curriculum/configurations/default.yaml" in names
    for task in ("pong", "lunarlander", "breakout", "carracing"):
        assert f"models/pretrained/{task}/agent.safetensors" in names
    modules = {
        str(p.relative_to(ROOT)) for package in packages for p in (ROOT / package).rglob("*.py")
    }
    assert modules <= names, f"not in the wheel: {sorted(modules - names)}"


def test_a_run_a_report_and_a_check_away_from_the_clone(installed: Path, folder: Path) -> None:
    wmc = installed / "wmc"
    assert "world-models-curriculum 0" in done([wmc, "--version"], folder)
    done([wmc, "init", "simulation", "--out", "mein.yaml"], folder)
    assert "is valid: 4 tasks" in done([wmc, "validate", "mein.yaml"], folder)
    (folder / "models").mkdir()
    (folder / "models" / "__init__.py").write_text("raise RuntimeError('of the user')")
    words = ["run", "mein.yaml", "--tasks", "lunarlander", "--preset", "quick", "--run-dir", "lauf"]
    run = subprocess.run([wmc, *words, "--quiet"], cwd=folder, capture_output=True, text=True)
    assert run.returncode in (0, 3), run.stderr[-3000:]
    assert "SIMULATION" in done([wmc, "report", "lauf"], folder)
    told = done([installed / "python", "-m", "curriculum", "report", "lauf", "--json"], folder)
    assert json.loads(told)["lauf"]["tasks"]
    checked = done([wmc, "diagnostics", "check", "--task", "pong"], folder, code=4)
    assert "SIMULATION" in checked and "constraints.txt" not in checked
    assert "constraints.txt" not in done([wmc, "diagnostics", "vet"], folder, code=0)
