"""Files that somebody else made: none of them is executed, none of them ends in a surprise."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import shutil
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as pack

from curriculum.records.commit import CommitStore
from tests.faults.conftest import Sandbox, newest
from tests.faults.test_commits import resealed


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def pickled(mark: Path) -> bytes:
    return pickle.dumps({"x": Payload(mark)})


def zipped(mark: Path) -> bytes:
    """What `torch.save` writes: a zip with a pickle in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(mark))
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def numpy_objects(mark: Path) -> bytes:
    """An npy file of objects, which numpy would unpickle."""
    file = io.BytesIO()
    np.save(file, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    return file.getvalue()


def header(text: str, length: int | None = None) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data) if length is None else length) + data


FORGERIES: dict[str, Callable[[Path], bytes]] = {
    "a pickle": pickled,
    "a .pt file (zip with a pickle)": zipped,
    "an npy file of objects": numpy_objects,
    "safetensors with a header of 2^63 bytes": lambda mark: header("{}", 1 << 63),
    "safetensors with a header of 90 MB": lambda mark: header("{}", 90_000_000),
    "safetensors with an array of 2^60 numbers": lambda mark: header(
        '{"x":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4]}}'
    ),
    "safetensors with a header nested 100,000 deep": lambda mark: header("[" * 100_000),
    "safetensors with an unknown dtype": lambda mark: header(
        '{"x":{"dtype":"OBJECT","shape":[],"data_offsets":[0,0]}}'
    ),
    "nothing at all": lambda mark: b"",
}


def forge(commit: Path, data: bytes) -> None:
    """Puts a file in the place of the arrays, with a manifest that vouches for it."""
    (commit / "state.safetensors").write_bytes(data)
    files = json.loads((commit / "manifest.json").read_bytes())["body"]["files"]
    print_of = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    resealed(commit, files=files | {"state.safetensors": print_of})


def test_the_payload_would_go_off(tmp_path: Path) -> None:
    pickle.loads(pickled(tmp_path / "mark"))  # noqa: S301 - the proof that the others prove something
    assert (tmp_path / "mark").exists()


@pytest.mark.faults(
    "{what} in the place of state.safetensors, with a manifest that vouches for it",
    expect="not executed, refused at once as no arrays; the commit before is read",
)
@pytest.mark.parametrize("what", FORGERIES)
def test_forged_arrays(killed: Sandbox, tmp_path: Path, what: str) -> None:
    stage = Path(shutil.copytree(killed.search, tmp_path / "stage"))
    forge(newest(stage), FORGERIES[what](tmp_path / "mark"))
    told: list[str] = []
    started = time.process_time()
    commit = CommitStore(stage, report=told.append).latest()
    assert time.process_time() - started < 5.0
    assert commit is not None and commit.number == 2
    assert "state.safetensors holds no arrays" in told[0]
    assert not (tmp_path / "mark").exists()


@pytest.mark.faults(
    "a finished run whose weights were replaced by a pickle is evaluated",
    expect="exit 5, one sentence, not executed",
)
def test_a_forged_run_is_not_played(whole: Sandbox, place: Sandbox) -> None:
    shutil.copytree(whole.run, place.run)
    for commit in place.search.glob("commits/*"):
        forge(commit, pickled(place.path / "mark"))
    done = place("evaluate", str(place.run), "--episodes", "1")
    assert done.code == 5, done.err
    assert "damaged" in done.err and "Traceback" not in done.err
    assert not (place.path / "mark").exists()


@pytest.mark.faults(
    "arrays of another network in a commit that verifies",
    expect="the stage fails with the names of the shapes, exit 3 as not_run, never a silent result",
)
def test_arrays_that_do_not_fit(half: Sandbox) -> None:
    for commit in half.search.glob("commits/*"):
        forge(commit, pack({"parameters": np.zeros(3, np.float32)}))
    done = half.resume()
    assert done.code == 3, done.err
    assert [e["stage"] for e in half.events("stage_failed")] == ["controller"] * 2
    assert half.events("verdict")[-1]["verdict"] == "not_run"


HOSTILE = "tiny<script>alert(1)</script>\x1b]0;owned\x07\x1b[2J|![x](javascript:1)\u202e"


@pytest.mark.faults(
    "a configuration's name holds HTML, Markdown and terminal commands",
    expect="refused (exit 2), or shown as text: no tag, no link and no escape reaches a reader",
)
def test_hostile_names(place: Sandbox) -> None:
    done = place(
        "run", "tiny.yaml", "--run-dir", str(place.run), "--set", f"name={json.dumps(HOSTILE)}"
    )
    assert done.code in (2, 3), done.err
    shown = [done.out, done.err]
    if done.code == 3:
        shown.append((place.run / "report.md").read_text(encoding="utf-8"))
        assert "<script>" not in shown[-1] and "![x](" not in shown[-1]
    for text in shown:
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


@pytest.mark.faults(
    "a ledger whose events hold HTML, Markdown and terminal commands",
    expect="`report` shows them as text",
)
def test_hostile_events(whole: Sandbox, place: Sandbox) -> None:
    shutil.copytree(whole.run, place.run)
    ledger = place.run / "events.jsonl"
    lines = ledger.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        event = json.loads(line)
        texts = {k: HOSTILE for k, v in event.items() if isinstance(v, str)}
        keep = {k: event[k] for k in ("event", "task", "mode", "stage", "verdict") if k in event}
        lines[number] = json.dumps(event | texts | keep)
    ledger.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = place("report", str(place.run))
    assert done.code == 0, done.err
    for text in (done.out, (place.run / "report.md").read_text(encoding="utf-8")):
        outside = re.sub(r"```sh.*?```", "", text, flags=re.DOTALL)
        assert "alert" in outside and "<script>" not in outside and "![x](" not in outside
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


BOMBS = {
    "aliases of aliases": "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    ),
    "100,000 brackets": "name: " + "[" * 100_000,
    "a Python object": 'name: !!python/object/apply:os.system ["touch mark"]',
}


@pytest.mark.faults(
    "the configuration is a bomb: {bomb}",
    expect="exit 2 within seconds, nothing executed or written",
)
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(place: Sandbox, bomb: str) -> None:
    (place.path / "tiny.yaml").write_text(BOMBS[bomb], encoding="utf-8")
    done = place.begin()
    assert done.code == 2, done.err
    assert "tiny.yaml" in done.err and "Traceback" not in done.err
    assert sorted(p.name for p in place.path.iterdir()) == ["tiny.yaml", "tmp"]
