"""The documentation: built without a warning, and what it names is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from curriculum.reference.keys import reference
from tests.cli.conftest import TINY, commands_in
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    keys = (tmp_path / "site" / "keys" / "index.html").read_text("utf-8")
    assert "replay.capacity" in keys
    words = (tmp_path / "site" / "python" / "index.html").read_text("utf-8")
    assert "curriculum.agent.load_agent" in words and "write_onnx" in words
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r'(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8"))
        # Links may lead elsewhere; nothing is fetched from there.
        fetched = [url for url in loaded if url.endswith((".js", ".css", ".woff2", ".png"))]
        assert not fetched, (page.name, fetched)


def test_the_tutorial_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium")
    cells = json.loads((DOCS / "tutorial.ipynb").read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 8
    # Nothing that only a notebook understands, and no outputs that grow stale.
    assert not [line for cell in code for line in cell.splitlines() if line.startswith(("%", "!"))]
    assert not [cell for cell in cells if cell.get("outputs")]
    script = "\n".join(f"print('--- cell {n}')\n{cell}" for n, cell in enumerate(code))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"--- cell {len(code) - 1}" in done.stdout and "cartpole" in done.stdout


def test_troubleshooting_names_keys_that_exist() -> None:
    text = (DOCS / "troubleshooting.md").read_text("utf-8")
    known = set(re.findall(r"^\| (?:`)?([a-z_]+(?:\.[a-z_]+)+)", reference(), re.MULTILINE))
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    named = {key for row in rows for key in re.findall(r"`([a-z_]+\.[a-z_]+)`", row[2])}
    assert len(named) > 30
    assert not named - known, sorted(named - known)


def test_things_lie_where_it_says(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    words = ("run", "tiny.yaml", "--tasks", "pong", "--run-dir", "runs/a", "--save-videos")
    done = commands_in(tmp_path)(*words)
    assert done.code == 3, done.err
    text = (DOCS / "where-things-lie.md").read_text("utf-8")
    named = [row.split("|")[2] for row in text.splitlines() if row.startswith("| `")]
    paths = [path for cell in named for path in re.findall(r"`([\w<>./*-]+)`", cell)]
    looked_for = [path for path in paths if "/" in path or "." in path]
    assert len(looked_for) > 10
    for path in looked_for:
        if "tensorboard" in path:
            continue
        pattern = path.replace("<task>", "pong").replace("<mode>", "SIMULATION")
        pattern = pattern.replace("REAL", "SIMULATION").replace("<newest>", "*").rstrip("/")
        assert list((tmp_path / "runs" / "a").glob(pattern)), path
