"""A new run from an old one: what the changed configuration leaves alone is taken over."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from curriculum.config.loading import dump, load_config
from curriculum.config.schema import Config, TaskConfig, VAEConfig
from curriculum.errors import ConfigError
from curriculum.progress import STAGES
from curriculum.records.commit import CommitStore
from curriculum.records.files import write_json
from curriculum.records.rundir import RunDir
from curriculum.runs.fork import FIRST_USE, LATER_USE, fork, unchanged
from curriculum.tasks import BUILTIN
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.vae import VAESettings


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text("tasks: {pong: {}, breakout: {}}\n")
    return load_config(path, builtin=BUILTIN)


def changed(config: Config, **sections) -> Config:
    """The same configuration with changed sections of its first task."""
    task = config.tasks[0]
    new = {name: replace(getattr(task, name), **facts) for name, facts in sections.items()}
    return replace(config, tasks=(replace(task, **new), *config.tasks[1:]))


@pytest.fixture
def old(tmp_path: Path, config: Config) -> RunDir:
    """A run whose first task is done in FULL up to memory."""
    run = RunDir.create(tmp_path / "old", dump(config))
    for number, (mode, stage) in enumerate(
        [("REAL", "collect"), ("FULL", "vision"), ("FULL", "encode"), ("FULL", "memory")]
    ):
        directory = run.stage_dir("pong", mode, 0, stage)
        store = CommitStore(directory, identity=run.identity(directory))
        data = directory / "data"
        data.mkdir(parents=True)
        (data / "rows.bin").write_bytes(b"12345678")
        arrays = {"weights": np.arange(number + 2.0)}
        store.save(arrays, {"stage": stage}, complete=True, appended={"rows.bin": 8})
        write_json(directory / "result.json", {"seconds": 1.0, "result": {"summary": stage}})
    return run


def fork_to(path: Path, old: RunDir, config: Config) -> tuple[RunDir, list[str]]:
    new = RunDir.create(path, dump(config))
    with new:
        return new, [f"{taken.mode} {taken.stage}" for taken in fork(old, new, config)]


def test_all_is_taken_over_where_nothing_changed(
    tmp_path: Path, old: RunDir, config: Config
) -> None:
    new, taken = fork_to(tmp_path / "new", old, config)
    assert taken == ["REAL collect", "FULL vision", "FULL encode", "FULL memory"]
    directory = new.stage_dir("pong", "FULL", 0, "vision")
    assert (directory / "data/rows.bin").read_bytes() == b"12345678"
    commit = CommitStore(directory, identity=new.identity(directory)).latest()
    assert commit is not None and commit.complete
    np.testing.assert_array_equal(commit.arrays["weights"], np.arange(3.0))
    assert commit.meta == {"stage": "vision"} and commit.appended == {"rows.bin": 8}
    assert json.loads((directory / "result.json").read_text())["result"]["summary"] == "vision"
    stolen = CommitStore(directory, identity=old.identity(old.path / "tasks/pong/FULL"))
    assert stolen.latest() is None, "a copy carries the identity of the run that it is in"


@pytest.mark.parametrize(
    ("sections", "last"),
    [
        ({"evaluate": {"episodes": 3}}, "FULL memory"),
        ({"controller": {"sigma": 0.1}}, "FULL memory"),
        ({"mdnrnn": {"model": MDNRNNSettings(rnn_size=8)}}, "FULL encode"),
        ({"vae": {"model": VAESettings(beta=0.5)}}, "REAL collect"),
        ({"collect": {"random_fraction": 0.5}}, None),
    ],
)
def test_a_changed_section_and_all_that_follows_it_is_done_anew(
    tmp_path: Path, old: RunDir, config: Config, sections: dict, last: str | None
) -> None:
    taken = fork_to(tmp_path / "new", old, changed(config, **sections))[1]
    assert (taken[-1] if taken else None) == last


def test_damaged_and_unfinished_stages_end_what_is_taken_over(
    tmp_path: Path, old: RunDir, config: Config
) -> None:
    state = old.stage_dir("pong", "FULL", 0, "encode") / "commits/000001/state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    assert fork_to(tmp_path / "a", old, config)[1] == ["REAL collect", "FULL vision"]
    (old.stage_dir("pong", "FULL", 0, "vision") / "result.json").unlink()
    assert fork_to(tmp_path / "b", old, config)[1] == ["REAL collect"]


def test_runs_without_a_common_task_have_nothing_to_share(
    tmp_path: Path, old: RunDir, config: Config
) -> None:
    other = replace(config, tasks=(replace(config.tasks[0], name="another"),))
    with pytest.raises(ConfigError, match="nothing to start from"):
        fork_to(tmp_path / "new", old, other)


@pytest.mark.parametrize(
    ("keys", "stages"),
    [
        (["seed"], 0),
        (["curriculum.device"], 1),
        (["curriculum.rounds"], 6),
        (["tasks.pong.mdnrnn.rnn_size", "tasks.pong.vae.beta"], 1),
        (["tasks.breakout.vae.beta"], 6),
        (["tasks.pong.target"], 4),
        (["tasks.pong.vae.joint_updates", "tasks.pong.vae.joint_steps"], 4),
        (["tasks.pong.vae.joint_envs", "tasks.pong.vae.beta"], 1),
        (["tasks.pong.env.kwargs.mode"], 0),
    ],
)
def test_keys_reach_as_far_as_the_first_stage_that_reads_them(keys: list[str], stages: int) -> None:
    assert tuple(unchanged("pong", keys)) == STAGES[:stages]


def test_every_section_of_a_task_is_known() -> None:
    assert {field.name for field in fields(TaskConfig)} == {"name", *FIRST_USE}
    kept = {"joint_updates", "joint_envs", "joint_steps"}
    assert set(LATER_USE) == {f"vae.{name}" for name in kept}
    assert kept <= {field.name for field in fields(VAEConfig)}
