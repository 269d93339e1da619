"""A series on the disk: begun once, gone on with, given more seeds, and nothing else."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from curriculum.config.schema import Config
from curriculum.errors import ConfigError, RunIOError, RunLocked
from curriculum.lists import seeds
from curriculum.series.plan import Series
from curriculum.tasks import load_config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text("seed: 9\ncurriculum: {tasks: [pong]}\n", encoding="utf-8")
    return load_config(path)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("curriculum.series.plan.available_cores", lambda: 8)


def begin(path: Path, config: Config, numbers=(3, 1), jobs=2, options=()) -> Series:
    return Series.begin(path / "runs", config, numbers, jobs, options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0-4", (0, 1, 2, 3, 4)), ("7", (7,)), ("2, 0-1,2", (2, 0, 1)), ("5-5", (5,))],
)
def test_seeds_are_read_each_once_in_their_order(text: str, expected: tuple[int, ...]) -> None:
    assert seeds(text) == expected


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "0-1000", "1.5", "1,,2"])
def test_what_is_no_seeds_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no"):
        seeds(text)


def test_what_was_begun_is_opened_as_it_was(tmp_path: Path, config: Config) -> None:
    begun = begin(tmp_path, config, options=("--step-down",))
    assert begun == Series.open(tmp_path / "runs")
    assert begun.seeds == (3, 1) and begun.threads == 4
    assert begun.config() == replace(config, seed=3)
    words = begun.arguments(1, config, None)
    assert words[:2] == ["run", str(begun.path / "config.yaml")]
    assert words[words.index("--seed") + 1] == "1"
    assert words[words.index("--run-dir") + 1] == str(tmp_path / "runs" / "seed-1")
    assert "--step-down" in words and "--max-time" not in words
    assert "--max-time" in begun.arguments(1, config, 3.5)


def test_processes_share_the_cores_as_well_unless_the_user_says_how_many(
    tmp_path: Path, config: Config
) -> None:
    words = begin(tmp_path, config).arguments(1, config, None)
    assert "curriculum.workers=4" in words and "curriculum.env_workers=4" in words
    asked = replace(config, curriculum=replace(config.curriculum, workers=7))
    words = begin(tmp_path / "other", asked, range(8), 8).arguments(1, asked, None)
    assert "curriculum.env_workers=0" in words
    assert not any(word.startswith("curriculum.workers") for word in words)


@pytest.mark.parametrize(
    ("jobs", "count", "threads"), [(1, 2, 8), (3, 9, 2), (99, 99, 1), (9, 2, 4)]
)
def test_runs_at_the_same_time_share_the_cores(
    tmp_path: Path, config: Config, jobs: int, count: int, threads: int
) -> None:
    begun = begin(tmp_path, config, tuple(range(count)), jobs)
    assert begun.threads == threads
    # Other jobs later change no run's threads, and so not its last bits.
    assert begin(tmp_path, config, tuple(range(count)), 1).threads == threads


def test_the_users_own_limit_of_threads_counts(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert begin(tmp_path, config).threads == 3


def test_more_seeds_come_after_those_that_are_there(tmp_path: Path, config: Config) -> None:
    begin(tmp_path, config)
    assert begin(tmp_path, config, (0, 1, 2)).seeds == (3, 1, 0, 2)
    assert Series.open(tmp_path / "runs").seeds == (3, 1, 0, 2)


def test_what_would_give_other_results_is_refused(tmp_path: Path, config: Config) -> None:
    begin(tmp_path, config)
    task = config.tasks[0]
    other = replace(task, training=replace(task.training, total_steps=7))
    with pytest.raises(ConfigError, match=r"tasks\.pong\.training\.total_steps: \d+ -> 7"):
        begin(tmp_path, replace(config, tasks=(other,)))
    with pytest.raises(ConfigError, match="options"):
        begin(tmp_path, config, options=("--stage", "collect"))
    harmless = replace(config, curriculum=replace(config.curriculum, workers=1))
    assert begin(tmp_path, harmless).seeds == (3, 1)


@pytest.mark.parametrize("name", ["notes.txt", "run.json"])
def test_a_directory_with_something_else_is_refused(
    tmp_path: Path, config: Config, name: str
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / name).write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="directory"):
        begin(tmp_path, config)


def test_what_a_kill_left_of_the_beginning_is_in_nobodys_way(
    tmp_path: Path, config: Config
) -> None:
    begin(tmp_path, config)
    (tmp_path / "runs" / "series.json").unlink()
    assert begin(tmp_path, config).seeds == (3, 1)


@pytest.mark.parametrize(
    "facts",
    [[], {}, {"seeds": []}, {"seeds": [True]}, {"seeds": ["1"]}, {"threads": 0}, {"options": [1]}],
)
def test_a_file_that_is_no_series_is_told(tmp_path: Path, config: Config, facts) -> None:
    series = begin(tmp_path, config)
    file = series.path / "series.json"
    sound = json.loads(file.read_text(encoding="utf-8"))
    broken = {**sound, **facts} if isinstance(facts, dict) and facts else facts
    file.write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(RunIOError, match="no series"):
        Series.open(series.path)


def test_a_second_process_is_told_who_works_on_it(tmp_path: Path, config: Config) -> None:
    series = begin(tmp_path, config)
    lock = series.lock()
    lock.take()
    with pytest.raises(RunLocked, match="in use by process"):
        series.lock().take()
    lock.release()
    series.lock().take()
