"""Collected episodes: what is appended comes back, and resuming cuts back to the committed rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.datasets.columns import ColumnWriter, open_column
from curriculum.datasets.episodes import (
    FINAL,
    GOES_ON,
    TERMINATED,
    TRUNCATED,
    Dataset,
    EpisodeWriter,
)
from curriculum.errors import RunIOError

SHAPE = (2, 3, 1)
ACTIONS = 2


@dataclass(frozen=True)
class Played:
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    seed: int


def played(steps: int, seed: int, terminated: bool = True) -> Played:
    rng = np.random.default_rng(seed)
    return Played(
        rng.integers(256, size=(steps + 1, *SHAPE), dtype=np.uint8),
        rng.normal(size=(steps, ACTIONS)).astype(np.float32),
        rng.normal(size=steps).astype(np.float32),
        terminated,
        seed,
    )


def writer_at(directory: Path) -> EpisodeWriter:
    return EpisodeWriter(
        directory, observation_shape=SHAPE, observation_dtype="uint8", action_size=ACTIONS
    )


def append(writer: EpisodeWriter, *episodes: Played) -> None:
    for e in episodes:
        writer.append_episode(
            e.observations, e.actions, e.rewards, terminated=e.terminated, seed=e.seed
        )


def content(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(directory.iterdir())}


EPISODES = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=6).map(
    lambda many: [played(steps, seed, end) for seed, (steps, end) in enumerate(many)]
)


@settings(max_examples=15, deadline=None)
@given(episodes=EPISODES, split=st.integers(0, 6))
def test_what_is_appended_comes_back(tmp_path_factory, episodes: list[Played], split: int) -> None:
    """Also when the episodes are spread over two directories."""
    root = tmp_path_factory.mktemp("data")
    parts = [episodes[:split], episodes[split:]]
    for number, part in enumerate(parts):
        append(writer_at(root / str(number)), *part)
    data = Dataset([root / "0", root / "1"])
    assert data.num_episodes == len(episodes)
    assert data.num_steps == sum(len(e.rewards) for e in episodes)
    assert data.num_rows == data.num_steps + data.num_episodes
    np.testing.assert_array_equal(data.episodes["seed"], [e.seed for e in episodes])
    for entry, e in zip(data.episodes, episodes, strict=True):
        rows = np.arange(entry["start"], entry["start"] + entry["rows"])
        np.testing.assert_array_equal(data.observations(rows), e.observations)
        np.testing.assert_array_equal(data.actions(rows[:-1]), e.actions)
        np.testing.assert_array_equal(data.rewards(rows[:-1]), e.rewards)
        assert not data.actions(rows[-1:]).any()
        assert not data.rewards(rows[-1:]).any()
        last = TERMINATED if e.terminated else TRUNCATED
        assert data.ends(rows).tolist() == [GOES_ON] * (len(rows) - 2) + [last, FINAL]
        assert entry["score"] == e.rewards.sum(dtype=np.float64)


@settings(max_examples=15, deadline=None)
@given(episodes=EPISODES, split=st.integers(0, 6), length=st.integers(1, 12))
def test_rows_know_their_episode(tmp_path_factory, episodes, split: int, length: int) -> None:
    root = tmp_path_factory.mktemp("data")
    append(writer_at(root / "0"), *episodes[:split])
    append(writer_at(root / "1"), *episodes[split:])
    data = Dataset([root / "0", root / "1"])
    rows = np.arange(data.num_rows)
    number = np.repeat(np.arange(len(episodes)), [len(e.rewards) + 1 for e in episodes])
    np.testing.assert_array_equal(data.episode_of(rows), number)
    for row in rows:
        same = np.flatnonzero(number == number[row])
        assert data.first_rows(row) == same[0]
        assert data.final_rows(row) == same[-1]
        assert data.previous_rows(row) == max(same[0], row - 1)
    np.testing.assert_array_equal(data.step_rows, np.flatnonzero(data.ends(rows) != FINAL))
    starts = data.sequence_starts(length)
    ends = np.minimum(starts + length, data.final_rows(starts))
    covered = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)])
    np.testing.assert_array_equal(np.sort(covered), data.step_rows)


def test_rows_may_have_any_shape_but_must_exist(tmp_path: Path) -> None:
    append(writer_at(tmp_path / "a"), played(3, 0))
    append(writer_at(tmp_path / "b"), played(2, 1))
    for directories in ([tmp_path / "a"], [tmp_path / "a", tmp_path / "b"]):
        data = Dataset(directories)
        rows = np.array([[0, 1], [2, 3]])
        assert data.observations(rows).shape == (2, 2, *SHAPE)
        assert data.rewards(np.array(1)).shape == ()
        assert data.observations(np.zeros(0, int)).shape == (0, *SHAPE)
        for wrong in (-1, data.num_rows):
            with pytest.raises(IndexError, match="were asked for"):
                data.rewards(np.array([0, wrong]))


@settings(max_examples=15, deadline=None)
@given(
    kept=EPISODES,
    lost=EPISODES,
    torn=st.integers(0, 40),
    which=st.sampled_from(["observations", "actions", "rewards", "ends", "episodes"]),
)
def test_a_resumed_writer_goes_on_from_the_commit(
    tmp_path_factory, kept, lost, torn: int, which: str
) -> None:
    """Whatever lies beyond the committed lengths, the files end up as if it had never been."""
    root = tmp_path_factory.mktemp("data")
    writer = writer_at(root / "killed")
    append(writer, *kept)
    writer.sync()
    committed = writer.lengths()
    append(writer, *lost)
    with (root / "killed" / f"{which}.bin").open("ab") as file:
        file.write(b"\xff" * torn)
    resumed = writer_at(root / "killed")
    resumed.cut(committed)
    append(resumed, *lost[::-1])
    resumed.sync()

    append(writer_at(root / "whole"), *kept, *lost[::-1])
    assert content(root / "killed") == content(root / "whole")
    assert resumed.scores().tolist() == Dataset([root / "whole"]).episodes["score"].tolist()


def test_an_empty_commit_cuts_to_nothing(tmp_path: Path) -> None:
    writer = writer_at(tmp_path)
    append(writer, played(3, 0))
    writer.cut({})
    assert (writer.num_episodes, writer.num_steps) == (0, 0)
    assert Dataset([tmp_path]).num_rows == 0


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "ends"])
def test_an_episode_whose_rows_are_not_all_there_is_dropped(tmp_path: Path, name: str) -> None:
    append(writer_at(tmp_path), played(3, 0), played(4, 1))
    path = tmp_path / f"{name}.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunIOError):
        Dataset([tmp_path])
    writer = writer_at(tmp_path)
    assert (writer.num_episodes, writer.num_steps) == (1, 3)
    append(writer, played(2, 2))
    writer.sync()
    assert Dataset([tmp_path]).episodes["seed"].tolist() == [0, 2]


def test_committed_rows_that_are_gone_are_an_error(tmp_path: Path) -> None:
    writer = writer_at(tmp_path)
    append(writer, played(3, 0))
    committed = writer.lengths()
    path = tmp_path / "rewards.bin"
    path.write_bytes(path.read_bytes()[:4])
    with pytest.raises(RunIOError, match="rows are lost"):
        writer_at(tmp_path).cut(committed)


def test_a_failed_append_leaves_the_episodes_before(tmp_path: Path) -> None:
    writer = writer_at(tmp_path)
    append(writer, played(3, 0))
    before = writer.lengths()
    writer.rewards.path.rename(tmp_path / "away")
    with pytest.raises(RunIOError, match=r"rewards\.bin"):
        append(writer, played(5, 1))
    (tmp_path / "away").rename(writer.rewards.path)
    assert writer.lengths() == before
    append(writer, played(2, 2))
    writer.sync()
    data = Dataset([tmp_path])
    np.testing.assert_array_equal(data.observations(np.arange(4, 7)), played(2, 2).observations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": np.zeros((3, *SHAPE), np.uint8)}, "expected"),
        ({"actions": np.zeros((3, 5), np.float32)}, "expected"),
        ({"rewards": np.zeros(0, np.float32)}, "at least one step"),
        ({"rewards": np.array([0, np.nan, 0], np.float32)}, "rewards are not all finite"),
        ({"actions": np.full((3, ACTIONS), np.inf, np.float32)}, "actions are not all finite"),
        ({"observations": np.zeros((4, *SHAPE), np.float32)}, "expected uint8"),
    ],
)
def test_wrong_episodes_are_refused_and_leave_nothing(
    tmp_path: Path, change: dict, message: str
) -> None:
    writer = writer_at(tmp_path)
    good = played(3, 0)
    arguments = {
        "observations": good.observations,
        "actions": good.actions,
        "rewards": good.rewards,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        writer.append_episode(**arguments, terminated=True, seed=0)
    assert set(writer.lengths().values()) == {0}


def test_another_shape_cannot_be_appended(tmp_path: Path) -> None:
    append(writer_at(tmp_path), played(3, 0))
    with pytest.raises(RunIOError, match="use another run directory"):
        EpisodeWriter(
            tmp_path, observation_shape=(8,), observation_dtype="float32", action_size=ACTIONS
        )


def test_directories_of_other_shapes_do_not_mix(tmp_path: Path) -> None:
    append(writer_at(tmp_path / "a"), played(3, 0))
    other = EpisodeWriter(
        tmp_path / "b", observation_shape=(8,), observation_dtype="float32", action_size=ACTIONS
    )
    other.append_episode(
        np.zeros((2, 8)), np.zeros((1, ACTIONS)), np.zeros(1), terminated=False, seed=0
    )
    with pytest.raises(RunIOError, match="expected"):
        Dataset([tmp_path / "a", tmp_path / "b"])


def test_missing_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunIOError, match="there is no column"):
        Dataset([tmp_path / "nothing"])
    assert list(tmp_path.iterdir()) == []


def test_a_column_says_what_it_is(tmp_path: Path) -> None:
    column = ColumnWriter(tmp_path / "x.bin", "float32", (3,))
    column.append(np.ones((2, 3)))
    column.append(np.zeros((0, 3)))
    assert open_column(tmp_path / "x.bin").shape == (2, 3)
    with pytest.raises(ValueError, match="expected"):
        column.append(np.ones(3))
    with pytest.raises(RunIOError, match="are to be appended"):
        ColumnWriter(tmp_path / "x.bin", "float64", (3,))
    (tmp_path / "x.json").write_text('{"dtype": "zz"}')
    with pytest.raises(RunIOError, match="does not describe"):
        open_column(tmp_path / "x.bin")
