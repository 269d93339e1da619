"""Commits: what is saved comes back, damage is found, and no failure loses the commit before."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curriculum.errors import RunIOError
from curriculum.records.commit import CommitStore
from curriculum.records.files import Disk, read_json, write_json

DTYPES = st.sampled_from(["f2", "f4", "f8", ">f4", "i1", "i4", "i8", "u1", "u4", "u8", "?"])
ARRAYS = st.dictionaries(
    st.text("abcz/_.0", min_size=1, max_size=8),
    DTYPES.flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    ),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


class FailingDisk:
    """A disk that refuses its n-th call, before or half-way through doing it."""

    def __init__(self, fail_at: int, error: int = errno.ENOSPC) -> None:
        self.calls = 0
        self._disk = Disk()
        self._fail_at = fail_at
        self._error = error

    def make_directory(self, path: Path) -> None:
        self._count()
        self._disk.make_directory(path)

    def write(self, path: Path, data: bytes) -> None:
        if self.calls + 1 == self._fail_at:
            path.write_bytes(data[: len(data) // 2])
        self._count()
        self._disk.write(path, data)

    def replace(self, source: Path, target: Path) -> None:
        self._count()
        self._disk.replace(source, target)

    def sync_directory(self, path: Path) -> None:
        self._count()
        self._disk.sync_directory(path)

    def remove_tree(self, path: Path) -> None:
        if self.calls + 1 == self._fail_at:
            next(iter(sorted(path.iterdir()))).unlink()
        self._count()
        self._disk.remove_tree(path)

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._fail_at:
            raise OSError(self._error, "refused by the test")


def saved(store: CommitStore, number: int) -> int:
    return store.save({"x": np.full(4, number)}, {"n": number}, appended={"data.bin": number})


def test_there_is_no_commit_in_an_empty_place(tmp_path: Path) -> None:
    assert CommitStore(tmp_path / "stage").latest() is None
    assert not (tmp_path / "stage").exists()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    arrays=ARRAYS, meta=st.dictionaries(st.text(max_size=5), JSON, max_size=4), done=st.booleans()
)
def test_what_is_saved_comes_back(tmp_path_factory, arrays, meta, done: bool) -> None:
    store = CommitStore(tmp_path_factory.mktemp("store"))
    number = store.save(arrays, meta, complete=done, appended={"rows.bin": 12})
    commit = store.latest()
    assert commit is not None
    assert (commit.number, commit.complete, commit.appended) == (number, done, {"rows.bin": 12})
    assert commit.meta == meta
    assert commit.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert commit.arrays[name].shape == array.shape
        assert commit.arrays[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(commit.arrays[name], array)
        assert commit.arrays[name].flags.writeable


def test_views_and_transposed_arrays_come_back(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(4, 6)
    CommitStore(tmp_path).save({"t": array.T, "v": array[::2, ::-1]}, {})
    commit = CommitStore(tmp_path).latest()
    assert commit is not None
    np.testing.assert_array_equal(commit.arrays["t"], array.T)
    np.testing.assert_array_equal(commit.arrays["v"], array[::2, ::-1])


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([None]), np.array([1 + 2j])])
def test_only_numbers_are_saved(tmp_path: Path, value: np.ndarray) -> None:
    with pytest.raises(ValueError, match="array x is of type"):
        CommitStore(tmp_path).save({"x": value}, {})
    assert CommitStore(tmp_path).latest() is None


def test_only_the_newest_commits_are_kept(tmp_path: Path) -> None:
    store = CommitStore(tmp_path, keep=3)
    for number in range(1, 7):
        assert saved(store, number) == number
    assert sorted(p.name for p in store.directory.iterdir()) == ["000004", "000005", "000006"]


def test_one_commit_cannot_be_all_that_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        CommitStore(tmp_path, keep=1)


def test_leftovers_of_a_dead_writer_go(tmp_path: Path) -> None:
    store = CommitStore(tmp_path)
    saved(store, 1)
    (store.directory / "000002.tmp-1").mkdir()
    (store.directory / "000002.tmp-1" / "state.safetensors").write_bytes(b"half")
    assert saved(store, 2) == 2
    assert sorted(p.name for p in store.directory.iterdir()) == ["000001", "000002"]


def test_a_damaged_commit_does_not_push_out_a_whole_one(tmp_path: Path) -> None:
    store = CommitStore(tmp_path)
    saved(store, 1)
    saved(store, 2)
    (store.directory / "000002" / "meta.json").write_bytes(b"")
    saved(store, 3)
    (store.directory / "000003" / "manifest.json").unlink()
    assert [text[:13] for text in store.damage()] == ["commit 000002", "commit 000003"]
    commit = store.latest()
    assert commit is not None
    assert commit.number == 1


@pytest.mark.parametrize("name", ["state.safetensors", "meta.json", "manifest.json"])
def test_every_flipped_byte_is_found(tmp_path: Path, name: str) -> None:
    store = CommitStore(tmp_path)
    saved(store, 1)
    saved(store, 2)
    path = store.directory / "000002" / name
    whole = path.read_bytes()
    for place in range(len(whole)):
        for flip in (1, 0x20):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            reports: list[str] = []
            commit = store.latest(reports.append)
            assert commit is not None
            assert commit.number == 1, f"byte {place} of {name} was flipped unnoticed"
            assert "000002" in reports[0]
    path.write_bytes(whole)
    newest = store.latest()
    assert newest is not None
    assert newest.number == 2


@pytest.mark.parametrize("name", ["state.safetensors", "meta.json", "manifest.json"])
@pytest.mark.parametrize("keep", [None, 0, 5, -1])
def test_missing_and_shortened_files_are_found(tmp_path: Path, name: str, keep: int | None) -> None:
    store = CommitStore(tmp_path)
    saved(store, 1)
    path = store.directory / "000001" / name
    data = path.read_bytes()
    path.unlink()
    if keep is not None:
        path.write_bytes(data[:keep])
    reports: list[str] = []
    assert store.latest(reports.append) is None
    assert name in reports[0]
    assert saved(store, 2) == 2


def test_a_commit_under_another_number_is_refused(tmp_path: Path) -> None:
    store = CommitStore(tmp_path)
    saved(store, 1)
    (store.directory / "000001").rename(store.directory / "000009")
    assert store.latest() is None


def calls_of_one_save(path: Path) -> int:
    for number in range(1, 4):
        saved(CommitStore(path), number)
    disk = FailingDisk(fail_at=0)
    saved(CommitStore(path, files=disk), 4)
    return disk.calls


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_whichever_call_fails_the_commit_before_is_there(tmp_path: Path, error: int) -> None:
    total = calls_of_one_save(tmp_path / "counted")
    assert total >= 8
    for fail_at in range(1, total + 1):
        place = tmp_path / f"fail-{fail_at}"
        for number in range(1, 4):
            saved(CommitStore(place), number)
        with pytest.raises(RunIOError) as caught:
            saved(CommitStore(place, files=FailingDisk(fail_at, error)), 4)
        if error == errno.ENOSPC:
            assert "MiB there" in str(caught.value)
            assert "are free" in str(caught.value)
        commit = CommitStore(place).latest()
        assert commit is not None
        assert commit.meta["n"] in (3, 4)
        assert commit.arrays["x"][0] == commit.meta["n"]
        # And the next save goes through and cleans up.
        saved(CommitStore(place), 5)
        after = CommitStore(place).latest()
        assert after is not None
        assert after.meta["n"] == 5
        assert len(list((place / "commits").iterdir())) == 2


def test_json_files_are_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    assert read_json(path) is None
    write_json(path, {"score": np.float32(1.5), "n": np.arange(2), "where": Path("a"), "t": (1,)})
    assert read_json(path) == {"score": 1.5, "n": [0, 1], "where": "a", "t": [1]}
    with pytest.raises(TypeError, match="cannot write"):
        write_json(path, {"x": object()})
    assert read_json(path)["score"] == 1.5
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_broken_json_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"a": ')
    with pytest.raises(RunIOError, match="remove it"):
        read_json(tmp_path / "result.json")
