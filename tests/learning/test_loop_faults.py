"""Practice with real parts whose memory does not suffice, or whose M meets what is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.collecting.rollouts import not_finite
from curriculum.config.schema import TaskConfig
from curriculum.errors import StageFailure
from curriculum.learning.healing import MAX_IN_A_ROW, Healer
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext
from models.interfaces import Rollout
from tests.learning.practising import learned, pole, told

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

REAL = pole(updates=3)
TWO_EPOCHS_OF_MINIBATCHES = 4
"""Gradients of an update in `REAL`."""

GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
HOST = RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these spend their time on waking threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def short_of_memory(
    monkeypatch: pytest.MonkeyPatch, fails: Callable[[int, int, bool], bool], error: Exception
) -> list[str]:
    """Lets C's gradients fail where `fails` says so of their number, their rows and the device.

    C believes that it computes on a GPU until it is told to leave it. Returns the devices that it
    was moved to.
    """
    from models.ppo import PPO

    backward, move, terms = torch.autograd.backward, PPO.move_to, PPO._terms
    moved: list[str] = []
    calls, rows, on_gpu = 0, 0, True

    def watch(ppo: PPO, steps: Any) -> Any:
        nonlocal rows, on_gpu
        rows, on_gpu = len(steps.returns), ppo.device == "cuda"
        return terms(ppo, steps)

    def failing(*args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if fails(calls, rows, on_gpu):
            raise error
        backward(*args, **kwargs)

    def moving(ppo: PPO, device: str) -> None:
        moved.append(device)
        vars(ppo)["left"] = True
        move(ppo, device)

    monkeypatch.setattr(PPO, "device", property(lambda p: "cpu" if "left" in vars(p) else "cuda"))
    monkeypatch.setattr(PPO, "_terms", watch)
    monkeypatch.setattr(PPO, "move_to", moving)
    monkeypatch.setattr(torch.autograd, "backward", failing)
    return moved


def roomy(ctx: StageContext) -> list[tuple[str, str, int, int]]:
    """What was recorded of making room: event, part, step and parts."""
    events = [
        e for e in ctx.place.ledger.events() if e["event"] in ("batch_halved", "moved_to_cpu")
    ]
    return [(e["event"], e["part"], e["step"], e["parts"]) for e in events]


def same_learning(found: StageContext, expected: StageContext) -> None:
    """Compares the metrics of all updates and what was committed, to the rounding of sums."""
    metrics = [ctx.place.ledger.events("metrics") for ctx in (found, expected)]
    for ours, theirs in zip(*metrics, strict=True):
        assert ours["values"] == pytest.approx(theirs["values"], rel=1e-3, abs=1e-5)
    arrays = [ctx.place.completed(stage.NAME).arrays for ctx in (found, expected)]
    for name, array in arrays[1].items():
        if name.startswith("learner/"):
            np.testing.assert_allclose(arrays[0][name], array, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.faults(
    "memory does not suffice for the {nth}-th gradient of C, once ({what})",
    expect="the update is made in two parts, and what is learned is the same",
)
@pytest.mark.parametrize("nth", [1, 3, 2 * TWO_EPOCHS_OF_MINIBATCHES])
@pytest.mark.parametrize(
    ("what", "error"),
    [("GPU", GPU), ("cuBLAS", CUBLAS), ("host", HOST), ("numpy", MemoryError("no room"))],
)
def test_an_update_that_does_not_fit_is_made_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, what: str, error: Exception
) -> None:
    whole, _ = learned(tmp_path / "whole", REAL, None)
    moved = short_of_memory(monkeypatch, lambda call, rows, gpu: call == nth, error)
    parts, _ = learned(tmp_path / "parts", REAL, None)
    step = (nth - 1) // TWO_EPOCHS_OF_MINIBATCHES
    assert roomy(parts) == [("batch_halved", "C", step, 2)]
    assert not moved
    assert not parts.place.ledger.events("rolled_back")
    same_learning(parts, whole)


@pytest.mark.faults(
    "C's gradients fit into the GPU's memory only four steps at a time, in dreams as well",
    expect="halved until they fit, once for all updates; what is learned is the same",
)
@pytest.mark.parametrize("task", [REAL, pole(dream_steps=3)])
def test_parts_become_as_small_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: TaskConfig
) -> None:
    whole, _ = learned(tmp_path / "whole", task, None)
    moved = short_of_memory(monkeypatch, lambda call, rows, gpu: rows > 4, GPU)
    parts, _ = learned(tmp_path / "parts", task, None)
    assert roomy(parts) == [("batch_halved", "C", 0, 2), ("batch_halved", "C", 0, 4)]
    assert not moved
    same_learning(parts, whole)


@pytest.mark.faults(
    "the GPU has no room for C at all, from its second update on",
    expect="parts of a sixteenth, then C moves to the CPU and learns there as before; no fallback",
)
def test_what_no_part_makes_fit_moves_to_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = learned(tmp_path / "whole", REAL, None)
    moved = short_of_memory(monkeypatch, lambda call, rows, gpu: gpu and call > 5, GPU)
    parts, _ = learned(tmp_path / "parts", REAL, None)
    halved = [("batch_halved", "C", 1, parts) for parts in (2, 4, 8, 16)]
    assert roomy(parts) == [*halved, ("moved_to_cpu", "C", 1, 1)]
    assert moved == ["cpu"]
    same_learning(parts, whole)


@pytest.mark.faults(
    "the host has no memory for C's gradients however small",
    expect="five tries, then the stage fails with what is left of the memory; C's rate is its own",
)
def test_no_memory_on_the_host_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = short_of_memory(monkeypatch, lambda call, rows, gpu: True, HOST)
    with pytest.raises(StageFailure, match="learning C ran out of memory") as failure:
        learned(tmp_path, REAL, None)
    assert failure.value.evidence["memory"]["available"] > 0
    assert not moved


@pytest.mark.faults(
    "practice is {how} after C took smaller parts and left the GPU",
    expect="it goes on in these parts and on the CPU, and ends bit for bit as if it had not been",
)
@pytest.mark.parametrize(("how", "killed"), [("stopped", False), ("killed", True)])
@pytest.mark.parametrize("task", [REAL, replace(REAL, training=replace(REAL.training, reuse=3))])
def test_a_resumed_practice_keeps_its_parts_and_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, killed: bool, task: TaskConfig
) -> None:
    ctx = []
    for ticks, place in ((None, "whole"), (30 if killed else 17, "parts")):
        with monkeypatch.context() as patched:
            moved = short_of_memory(patched, lambda call, rows, gpu: gpu, GPU)
            ctx.append(learned(tmp_path / place, task, ticks, killed)[0])
            assert (len(moved) > 1) == (place == "parts")  # once in each life
    whole, parts = ctx
    expected, found = whole.place.completed(stage.NAME), parts.place.completed(stage.NAME)
    assert found.meta == expected.meta
    assert found.meta["thrifty"] == {"parts": 1, "device": "cpu"}
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    assert told(parts) == told(whole)


@pytest.mark.parametrize("blameless", [False, True])
def test_only_what_c_did_costs_its_rate(blameless: bool) -> None:
    told: list[float] = []
    healer = Healer(None, lambda event, **facts: told.append(facts["learning_rate"]), "learning C")
    facts: dict[str, Any] = {"step": 3, "at": 3, "rate": 0.5, "advice": "look", "evidence": {}}
    for number in range(1, MAX_IN_A_ROW + 1):
        healer.went_wrong("it was NaN", blameless=blameless, **facts)
        factor = 1.0 if blameless else 0.5**number
        assert (healer.health.rate_factor, told[-1]) == (factor, 0.5 * factor)
        assert (healer.health.rollbacks, healer.health.in_a_row) == (number, number)
    with pytest.raises(StageFailure, match="it was NaN; look"):
        healer.went_wrong("it was NaN", blameless=blameless, **facts)


def test_what_c_was_shown_is_to_blame_where_it_is_not_finite() -> None:
    features = np.zeros((2, 1, 3), np.float32)
    rollout = Rollout(
        features=features,
        actions=np.zeros((2, 1), np.int64),
        rewards=np.zeros((2, 1), np.float32),
        terminated=np.zeros((2, 1), bool),
        truncated=np.zeros((2, 1), bool),
        last_features=features[0],
        cut_at=np.zeros((0, 2), np.int64),
        cut_features=features[0, :0],
    )
    assert not_finite(rollout) == ""
    bad = features.copy()
    bad[1, 0, 2] = np.nan
    assert not_finite(replace(rollout, features=bad)) == "features"
    assert not_finite(replace(rollout, rewards=np.full((2, 1), np.inf, np.float32))) == "rewards"
