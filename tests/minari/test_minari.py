"""Episodes as Minari datasets: written, read by Minari itself, learned from, refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.config.schema import CollectConfig, EnvConfig, TaskConfig
from curriculum.errors import ComponentMissing, ConfigError, Stopped, TaskUnsuitable
from curriculum.stages import collect
from curriculum.stages.stage import StageContext
from curriculum.tasks import load_config
from tests.cli.conftest import commands_in
from tests.places import place_in, stage_at, stopped_at

pytestmark = pytest.mark.gym
minari = pytest.importorskip("minari")
pytest.importorskip("h5py")

from minari.data_collector.episode_buffer import EpisodeBuffer  # noqa: E402

from curriculum.minari.library import folder  # noqa: E402
from curriculum.minari.reading import MinariEpisodes  # noqa: E402
from curriculum.minari.writing import write_minari  # noqa: E402

SHORT = CollectConfig(num_random_rollouts=3, max_steps_per_rollout=40)
TASKS = {
    **{task.name: replace(task, collect=SHORT) for task in load_config(Path("default")).tasks},
    "pendulum": TaskConfig(
        name="pendulum", env_id="Pendulum-v1", observation="state", collect=SHORT
    ),
}
COLUMNS = ("observations", "actions", "rewards", "ends", "episodes")


@pytest.fixture(autouse=True)
def _datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))


def stage_of(path: Path, task: TaskConfig, **more: Any) -> StageContext:
    return stage_at(place_in(path, task.name, "GYM_ONLY", "collect", **more), task)


def collected(path: Path, task: TaskConfig, **more: Any) -> StageContext:
    ctx = stage_of(path, task, **more)
    collect.verify_inputs(ctx)
    collect.verify_outputs(ctx, collect.run(ctx))
    return ctx


def written(tmp_path: Path, task: TaskConfig, dataset_id: str = "mine/some-v0") -> StageContext:
    ctx = collected(tmp_path / "played", task)
    write_minari(ctx.data(), ctx.spec, dataset_id, "for a test")
    return ctx


def taking(task: TaskConfig, source: str = "mine/some-v0", **keys: Any) -> TaskConfig:
    return replace(task, collect=replace(task.collect, dataset=source, **keys))


def columns_of(ctx: StageContext) -> dict[str, bytes]:
    directory = ctx.place.directory / "data"
    return {name: (directory / f"{name}.bin").read_bytes() for name in COLUMNS}


@pytest.mark.parametrize("name", ["pong", "lunarlander", "pendulum"])
def test_what_was_collected_comes_back_to_the_last_bit(name: str, tmp_path: Path) -> None:
    ctx = written(tmp_path, TASKS[name])
    there = minari.load_dataset("mine/some-v0")
    assert (there.total_episodes, there.total_steps) == (3, ctx.data().num_steps)
    assert there.observation_space.shape == ctx.spec.shape
    for number, episode in enumerate(there.iterate_episodes()):
        first, rows = ctx.data().episodes[number][["start", "rows"]]
        seen = ctx.data().observations(first + np.arange(rows))
        np.testing.assert_array_equal(episode.observations, seen)
        assert all(there.action_space.contains(action) for action in episode.actions)
        assert episode.rewards.sum() == pytest.approx(ctx.data().episodes["score"][number])
        last = [bool(ends[-1]) for ends in (episode.terminations, episode.truncations)]
        assert sum(last) == 1 and not episode.terminations[:-1].any()
        assert not episode.truncations[:-1].any()

    again = collected(tmp_path / "taken", taking(TASKS[name]))
    before, after = columns_of(ctx), columns_of(again)
    if name == "pendulum":  # its actions were scaled, and scaled back
        first, second = (np.frombuffer(c.pop("actions"), np.float32) for c in (before, after))
        np.testing.assert_allclose(first, second, atol=1e-6)
    assert after == before


def test_a_stage_that_was_stopped_takes_the_rest(tmp_path: Path) -> None:
    task = TASKS["lunarlander"]
    ctx = written(tmp_path, task)
    barrier, listener = stopped_at(2)
    stopped = tmp_path / "stopped"
    with pytest.raises(Stopped):
        collected(stopped, taking(task), barrier=barrier, listener=listener)
    half = stage_of(stopped, taking(task))
    commit = half.place.store.latest()
    assert commit is not None and not commit.complete and commit.meta["episodes"] == 2
    assert columns_of(collected(stopped, taking(task))) == columns_of(ctx)


def test_a_stage_never_goes_on_with_another_source(tmp_path: Path) -> None:
    task = TASKS["lunarlander"]
    ctx = written(tmp_path, task)
    for begun, then in ((taking(task), "mine/other-v0"), (task, "mine/some-v0")):
        barrier, listener = stopped_at(2)
        path = tmp_path / f"begun-{begun.collect.dataset.replace('/', '-')}"
        with pytest.raises(Stopped):
            collected(path, begun, barrier=barrier, listener=listener)
        if then == "mine/other-v0":
            write_minari(ctx.data(), ctx.spec, then)
        with pytest.raises(TaskUnsuitable, match="this stage began with"):
            collected(path, taking(task, then))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_dataset_of_others_is_taken_as_its_environment_would_have_shown_it(
    tmp_path: Path,
) -> None:
    """Its numbers are doubles, it says nothing of ours, and its episodes are longer than wanted."""
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("LunarLander-v3")
    rng = np.random.default_rng(0)
    buffers = [
        EpisodeBuffer(
            observations=rng.standard_normal((61, 8)),
            actions=rng.integers(0, 4, 60),
            rewards=rng.standard_normal(60),
            terminations=np.arange(60) == 59,
            truncations=np.zeros(60, bool),
        )
        for _ in range(5)
    ]
    box = gymnasium.spaces.Box(-np.inf, np.inf, (8,), np.float64)
    minari.create_dataset_from_buffers(
        "theirs/lander-v3", buffers, observation_space=box, action_space=env.action_space
    )
    task = TASKS["lunarlander"]
    data = collected(tmp_path / "taken", taking(task, "theirs/lander-v3")).data()
    assert data.num_episodes == 3 and data.num_steps == 3 * 40, "so many, cut so early"
    np.testing.assert_array_equal(
        data.observations(np.arange(41)), buffers[0].observations[:41].astype(np.float32)
    )
    assert data.actions(np.arange(40)).argmax(axis=1).tolist() == buffers[0].actions[:40].tolist()
    assert data.episodes["seed"].tolist() == [0, 1, 2], "numbers stand in for seeds"
    whole = collected(
        tmp_path / "whole",
        taking(task, "theirs/lander-v3", num_random_rollouts=9, max_steps_per_rollout=500),
    ).data()
    assert whole.num_episodes == 5 and whole.num_steps == 300
    ends = [whole.ends(np.array([n * 61 + 59]))[0] for n in range(5)]
    assert ends == [1] * 5, "terminated"


def test_a_directory_that_was_handed_over_is_a_source_too(tmp_path: Path) -> None:
    task = TASKS["lunarlander"]
    ctx = written(tmp_path, task)
    moved = tmp_path / "handed over"
    folder("mine/some-v0").rename(moved)
    assert columns_of(collected(tmp_path / "taken", taking(task, str(moved)))) == columns_of(ctx)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("breakout", ["played in LunarLander-v3", "shows Box", "uint8 of shape (64, 64, "]),
        ("pendulum", ["played in LunarLander-v3", "actions are Discrete(4)", "1 numbers from"]),
    ],
)
def test_a_dataset_of_another_environment_is_refused(
    name: str, words: list[str], tmp_path: Path
) -> None:
    written(tmp_path, TASKS["lunarlander"])
    with pytest.raises(TaskUnsuitable) as told:
        collected(tmp_path / "taken", taking(TASKS[name]))
    assert all(word in str(told.value) for word in words), told.value


def test_what_is_no_dataset_is_refused_in_a_sentence(tmp_path: Path) -> None:
    written(tmp_path, TASKS["lunarlander"])
    for source, words in (
        ("nothing/here-v0", "minari list local"),
        ("no id", "no id of a dataset"),
        ("../../etc-v0", "no id of a dataset"),
        ("", "no id of a dataset"),
    ):
        with pytest.raises(ConfigError, match=words):
            MinariEpisodes(source)
    about = folder("mine/some-v0") / "data" / "metadata.json"
    for text in ("{", "[]", "{}", json.dumps({**json.loads(about.read_text()), "action_space": 3})):
        about.write_text(text)
        with pytest.raises(ConfigError, match="cannot be read"):
            MinariEpisodes("mine/some-v0")


def test_damaged_episodes_are_refused_with_their_number(tmp_path: Path) -> None:
    import h5py

    task = TASKS["lunarlander"]
    written(tmp_path, task)
    path = folder("mine/some-v0") / "data" / "main_data.hdf5"
    whole = path.read_bytes()

    def damage(change: Any) -> None:
        path.write_bytes(whole)
        with h5py.File(path, "a") as file:
            change(file["episode_1"])

    def set_to(name: str, index: Any, value: Any) -> Any:
        return lambda episode: episode[name].__setitem__(index, value)

    for number, change in enumerate(
        (
            set_to("observations", (3, 2), np.nan),
            set_to("rewards", 3, np.inf),
            set_to("actions", 3, 9),
            set_to("actions", 3, -1),
            set_to("terminations", 3, True),
            lambda episode: episode["observations"].resize((7, 8)),
            lambda episode: episode["actions"].resize((7,)),
            lambda episode: episode.pop("rewards"),
        )
    ):
        damage(change)
        with pytest.raises(TaskUnsuitable, match="episode 1 of the dataset mine/some-v0"):
            collected(tmp_path / f"taken-{number}", taking(task))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TaskUnsuitable, match="cannot be read"):
        collected(tmp_path / "half", taking(task))


def test_a_dataset_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = written(tmp_path, TASKS["lunarlander"])
    with pytest.raises(ConfigError, match="there is a dataset mine/some-v0"):
        write_minari(ctx.data(), ctx.spec, "mine/some-v0")
    for bad in ("no version", "pong/random", "../up-v0", "/root-v0", "a b-v0"):
        with pytest.raises(ConfigError, match="no id of a dataset"):
            write_minari(ctx.data(), ctx.spec, bad)

    def full(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    from minari.dataset._storages.hdf5_storage import HDF5Storage

    monkeypatch.setattr(HDF5Storage, "update_episodes", full)
    with pytest.raises(Exception, match="No space left"):
        write_minari(ctx.data(), ctx.spec, "mine/full-v0")
    assert not folder("mine/full-v0").exists()
    left = [path.name for path in folder("mine/full-v0").parent.iterdir()]
    assert sorted(left) == ["namespace_metadata.json", "some-v0"]


def test_without_minari_the_way_to_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ComponentMissing, match=r'pip install "minari\[hdf5\]"'):
        MinariEpisodes("mine/some-v0")


def test_the_commands_go_there_and_back(tmp_path: Path) -> None:
    run = commands_in(tmp_path)
    keys = ("collect.num_random_rollouts=2", "collect.max_steps_per_rollout=30")
    short = [word for key in keys for word in ("--set", key)]
    first = ("run", "default", "--tasks", "lunarlander", "--stage", "collect", *short)
    done = run(*first, "--run-dir", "runs/über uns")
    assert done.code == 0, done.err
    done = run("data", "export", "runs/über uns", "--to", "minari")
    assert done.code == 0, done.err
    assert "lunarlander/ber-uns-v0: 2 episodes, 60 steps of LunarLander-v3" in done.out
    learn = done.out.split("--set ")[1].strip()
    done = run(*first, "--set", learn, "--run-dir", "runs/back")
    assert done.code == 0, done.err
    assert "from the dataset lunarlander/ber-uns-v0" in done.err + done.out
    paths = [tmp_path / "runs" / name for name in ("über uns", "back")]
    there, back = (next(path.rglob("observations.bin")).read_bytes() for path in paths)
    assert there == back

    for words, sentence in (
        (("--rounds", "3"), "in the rounds 0, not in 3"),
        (("--id", "x"), "no id of a dataset"),
        (("--task", "pong"), "this run has no task 'pong'"),
    ):
        done = run("data", "export", "runs/back", *words)
        assert done.code == 2 and sentence in done.err, done.err
    done = run(*first, "--set", "collect.dataset=gone-v0", "--run-dir", "runs/gone")
    assert done.code == 2 and "nothing was written" in done.err and "gone-v0" in done.err
    assert not (tmp_path / "runs" / "gone").exists()
    other = ("run", "default", "--tasks", "pong", *short, "--run-dir", "runs/other")
    done = run(*other, "--set", learn)
    assert done.code == 2 and "nothing was written" in done.err, done.err
    assert "played in LunarLander-v3" in done.err and not (tmp_path / "runs" / "other").exists()
    simulated = ("--set", learn, "--mode", "SIMULATION", "--run-dir", "runs/simulated")
    done = run(*first, *simulated)
    assert done.code == 2 and "plays episodes of its own" in done.err


def test_simulated_episodes_can_be_written_too(tmp_path: Path) -> None:
    task = replace(TASKS["pong"], env=EnvConfig(simulation="pong"))
    ctx = stage_at(place_in(tmp_path / "run", "pong", "SIMULATION", "collect"), task)
    collect.run(ctx)
    write_minari(ctx.data(), ctx.spec, "pong/simulated-v0")
    with pytest.raises(ConfigError, match="played in simulation/pong"):
        spec = stage_at(place_in(tmp_path / "real", "pong", "GYM_ONLY", "collect"), task).spec
        MinariEpisodes("pong/simulated-v0").require_of(spec)
