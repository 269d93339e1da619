"""Practice with real parts whose memory does not suffice, or whose M meets what is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from curriculum.learning.counters import Counters

from curriculum.collecting.rollouts import not_finite
from curriculum.config.schema import TaskConfig
from curriculum.errors import StageFailure
from curriculum.learning.healing import MAX_IN_A_ROW
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext
from models.interfaces import NonFiniteLoss, Prediction, Rollout, SequenceBatch
from tests.learning.practising import learned, pole, told

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

REAL = pole(updates=3)
RECALL = pole(features=("z", "dz"), branches=4, memory_updates=2, recall_steps=20)
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
    events = [e for e in ctx.ledger.events() if e["event"] in ("batch_halved", "moved_to_cpu")]
    return [(e["event"], e["part"], e["step"], e["parts"]) for e in events]


def same_learning(found: StageContext, expected: StageContext) -> None:
    """Compares the metrics of all updates and what was committed, to the rounding of sums."""
    metrics = [ctx.ledger.events("metrics") for ctx in (found, expected)]
    for ours, theirs in zip(*metrics, strict=True):
        assert ours["values"] == pytest.approx(theirs["values"], rel=1e-3, abs=1e-5)
    arrays = [ctx.completed(stage.NAME).arrays for ctx in (found, expected)]
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
    assert not parts.ledger.events("rolled_back")
    same_learning(parts, whole)


@pytest.mark.faults(
    "C's gradients fit into the GPU's memory only four steps at a time, in dreams as well",
    expect="halved until they fit, once for all updates; what is learned is the same",
)
@pytest.mark.parametrize("task", [REAL, pole(branches=4, branch_steps=3, branch_updates=2)])
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
    expected, found = whole.completed(stage.NAME), parts.completed(stage.NAME)
    assert found.meta == expected.meta
    assert found.meta["thrifty"] == {"parts": 1, "device": "cpu"}
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    assert told(parts) == told(whole)


def sick_memory(
    monkeypatch: pytest.MonkeyPatch, sick: Callable[[int, float], Exception | None]
) -> None:
    """Lets M's updates fail where `sick` says so of their number and M's rate; a NaN is real."""
    from models.mdnrnn import MDNRNN

    update, calls = MDNRNN.update, 0

    def meeting(memory: MDNRNN, batch: SequenceBatch, rng: np.random.Generator) -> Any:
        nonlocal calls
        calls += 1
        error = sick(calls, memory.learning_rate)
        if isinstance(error, NonFiniteLoss):
            batch = replace(batch, rewards=np.full_like(batch.rewards, np.nan))
        elif error is not None:
            raise error
        return update(memory, batch, rng)

    monkeypatch.setattr(MDNRNN, "update", meeting)


RATE = RECALL.mdnrnn.learning_rate


@pytest.mark.faults(
    "a batch of M's is NaN while M goes on learning beside C",
    expect="M goes back and learns on at half its rate; C's rate and healing are untouched",
)
def test_a_nan_of_m_is_m_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nan = NonFiniteLoss("really met")
    sick_memory(monkeypatch, lambda call, rate: nan if call >= 4 and rate == RATE else None)
    ctx, _ = learned(tmp_path, RECALL, None)
    (event,) = ctx.ledger.events("rolled_back")
    assert (event["part"], event["step"], event["learning_rate"]) == ("M", 1, RATE / 2)
    assert "nan" in event["reason"]
    commit = ctx.completed(stage.NAME)
    counters = commit.meta["practice"]
    assert (counters["rate_factor"], counters["rollbacks"], counters["in_a_row"]) == (1.0, 0, 0)
    assert commit.meta["refresher"]["rate_factor"] == 0.5
    # Two updates in each of four turns; the fifth was taken back with the good one before it.
    assert int(commit.arrays["dreamer/updates"]) == 2 * 4
    assert all(np.isfinite(array).all() for array in commit.arrays.values())


@pytest.mark.faults(
    "all of M's batches are NaN while it goes on learning beside C",
    expect="M is taken back 6 times, then stays as it is and C goes on to its end",
)
def test_m_that_nothing_mends_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(RECALL, training=replace(RECALL.training, total_steps=9 * 24))
    sick_memory(monkeypatch, lambda call, rate: NonFiniteLoss("really met"))
    ctx, _ = learned(tmp_path, task, None)
    events = ctx.ledger.events("rolled_back")
    assert [e["part"] for e in events] == ["M"] * (MAX_IN_A_ROW + 1)
    assert ["then" in e for e in events] == [False] * MAX_IN_A_ROW + [True]
    commit = ctx.completed(stage.NAME)
    assert commit.meta["practice"]["updates"] == 9
    assert commit.meta["practice"]["rate_factor"] == 1.0
    assert int(commit.arrays["dreamer/updates"]) == 0


@pytest.mark.faults(
    "memory does not suffice for M while it goes on learning beside C",
    expect="M takes smaller parts, C does not; resumed bit for bit",
)
def test_m_s_batches_are_halved_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = []
    for ticks, place in ((None, "whole"), (30, "parts")):
        with monkeypatch.context() as patched:
            sick_memory(patched, lambda call, rate: MemoryError("no room") if call == 4 else None)
            ctx.append(learned(tmp_path / place, RECALL, ticks)[0])
    whole, parts = ctx
    assert roomy(whole) == [("batch_halved", "M", 1, 2)]
    expected, found = whole.completed(stage.NAME), parts.completed(stage.NAME)
    assert expected.meta["thrifty"]["parts"] == 1
    assert expected.meta["refresher"]["parts"] == 2
    assert found.meta == expected.meta
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)


@pytest.mark.faults(
    "M imagines NaN rewards in the short dreams that C learns from, {when}",
    expect="{then}",
)
@pytest.mark.parametrize(
    ("when", "then", "sick", "refreshed"),
    [
        ("once", "M goes back at half its rate, C's stays", range(3, 4), True),
        ("always, while M rests", "the stage fails and names M", range(1, 999), False),
    ],
)
def test_what_m_imagines_is_m_s(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    then: str,
    sick: Sequence[int],
    refreshed: bool,
) -> None:
    from models.mdnrnn import MDNRNN

    predict, calls = MDNRNN.predict, 0

    def imagining(*args: Any) -> Prediction:
        nonlocal calls
        calls += 1
        found = predict(*args)
        return replace(found, rewards=found.rewards * np.nan) if calls in sick else found

    monkeypatch.setattr(MDNRNN, "predict", imagining)
    task = replace(RECALL, training=replace(RECALL.training, memory_updates=2 if refreshed else 0))
    if not refreshed:
        with pytest.raises(StageFailure, match=r"M imagines .* mdnrnn.learning_rate"):
            learned(tmp_path, task, None)
        return
    ctx, _ = learned(tmp_path, task, None)
    (event,) = ctx.ledger.events("rolled_back")
    assert (event["part"], event["learning_rate"]) == ("M", RATE / 2)
    assert ctx.completed(stage.NAME).meta["practice"]["rate_factor"] == 1.0


@pytest.mark.parametrize("foreign", [False, True])
def test_only_what_c_did_costs_its_rate(foreign: bool) -> None:
    counters = Counters()
    for number in range(1, MAX_IN_A_ROW + 1):
        counters = counters.left_out("it was NaN", foreign=foreign)
        assert counters.rate_factor == (1.0 if foreign else 0.5**number)
        assert (counters.rollbacks, counters.in_a_row) == (number, number)
    way_out = "look at what gives them" if foreign else "lower ppo.learning_rate"
    with pytest.raises(StageFailure, match=f"it was NaN; {way_out}"):
        counters.left_out("it was NaN", foreign=foreign)


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
