"""Encoding where the GPU's memory does not suffice for V."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.datasets.episodes import EpisodeWriter
from curriculum.datasets.sequences import Latents
from curriculum.errors import ExitCode, StageFailure, Stopped
from curriculum.stages import encode
from curriculum.stages.stage import StageContext
from curriculum.stops import Barrier
from models.interfaces import OutOfDeviceMemory
from tests.learning.practising import context, pole

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

ROWS, AT_ONCE = 64, 16


class Sees:
    """A V that lies on a GPU with room for so many reads, and tells by its latents where it is."""

    latent_size, single_pass, learning_rate, parts = 4, False, 0.1, 1

    def __init__(self, device: str, room: int) -> None:
        self.device, self.room = device, room

    def move_to(self, device: str) -> None:
        self.device = device

    def load_state(self, state: Any) -> None:
        """Has none."""

    def posterior(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.room -= 1
        if self.device == "cuda" and self.room < 0:
            raise OutOfDeviceMemory("it did not fit")
        found = np.full((len(observations), 4), self.device == "cuda", np.float32)
        return found, found


def stage_of(path: Path, vision: Sees, barrier: Barrier | None = None) -> StageContext:
    """The encode stage of a run with one collected episode, seen by `vision`."""
    ctx = context(path, pole(), barrier)
    data = ctx.place.at("collect").directory / "data"
    if not data.exists():
        writer = EpisodeWriter(
            data, observation_shape=(4,), observation_dtype="float32", action_size=2
        )
        states, steps = np.zeros((ROWS, 4), np.float32), ROWS - 1
        actions, rewards = np.zeros((steps, 2), np.float32), np.ones(steps, np.float32)
        writer.append_episode(states, actions, rewards, terminated=True, seed=0)
        ctx.place.at("vision").store.save({}, {}, complete=True)
    backend = replace(ctx.backend, make_vision=lambda *args: vision)
    return replace(ctx, backend=backend).at(encode.NAME)


@pytest.mark.faults(
    "the GPU's memory does not suffice for V as it encodes, and the run is stopped afterwards",
    expect="V moves to the CPU, which is recorded, and resumed it stays there",
)
def test_v_leaves_a_gpu_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "ROWS_AT_ONCE", AT_ONCE)
    ctx = stage_of(tmp_path, Sees("cuda", 1))
    reached = ctx.place.barrier.reached
    calls: list[int] = []

    def stopping(save: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            ctx.place.barrier.request_stop(ExitCode.RESUMABLE)
        reached(save)

    monkeypatch.setattr(ctx.place.barrier, "reached", stopping)
    with pytest.raises(Stopped):
        encode.run(ctx)
    assert [e["event"] for e in ctx.place.ledger.events("moved_to_cpu")] == ["moved_to_cpu"]
    encode.run(stage_of(tmp_path, Sees("cuda", 99)))
    means = Latents.open(ctx.place.directory / "data").mean[:, 0]
    assert means.tolist() == [1.0] * AT_ONCE + [0.0] * (ROWS - AT_ONCE)


def test_v_that_fits_nowhere_fails_the_stage(tmp_path: Path) -> None:
    class Nowhere(Sees):
        def posterior(self, observations: np.ndarray) -> Any:
            raise OutOfDeviceMemory("it did not fit")

    with pytest.raises((StageFailure, OutOfDeviceMemory)):
        encode.run(stage_of(tmp_path, Nowhere("cpu", 0)))
