"""What is published with V and M: numbers and pictures, and a failure that fails nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from curriculum.config.schema import TaskConfig
from curriculum.datasets.episodes import Dataset, EpisodeWriter
from curriculum.datasets.sequences import Latents, LatentWriter
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.insight.memory_horizon import FACT_HORIZONS
from curriculum.seeds import env_seed, generator
from curriculum.stages import insights
from curriculum.stages.insights import memory_insights, vision_insights
from models.interfaces import Memory, Prediction, Vision

FRAME, STATE = (64, 64, 1), (3,)
LENGTHS = (80, 55, 70, 61)
BUTTONS = ActionSpec("discrete", 2)


class Quarters:
    """The mean greys of a frame's four quarters."""

    latent_size, single_pass = 4, True

    def encode(self, observations: np.ndarray) -> np.ndarray:
        parts = observations.astype(np.float32).reshape(-1, 2, 32, 2, 32)
        return parts.mean(axis=(2, 4)).reshape(-1, 4)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        coarse = np.clip(np.rint(latents), 0, 255).astype(np.uint8).reshape(-1, 2, 2, 1)
        return coarse.repeat(32, axis=1).repeat(32, axis=2)


class Blind(Quarters):
    """A vision that cannot draw."""

    def decode(self, latents: np.ndarray) -> np.ndarray:
        raise ValueError("nothing to be seen")


class Stays:
    """A memory that says that nothing moves."""

    action_size, hidden_size, single_pass = 2, 1, True

    def __init__(self, latent_size: int) -> None:
        self.latent_size = latent_size

    def initial_state(self, n: int) -> np.ndarray:
        return np.zeros((n, 1), np.float32)

    def step(self, state: np.ndarray, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return state

    def predict(
        self, state: np.ndarray, latents: np.ndarray, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        nothing = np.zeros(len(latents), np.float32)
        return Prediction(latents, nothing, nothing)


def context(path: Path, vision: Any, shape: tuple[int, ...], env_id: str = "any") -> Any:
    events: list[tuple[str, dict[str, Any]]] = []
    kind = "pixels" if len(shape) == 3 else "state"
    place = SimpleNamespace(
        directory=path,
        rng=lambda *path: generator(0, *path),
        env_seed=lambda *path: env_seed(0, *path),
        record=lambda event, **facts: events.append((event, facts)),
    )
    return SimpleNamespace(
        task=TaskConfig(name="any"),
        spec=EnvSpec(env_id, kind, shape, BUTTONS, frames_per_step=4),
        backend=SimpleNamespace(environment="real", key_points=True),
        vision=lambda: vision,
        place=place,
        events=events,
    )


def collected(path: Path, shape: tuple[int, ...]) -> tuple[Dataset, Latents]:
    """Episodes of white noise, and their latents as `Quarters` sees them, or the states."""
    rng = np.random.default_rng(0)
    kind = np.uint8 if len(shape) == 3 else np.float32
    writer = EpisodeWriter(
        path / "data", observation_shape=shape, observation_dtype=kind, action_size=2
    )
    for seed, steps in enumerate(LENGTHS):
        seen = rng.uniform(0, 255, (steps + 1, *shape)).astype(kind)
        actions = np.eye(2, dtype=np.float32)[rng.integers(2, size=steps)]
        zeros = np.zeros(steps, np.float32)
        writer.append_episode(seen, actions, zeros, terminated=True, seed=seed)
    data = Dataset([path / "data"])
    rows = data.observations(np.arange(data.num_rows))
    mean = Quarters().encode(rows) if len(shape) == 3 else rows
    latents = LatentWriter(path / "latents", mean.shape[1])
    latents.append(mean, np.zeros_like(mean))
    return data, Latents.open(path / "latents")


def size_of(path: Path) -> tuple[int, int]:
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def test_vision_is_drawn_and_where_no_truth_is_known_that_is_all(tmp_path: Path) -> None:
    data, _ = collected(tmp_path, FRAME)
    ctx = context(tmp_path, None, FRAME)
    assert vision_insights(ctx, cast(Vision, Quarters()), data) == {}
    width, height = size_of(tmp_path / "vision.png")
    assert width > 8 * 64 and height > 3 * 64
    assert not ctx.events


def test_the_frames_shown_of_vision_follow_others_of_their_episode(tmp_path: Path) -> None:
    data, _ = collected(tmp_path, FRAME)
    rows = insights._rows_that_move(data)
    assert len(rows) == insights.COLUMNS and (np.diff(rows) > 0).all()
    assert (rows > data.first_rows(rows)).all()
    assert (data.previous_rows(rows) == rows - 1).all()


@pytest.mark.parametrize("name", ["PongNoFrameskip-v4", "BreakoutNoFrameskip-v4"])
def test_where_the_emulator_knows_the_truth_vision_is_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip("ale_py")
    monkeypatch.setattr(insights, "FEWEST_PROBE_ROWS", 500)
    data, _ = collected(tmp_path, FRAME)
    ctx = context(tmp_path, None, FRAME, name)
    found = vision_insights(ctx, cast(Vision, Quarters()), data)
    assert not ctx.events
    assert set(found) == {"probe", "contrast"} and "ball_x" in found["probe"]
    assert found["contrast"]["brightest"] > 40
    for scores in found["probe"].values():
        assert {"r2", "mae_pixels", "rows"} <= set(scores)
        assert np.isfinite(list(scores.values())).all()
    assert found == vision_insights(ctx, cast(Vision, Quarters()), data)
    assert "key_points" not in found
    model = replace(ctx.task.vae.model, key_points=1)
    ctx.task = replace(ctx.task, vae=replace(ctx.task.vae, model=model))
    placed = vision_insights(ctx, cast(Vision, Quarters()), data)
    assert placed["probe"] == found["probe"]
    assert all(0.0 <= scores["near"] <= 1.0 for scores in placed["key_points"].values())


def test_truth_is_asked_for_only_where_it_is_of_the_same_frames(tmp_path: Path) -> None:
    ctx = context(tmp_path, None, (64, 64, 3), "PongNoFrameskip-v4")
    assert insights._truth(ctx, 400) is None
    ctx = context(tmp_path, None, FRAME, "PongNoFrameskip-v4")
    ctx.backend.environment = "simulation"
    assert insights._truth(ctx, 400) is None
    assert insights._truth(context(tmp_path, None, FRAME, "CartPole-v1"), 400) is None


def error_of_copies(data: Dataset, latents: Latents) -> np.ndarray:
    """What is wrong with z_10 as a forecast of the fifty z after it, in long episodes."""
    long = [(e["start"], e["start"] + e["rows"]) for e in data.episodes if e["rows"] > 60]
    seen = [latents.mean[first:end] for first, end in long]
    wrong = np.mean([np.square(z[11:61] - z[10]).sum(axis=1) for z in seen], axis=0)
    return wrong / np.concatenate(seen).astype(np.float64).var(axis=0).sum()


@pytest.mark.parametrize("shape", [FRAME, STATE])
def test_how_far_memory_sees_is_measured_on_episodes_that_are_long_enough(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    data, latents = collected(tmp_path, shape)
    ctx = context(tmp_path, Quarters(), shape)
    held_out = data.sequence_starts(16)
    memory = cast(Memory, Stays(latents.mean.shape[1]))
    found = memory_insights(ctx, memory, data, latents, held_out)
    assert not ctx.events
    assert set(found) == {"open_loop"}
    measured = found["open_loop"]
    # One start each in the episodes of 80, 70 and 61 steps; a second needs 85.
    assert measured["starts"] == 3
    curves = measured["curves"]
    assert set(curves) == {"likely", "mean", "copy", "velocity"}
    assert all(len(curve) == insights.HORIZON for curve in curves.values())
    assert curves["likely"] == curves["copy"]
    np.testing.assert_allclose(curves["copy"], error_of_copies(data, latents), atol=1e-5)
    np.testing.assert_allclose(curves["mean"], curves["copy"], atol=1e-4)
    assert {f"copy_{k}" for k in FACT_HORIZONS} <= set(measured)
    picture = tmp_path / "memory.png"
    assert picture.exists() == (shape == FRAME)
    if shape == FRAME:
        width, height = size_of(picture)
        assert width > 8 * 64 and height > 3 * insights.STARTS * 64


def test_without_a_long_episode_nothing_is_said_of_memory(tmp_path: Path) -> None:
    data, latents = collected(tmp_path, FRAME)
    ctx = context(tmp_path, Quarters(), FRAME)
    starts = data.sequence_starts(16)
    short = starts[data.episode_of(starts) == 1]
    memory = cast(Memory, Stays(4))
    assert memory_insights(ctx, memory, data, latents, short) == {}
    assert memory_insights(ctx, memory, data, latents, starts[:0]) == {}
    assert not ctx.events and not (tmp_path / "memory.png").exists()


def test_states_have_no_picture_and_no_probe(tmp_path: Path) -> None:
    data, _ = collected(tmp_path, STATE)
    ctx = context(tmp_path, None, STATE)
    assert vision_insights(ctx, cast(Vision, Blind()), data) == {}
    assert not ctx.events and not (tmp_path / "vision.png").exists()


def test_what_cannot_be_looked_at_is_told_and_fails_nothing(tmp_path: Path) -> None:
    data, latents = collected(tmp_path, FRAME)
    ctx = context(tmp_path, Blind(), FRAME)
    failed = ("insight_failed", {"reason": "ValueError: nothing to be seen"})
    assert vision_insights(ctx, cast(Vision, Blind()), data) == {}
    assert ctx.events == [failed]
    held_out = data.sequence_starts(16)
    assert memory_insights(ctx, cast(Memory, Stays(4)), data, latents, held_out) == {}
    assert ctx.events == [failed, failed]
