"""Collect, vision, encode and memory, of a task whose every number is known in advance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from curriculum.datasets.episodes import EpisodeWriter
from curriculum.datasets.sequences import LatentWriter
from curriculum.errors import ConfigError, StageFailure, Stopped, TaskUnsuitable
from curriculum.records.agent_state import part_of
from curriculum.stages import collect, encode, memory, vision
from tests.stages.pipeline import (
    ACTIONS,
    EPISODES,
    STAGES,
    STARTED,
    countdown,
    done,
    done_before,
    learned,
    length,
    stage_of,
)

pytestmark = pytest.mark.gym
__all__ = ["countdown"]


def test_collected_episodes_are_those_of_their_seeds_in_order(tmp_path: Path) -> None:
    ctx, result = done(tmp_path, "collect")
    seeds = ctx.place.env_seeds("episodes", count=EPISODES)
    lengths = [length(seed) for seed in seeds]
    assert len(set(lengths)) > 2 and lengths != sorted(lengths), "seeds that tell their order apart"
    data = ctx.data()
    rows = np.arange(data.num_rows)
    expected = [left for steps in lengths for left in range(steps, -1, -1)]
    assert data.observations(rows)[:, 0].tolist() == expected
    steps = np.flatnonzero(data.observations(rows)[:, 0] > 0)
    taken = data.actions(steps)
    assert taken.shape == (sum(lengths), ACTIONS) and (taken.sum(axis=1) == 1).all()
    assert set(taken.argmax(axis=1).tolist()) == set(range(ACTIONS)), "at random"
    assert data.rewards(steps).tolist() == taken.argmax(axis=1).tolist()
    scores = [float(part.sum()) for part in np.split(data.rewards(steps), np.cumsum(lengths)[:-1])]
    assert result.metrics == {
        "episodes": float(EPISODES),
        "score_mean": pytest.approx(sum(scores) / EPISODES),
        "score_max": max(scores),
    }
    assert (result.env_steps, result.dream_steps) == (sum(lengths), 0)
    assert result.summary == f"{EPISODES} episodes, {sum(lengths)} steps"


def test_later_rounds_collect_with_the_agent_of_the_round_before(tmp_path: Path) -> None:
    ctx = stage_of(tmp_path, "collect").at("collect", 1)
    with pytest.raises(ConfigError, match="vision"):
        collect.verify_inputs(ctx)
    agent = ctx.agent({})
    parameters = np.zeros(agent.controller.num_parameters, np.float32)
    parameters[-1] = 100.0  # the bias of action 2
    for model in ("vision", "memory"):
        ctx.place.at(model, 0).store.save(part_of(agent.state(), model), {}, complete=True)
    ctx.place.at("controller", 0).store.save({"parameters": parameters}, {}, complete=True)
    collect.verify_inputs(ctx)
    result = collect.run(ctx)
    lengths = [length(seed) for seed in ctx.place.env_seeds("episodes", count=4)]
    assert result.metrics["episodes"] == 4 and result.env_steps == sum(lengths)
    assert result.metrics["score_max"] == 2 * max(lengths), "each step pays the action taken"


def test_v_standardises_what_was_collected(tmp_path: Path) -> None:
    ctx, result = done(done_before(tmp_path, "vision"), "vision")
    rows = ctx.data().observations(np.arange(ctx.data().num_rows))
    arrays = learned(ctx)
    assert arrays["count"] == len(rows)
    assert arrays["mean"] == pytest.approx(rows.mean(axis=0))
    assert result.metrics["latent_mean"] == pytest.approx(0.0, abs=1e-6)
    assert result.metrics["latent_std"] == pytest.approx(1.0, abs=1e-6)
    assert result.metrics["latent_spread"] == pytest.approx(1.0, abs=1e-6)
    assert result.summary.startswith(f"{-(-len(rows) // 4)} updates, loss")


def test_a_closed_form_v_is_kept_in_later_rounds(tmp_path: Path) -> None:
    ctx, _ = done(done_before(tmp_path, "vision"), "vision")
    later = ctx.at("vision", 1)
    writer = EpisodeWriter(
        later.place.at("collect").directory / "data",
        observation_shape=(1,),
        observation_dtype="float32",
        action_size=ACTIONS,
    )
    states, still = np.array([[90.0], [91.0]], np.float32), np.zeros(1, np.float32)
    writer.append_episode(states, np.eye(3, dtype=np.float32)[:1], still, terminated=True, seed=0)
    writer.sync()
    result = vision.run(later)
    assert result.summary == "kept from the first round"
    assert all(np.array_equal(learned(later)[name], a) for name, a in learned(ctx).items())


def test_every_row_has_v_s_latent_of_it(tmp_path: Path) -> None:
    ctx, result = done(done_before(tmp_path, "encode"), "encode")
    rows = ctx.data().observations(np.arange(ctx.data().num_rows))
    expected = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    assert np.allclose(ctx.latents().mean, expected, atol=1e-5)
    assert result.metrics == {"rows": float(len(rows))}


def test_m_learns_that_the_count_goes_down(tmp_path: Path) -> None:
    _, result = done(done_before(tmp_path, "memory"), "memory")
    assert result.metrics["held_out_prediction_error"] < 0.5 * result.metrics["held_out_copy_error"]
    assert f"held-out NLL {result.metrics['held_out_nll']:.4g}" in result.summary


def test_the_last_tenth_of_the_episodes_is_held_out(tmp_path: Path) -> None:
    data = done(tmp_path, "collect")[0].data()
    starts, held_out = memory.split_starts(data, 2)
    assert set(data.episode_of(held_out).tolist()) == {EPISODES - 2, EPISODES - 1}
    assert set(data.episode_of(starts).tolist()) == set(range(EPISODES - 2))


def test_m_without_learning_is_refused_where_it_is_an_echo(tmp_path: Path) -> None:
    done_before(tmp_path, "memory")
    with pytest.raises(TaskUnsuitable, match=r"mdnrnn\.trained"):
        memory.run(stage_of(tmp_path, "memory", trained=False))


@pytest.mark.parametrize(
    ("name", "stop_at"), [("collect", 7), ("vision", 1), ("encode", 1), ("memory", 1)]
)
def test_a_stop_in_the_middle_changes_nothing(
    tmp_path: Path, name: str, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "ROWS_AT_ONCE", 16)
    whole, expected = done(done_before(tmp_path / "whole", name), name)
    begun = list(STARTED)
    STARTED.clear()
    ctx, result = done(done_before(tmp_path / "run", name), name, stop_at)
    assert sorted(STARTED) == sorted(begun), "no episode is played twice"
    assert result == expected
    files = [path for path in sorted((whole.place.directory).rglob("data/*")) if path.is_file()]
    assert bool(files) == (name in ("collect", "encode"))
    for path in files:
        again = ctx.place.directory / path.relative_to(whole.place.directory)
        assert again.read_bytes() == path.read_bytes(), path.name
    arrays = learned(ctx)
    assert arrays.keys() == learned(whole).keys()
    assert all(np.array_equal(arrays[n], array) for n, array in learned(whole).items())


def test_what_no_commit_has_is_collected_and_encoded_anew(tmp_path: Path) -> None:
    whole, expected = done(tmp_path / "whole", "collect")
    with pytest.raises(Stopped):
        collect.run(stage_of(tmp_path / "run", "collect", 7))
    extra = np.full((3, 1), 5.0, np.float32)
    writer = EpisodeWriter(
        stage_of(tmp_path / "run", "collect").place.directory / "data",
        observation_shape=(1,),
        observation_dtype="float32",
        action_size=ACTIONS,
    )
    actions = np.eye(ACTIONS, dtype=np.float32)[:2]
    writer.append_episode(extra, actions, extra[:2, 0], terminated=True, seed=9)
    writer.sync()
    ctx, result = done(tmp_path / "run", "collect")
    assert result == expected
    rows = np.arange(whole.data().num_rows)
    assert np.array_equal(ctx.data().observations(rows), whole.data().observations(rows))

    done(tmp_path / "run", "vision")
    LatentWriter(ctx.place.at("encode").directory / "data", 1).append(extra, extra)
    encoded, _ = done(tmp_path / "run", "encode")
    expected_latents = encoded.vision().encode(whole.data().observations(rows))
    assert np.array_equal(encoded.latents().mean, expected_latents)


@pytest.mark.parametrize("name", ["vision", "encode", "memory"])
def test_a_stage_needs_those_before_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="run the stages in order"):
        STAGES[name].verify_inputs(stage_of(tmp_path, name))


def test_data_that_say_nothing_fail_collect(tmp_path: Path) -> None:
    ctx, result = done(tmp_path, "collect")
    with pytest.raises(StageFailure, match="nothing was collected"):
        collect.verify_outputs(ctx, replace(result, env_steps=0))
    observations = np.memmap(ctx.place.directory / "data" / "observations.bin", np.float32, "r+")
    observations[3] = np.nan
    with pytest.raises(StageFailure, match="not finite"):
        collect.verify_outputs(ctx, result)
    observations[:] = 1.0
    with pytest.raises(StageFailure, match="are equal"):
        collect.verify_outputs(ctx, result)


def test_a_v_that_ignores_its_input_fails_vision(tmp_path: Path) -> None:
    ctx, result = done(done_before(tmp_path, "vision"), "vision")
    for metrics, words in (
        ({**result.metrics, "latent_spread": 1e-6}, "same latents for every frame"),
        ({**result.metrics, "loss": np.nan}, "not finite.*loss"),
    ):
        with pytest.raises(StageFailure, match=words):
            vision.verify_outputs(ctx, replace(result, metrics=metrics))


def test_latents_that_are_missing_or_not_finite_fail_encode(tmp_path: Path) -> None:
    ctx, result = done(done_before(tmp_path, "encode"), "encode")
    writer = LatentWriter(ctx.place.directory / "data", 1)
    rows = writer.num_rows
    more = np.zeros((1, 1), np.float32)
    writer.append(more, more)
    writer.sync()
    with pytest.raises(StageFailure, match=f"{rows + 1} rows were encoded, expected {rows}"):
        encode.verify_outputs(ctx, result)
    commit = ctx.place.store.latest()
    assert commit is not None
    writer.cut(commit.appended)
    encode.verify_outputs(ctx, result)
    for path in sorted(ctx.place.directory.rglob("data/*.bin")):
        kept = path.read_bytes()
        np.memmap(path, np.float32, "r+")[0] = np.inf
        with pytest.raises(StageFailure, match="some latents are not finite"):
            encode.verify_outputs(ctx, result)
        path.write_bytes(kept)


def test_an_m_that_was_not_scored_or_is_not_finite_fails_memory(tmp_path: Path) -> None:
    ctx, result = done(done_before(tmp_path, "memory"), "memory")
    unscored = {n: value for n, value in result.metrics.items() if n != "held_out_nll"}
    with pytest.raises(StageFailure, match="not scored"):
        memory.verify_outputs(ctx, replace(result, metrics=unscored))
    with pytest.raises(StageFailure, match="not finite"):
        memory.verify_outputs(ctx, replace(result, metrics={**result.metrics, "nll": np.inf}))
