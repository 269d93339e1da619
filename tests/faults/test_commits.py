"""What can become of a commit: death while it is written, damage, and commits from elsewhere."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.errors import RunIOError
from curriculum.records.commit import CommitStore
from curriculum.records.files import Disk, write_bytes
from tests.faults.conftest import Sandbox, newest

FILES = ("state.safetensors", "meta.json", "manifest.json")


class MortalDisk:
    """A disk whose n-th call kills this process: before it is done, half-way, or after."""

    def __init__(self, call: int, when: str) -> None:
        self._left = call
        self._when = when
        self._disk = Disk()

    def make_directory(self, path: Path) -> None:
        self._do(lambda: self._disk.make_directory(path), lambda: None)

    def write(self, path: Path, data: bytes) -> None:
        half = data[: len(data) // 2]
        self._do(lambda: self._disk.write(path, data), lambda: path.write_bytes(half))

    def replace(self, source: Path, target: Path) -> None:
        self._do(lambda: self._disk.replace(source, target), lambda: None)

    def sync_directory(self, path: Path) -> None:
        self._do(lambda: self._disk.sync_directory(path), lambda: None)

    def remove_tree(self, path: Path) -> None:
        first = sorted(path.iterdir())[0]
        self._do(lambda: self._disk.remove_tree(path), first.unlink)

    def _do(self, whole: Callable[[], Any], half: Callable[[], Any]) -> None:
        self._left -= 1
        if self._left == 0:
            {"before": lambda: None, "halfway": half, "after": whole}[self._when]()
            os.kill(os.getpid(), signal.SIGKILL)
        whole()


def save(store: CommitStore, number: int) -> None:
    store.save({"x": np.full(1000, number)}, {"n": number})


def dies_in_a_save(place: Path, disk: MortalDisk) -> bool:
    """Saves commit 4 in a child process and tells whether that was killed."""
    child = os.fork()
    if child == 0:
        try:
            save(CommitStore(place, files=disk), 4)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.faults(
    "SIGKILL {when} each of the calls to the disk that a commit makes",
    expect="the commit before it or itself verifies, the next save leaves nothing over",
)
@pytest.mark.parametrize("when", ["before", "halfway", "after"])
def test_death_within_a_commit(tmp_path: Path, when: str) -> None:
    survived: list[int] = []
    for call in range(1, 30):
        place = tmp_path / str(call)
        for number in (1, 2, 3):
            save(CommitStore(place), number)
        if not dies_in_a_save(place, MortalDisk(call, when)):
            break
        store = CommitStore(place)
        commit = store.latest()
        assert commit is not None
        assert commit.arrays["x"].tolist() == [commit.meta["n"]] * 1000
        survived.append(commit.meta["n"])
        save(store, 5)
        assert store.damage() == []
        assert len(list(store.directory.iterdir())) == 2
    assert survived == sorted(survived) and set(survived) == {3, 4}
    assert len(survived) == 9


@pytest.mark.faults(
    "SIGKILL of a run ahead of call {call} of its search's commit, then resume",
    expect="resume ends with the weights and scores of the uninterrupted run, nothing left over",
)
@pytest.mark.parametrize("call", [2, 4, 6, 7])
def test_death_of_a_run_within_a_commit(place: Sandbox, whole: Sandbox, call: int) -> None:
    assert place.begin(mischief=f"kill_in_save={call}").code == -signal.SIGKILL
    assert place.resume().code == 3
    assert place.learned() == whole.learned()
    assert place.leftovers() == []


@pytest.mark.faults(
    "SIGKILL of a run, SIGKILL of its resume, then resume",
    expect="resume ends with the weights and scores of the uninterrupted run, nothing left over",
)
def test_death_of_a_resume(half: Sandbox, whole: Sandbox) -> None:
    again = half.resume(mischief="commit_always;kill_at_save=2")
    assert again.code == -signal.SIGKILL
    assert half.resume().code == 3
    assert half.learned() == whole.learned()
    assert half.leftovers() == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in (0, len(data) // 2, -1):
        data[place] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def sparse(path: Path) -> None:
    """Makes a file that would not fit into any memory."""
    os.truncate(path, 1 << 42)


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    "flipped bytes": flip,
    "cut in half": truncate,
    "zeroed": zero,
    "deleted": Path.unlink,
    "one byte longer": lengthen,
    "4 TiB of nothing": sparse,
    "replaced by a pipe": to_pipe,
    "replaced by a directory": to_directory,
}


@pytest.mark.faults(
    "a commit's file is damaged: {damage} ({name})",
    expect="the commit is passed over by name, the one before it is read",
)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage(killed: Sandbox, tmp_path: Path, damage: str, name: str) -> None:
    stage = Path(shutil.copytree(killed.search, tmp_path / "stage"))
    try:
        DAMAGES[damage](newest(stage) / name)
    except OSError as e:
        pytest.skip(f"this disk cannot hold the damage: {e}")
    told: list[str] = []
    commit = CommitStore(stage, report=told.append).latest()
    assert commit is not None and commit.number == 2
    assert len(told) == 1 and "commit 000003" in told[0] and name in told[0]
    assert len(CommitStore(stage).damage()) == 1


@pytest.mark.faults(
    "the newest commit of a run is damaged: {name}",
    expect="resume falls back to the one before, says so, and ends as the uninterrupted run",
)
@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
def test_a_run_with_one_damaged_commit(half: Sandbox, whole: Sandbox, name: str) -> None:
    flip(newest(half.search) / name)
    done = half.resume()
    assert done.code == 3, done.err
    assert half.learned() == whole.learned()
    (told,) = half.events("commit_rejected")
    assert told["stage"] == "controller" and "commit 000003" in told["reason"]
    assert "commit rejected: 1 times" in (half.run / "report.md").read_text(encoding="utf-8")


@pytest.mark.faults(
    "all commits of a stage that was under way are damaged",
    expect="the stage is done anew, the ledger says why, and ends as the uninterrupted run",
)
def test_a_run_whose_commits_are_all_damaged(half: Sandbox, whole: Sandbox) -> None:
    for commit in (half.search / "commits").iterdir():
        zero(commit / "state.safetensors")
    assert half.resume().code == 3
    assert half.learned() == whole.learned()
    assert len(half.events("commit_rejected")) == 2


@pytest.mark.faults(
    "all commits of a finished stage that others build upon are damaged",
    expect="exit 5, naming the stage's directory and what to do; done so, the run ends as ever",
)
def test_a_finished_stage_whose_commits_are_damaged(half: Sandbox, whole: Sandbox) -> None:
    vision = half.search.with_name("vision")
    for commit in (vision / "commits").iterdir():
        truncate(commit / "state.safetensors")
    done = half.resume()
    assert done.code == 5, done.err
    assert f"remove {vision}" in done.err
    assert {e["stage"] for e in half.events("commit_rejected")} == {"vision"}
    shutil.rmtree(vision)
    assert half.resume().code == 3
    assert half.learned() == whole.learned()


def resealed(commit: Path, **changes: Any) -> None:
    """Changes a manifest and makes its own hash fit again, as somebody with intent would."""
    body = json.loads((commit / "manifest.json").read_bytes())["body"] | changes
    compact = {"sort_keys": True, "separators": (",", ":")}
    digest = hashlib.sha256(json.dumps(body, **compact).encode()).hexdigest()
    text = json.dumps({"body": body, "sha256": digest}, **compact)
    (commit / "manifest.json").write_text(text, encoding="utf-8")


@pytest.mark.faults(
    "a manifest whose hash fits says {changes}", expect="passed over, the reason names the fault"
)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": 99}, "its format is 99, this program reads 1"),
        ({"schema": None}, "its format is None"),
        ({"number": 7}, "was written as number 7"),
        ({"files": {}}, "does not list state.safetensors"),
        ({"files": {"state.safetensors": 5}}, "does not list state.safetensors"),
        ({"appended": None}, "`appended` is None, expected an object"),
    ],
)
def test_a_manifest_from_elsewhere(
    killed: Sandbox, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    stage = Path(shutil.copytree(killed.search, tmp_path / "stage"))
    resealed(newest(stage), **changes)
    told: list[str] = []
    commit = CommitStore(stage, report=told.append).latest()
    assert commit is not None and commit.number == 2
    assert reason in told[0]


@pytest.mark.faults(
    "a commit of another run, or of another stage, is copied into a stage",
    expect="passed over, naming whose it is; also when its number is the newest",
)
def test_a_commit_of_another_run(tmp_path: Path) -> None:
    ours = CommitStore(tmp_path / "ours", identity="a1/vision")
    for number in (1, 2):
        save(ours, number)
    for theirs in ("b2/vision", "a1/memory", ""):
        other = CommitStore(tmp_path / f"other-{len(theirs)}-{theirs[:1]}", identity=theirs)
        for number in (1, 2, 3):
            save(other, 10 * number)
        shutil.copytree(other.directory / "000003", ours.directory / "000003")
        told: list[str] = []
        commit = ours.latest(told.append)
        assert commit is not None and commit.meta["n"] == 2
        assert f"was written by {theirs or 'nobody known'}, not here" in told[0]
        shutil.rmtree(ours.directory / "000003")
    save(ours, 3)
    assert CommitStore(tmp_path / "ours").latest() is not None


@pytest.mark.faults(
    "the newest commit of another run's search is put into this one's",
    expect="passed over, the ledger says whose it is; the run ends as the uninterrupted one",
)
def test_a_run_given_a_foreign_commit(half: Sandbox, whole: Sandbox) -> None:
    foreign = newest(whole.search)
    shutil.copytree(foreign, half.search / "commits" / foreign.name)
    assert half.resume().code == 3
    (told,) = half.events("commit_rejected")
    assert foreign.name in told["reason"] and "was written by" in told["reason"]
    scores, _ = half.learned()
    assert scores == whole.learned()[0]


@pytest.mark.faults(
    "rows that a commit counts on are missing from the collected data ({name})",
    expect="exit 7, naming the file and the stage to do again",
)
@pytest.mark.parametrize("name", ["observations.bin", "episodes.bin"])
def test_lost_rows(half: Sandbox, name: str) -> None:
    for stage in ("collect", "encode", "vision", "memory", "controller"):
        (half.search.with_name(stage) / "result.json").unlink(missing_ok=True)
    collected = half.search.with_name("collect")
    truncate(collected / "data" / name)
    done = half.resume()
    assert done.code == 7, done.err
    assert str(collected) in done.err and "rows are lost" in done.err


@pytest.mark.faults(
    "rows lie beyond what was committed: the process died while it appended",
    expect="cut off; the run ends as the uninterrupted one",
)
def test_rows_beyond_the_commit(half: Sandbox, whole: Sandbox) -> None:
    for stage in ("encode", "vision", "memory", "controller"):
        shutil.rmtree(half.search.with_name(stage))
    collected = half.search.with_name("collect")
    (collected / "result.json").unlink()
    for path in (collected / "data").glob("*.bin"):
        path.write_bytes(path.read_bytes() + b"\x01" * 96)
    assert half.resume().code == 3
    assert half.learned() == whole.learned()


@pytest.mark.faults("run.json is {what}", expect="exit {code}, one sentence, nothing changed")
@pytest.mark.parametrize(
    ("what", "text", "code"),
    [
        ("from the future", '{"schema": 99}', 2),
        ("cut in half", '{"sche', 7),
        ("no mapping", "[]", 2),
    ],
)
def test_a_damaged_run_json(half: Sandbox, what: str, text: str, code: int) -> None:
    (half.run / "run.json").write_text(text, encoding="utf-8")
    before = sorted(half.run.rglob("*"))
    done = half.resume()
    assert done.code == code, done.err
    assert "run.json" in done.err and "Traceback" not in done.err
    assert sorted(half.run.rglob("*")) == before


@pytest.mark.faults(
    "a refused write of result.json (ENOSPC half-way)",
    expect="the error names it, the old file is there, nothing left over",
)
def test_a_refused_file_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "no room")

    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, refuse)
        with pytest.raises(RunIOError, match=r"cannot write result\.json"):
            write_bytes(path, b"new and longer")
        monkeypatch.undo()
        assert path.read_bytes() == b"old"
        assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
