"""What a disk does to a run: it ends with exit 7 and a way out, and goes on once it is mended."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from curriculum.errors import RunIOError
from curriculum.records.commit import CommitStore
from curriculum.records.files import RESERVE_BYTES
from tests.faults.conftest import Done, Sandbox, newest


def goes_on(place: Sandbox, whole: Sandbox) -> None:
    """Resumes a run and asserts that nothing was lost of it and nothing is left over."""
    done = place.resume()
    assert done.code == 3, done.err
    assert place.learned() == whole.learned()
    assert place.leftovers() == []
    assert CommitStore(place.search).damage() == []


@pytest.mark.faults(
    "{mischief} during the search's first commit",
    expect="exit 7, the sentence says '{said}', nothing left over, resume = uninterrupted",
)
@pytest.mark.parametrize(
    ("mischief", "said"),
    [
        ("refuse_write=ENOSPC,20", "No space left on device: it needs"),
        ("refuse_write=EDQUOT,20", "Disk quota exceeded: it needs"),
        ("refuse_write=EIO,20", "look at the disk, then resume"),
        ("refuse_sync=60", "look at the disk, then resume"),
        ("refuse_directory", "Read-only file system: it needs a directory"),
        ("little_room=100", "there, 0.0 MiB are free; free space, then resume"),
    ],
)
def test_a_refusing_disk(place: Sandbox, whole: Sandbox, mischief: str, said: str) -> None:
    done = place.begin(mischief=mischief)
    assert done.code == 7, done.err
    assert said in done.err and "Traceback" not in done.err
    assert place.leftovers() == []
    goes_on(place, whole)


@pytest.mark.faults(
    "RLIMIT_NOFILE: no file can be opened any more",
    expect="exit 7, says which limit to raise, resume = uninterrupted",
)
def test_a_limit_of_open_files(place: Sandbox, whole: Sandbox) -> None:
    done = place.begin(mischief="no_more_files")
    assert done.code == 7, done.err
    assert "Too many open files: raise the limit of open files" in done.err
    goes_on(place, whole)


@pytest.mark.faults(
    "RLIMIT_FSIZE: files may grow to {size} bytes only",
    expect="exit 7, every line of the ledger is whole, resume = uninterrupted",
)
@pytest.mark.parametrize("size", [4500, 6000])
def test_a_limit_of_file_sizes(place: Sandbox, whole: Sandbox, size: int) -> None:
    done = place.begin(mischief=f"small_files={size}")
    assert done.code == 7, done.err
    assert "ulimit -f" in done.err or "took only a part" in done.err
    assert place.events("run_started")
    goes_on(place, whole)


@pytest.mark.faults(
    "a real disk (tmpfs, 1 MiB) that is too small from the start",
    expect="exit 7 with the numbers, nothing written",
)
def test_a_real_disk_that_is_too_small(place: Sandbox) -> None:
    done = on_a_mount(place, "-t tmpfs -o size=1m tmpfs runs")
    assert done.code == 7, done.err
    assert "MiB are free" in done.err
    assert done.out.split() == ["runs"]


@pytest.mark.faults(
    "a real disk (tmpfs, 64 MiB) is filled to the last byte while the run goes on",
    expect="exit 7, says what the commit needs and what is free, no half commit is left",
)
def test_a_real_disk_that_fills_up(place: Sandbox) -> None:
    done = on_a_mount(place, "-t tmpfs -o size=64m tmpfs runs", mischief="fill_disk")
    assert done.code == 7, done.err
    assert "No space left on device" in done.err and "Traceback" not in done.err
    assert "runs/filler" in done.out and "tmp-" not in done.out


@pytest.mark.faults(
    "the run directory lies on a real disk that is mounted read-only",
    expect="exit 7, naming the directory and what it needs",
)
def test_a_real_disk_that_is_read_only(place: Sandbox) -> None:
    done = on_a_mount(place, "-t tmpfs -o ro,size=64m tmpfs runs")
    assert done.code == 7, done.err
    assert "Read-only file system: it needs a directory" in done.err
    assert str(Path("runs/tiny")) in done.err


def on_a_mount(place: Sandbox, mount: str, mischief: str = "") -> Done:
    """Runs with `runs` on a mount of its own, in a namespace of its own, and lists what is left."""
    (place.path / "runs").mkdir()
    command = ["unshare", "-rm", "mount", *mount.split()]
    if subprocess.run(command, cwd=place.path, check=False).returncode:
        pytest.skip("this system lets nobody mount in a namespace")
    script = f'mount {mount} && "$@" >/dev/null; code=$?; find runs; exit $code'
    wrapper = ("unshare", "-rm", "sh", "-c", script, "sh")
    return place("run", "tiny.yaml", wrapper=wrapper, mischief=mischief)


@pytest.mark.faults("the run directory is a path below a file", expect="exit 2, nothing written")
def test_a_directory_below_a_file(place: Sandbox) -> None:
    done = place("run", "tiny.yaml", "--run-dir", "tiny.yaml/below")
    assert done.code == 2, done.err
    assert "tiny.yaml is a file: give a directory" in done.err
    assert sorted(p.name for p in place.path.iterdir()) == ["tiny.yaml", "tmp"]


@pytest.mark.faults(
    "the run directory is deleted while the run goes on",
    expect="exit 7, says that it is gone, is not taken for a run",
)
def test_a_directory_that_is_deleted(place: Sandbox) -> None:
    done = place.begin(mischief="remove_run")
    assert done.code == 7, done.err
    assert "was moved or removed while it was in use" in done.err
    assert not (place.run / "run.json").exists()


@pytest.mark.faults(
    "a commit needs more than is free", expect="refused before a byte is written, with both numbers"
)
def test_room_is_looked_for_before_a_commit(killed: Sandbox, tmp_path: Path, monkeypatch) -> None:
    stage = Path(shutil.copytree(killed.search, tmp_path / "stage"))
    before = sorted(p.name for p in (stage / "commits").iterdir())
    store, commit = CommitStore(stage), CommitStore(stage).latest()
    assert commit is not None
    usage = shutil.disk_usage("/")._replace(free=RESERVE_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(RunIOError, match=r"it needs 4\.\d MiB there, 4\.0 MiB are free"):
        store.save(commit.arrays, commit.meta)
    assert sorted(p.name for p in (stage / "commits").iterdir()) == before
    monkeypatch.undo()
    store.save(commit.arrays, commit.meta)
    assert newest(stage).name == "000004"
