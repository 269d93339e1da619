from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.errors import ExitCode, StageFailure, Stopped
from curriculum.learning.healing import MAX_IN_A_ROW, MAX_ROLLBACKS, LossHistory
from curriculum.learning.windows import (
    MAX_REFUSED,
    METRICS_EVERY,
    Shuffle,
    learn,
    planned_updates,
)
from curriculum.records.commit import CommitStore
from curriculum.seeds import generator
from curriculum.stops import Barrier
from models.interfaces import NonFiniteLoss, OutOfDeviceMemory


def shuffle(count: int, batch: int) -> Shuffle:
    return Shuffle(count, batch, lambda number: generator(0, number))


@given(st.integers(1, 60), st.integers(1, 20))
def test_every_pass_takes_every_item_once(count: int, batch: int) -> None:
    batches = shuffle(count, batch)
    for which in range(3):
        numbers = range(which * batches.batches_per_pass, (which + 1) * batches.batches_per_pass)
        taken = np.concatenate([batches.batch(n) for n in numbers])
        assert sorted(taken.tolist()) == list(range(count))


@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 200))
def test_a_batch_depends_on_its_number_alone(count: int, batch: int, number: int) -> None:
    straight = shuffle(count, batch)
    for earlier in range(number):
        straight.batch(earlier)
    assert straight.batch(number).tolist() == shuffle(count, batch).batch(number).tolist()


def test_closed_form_learners_see_all_data_once_whatever_is_asked() -> None:
    batches = shuffle(100, 32)
    assert planned_updates(batches, epochs=9, max_steps=2, single_pass=True) == 4
    assert planned_updates(batches, epochs=9, max_steps=0, single_pass=False) == 36
    assert planned_updates(batches, epochs=9, max_steps=10, single_pass=False) == 10


class Adder:
    """Sums the numbers of its updates in one pass; some of them are refused."""

    single_pass = True

    def __init__(self, refuses: frozenset[int] = frozenset()) -> None:
        self.total = 0
        self.refuses = refuses

    def update(self, number: int) -> dict[str, float]:
        if number in self.refuses:
            raise NonFiniteLoss(f"update {number}")
        self.total += number
        return {"loss": float(number)}

    def finish(self) -> dict[str, float]:
        return {"total": float(self.total)}

    def state(self) -> dict[str, np.ndarray]:
        return {"total": np.array(self.total)}

    def load_state(self, state) -> None:
        self.total = int(state["total"])


class Walker(Adder):
    """An `Adder` with a learning rate: its loss is what it is told, and its state shows the rate.

    Args:
        losses: loss of an update by its number, where it is not 1; a function of the rate.
        device: where it computes; on cuda a batch of more than `fits` rows does not fit.
    """

    single_pass = False

    def __init__(self, losses=None, device: str = "cpu", rows: int = 64, fits: int = 64) -> None:
        super().__init__()
        self.learning_rate, self.parts, self.device = 1.0, 1, device
        self.losses = losses or {}
        self.rows, self.fits = rows, fits

    def update(self, number: int) -> dict[str, float]:
        if self.device == "cuda" and self.rows / self.parts > self.fits:
            raise OutOfDeviceMemory("tried to allocate 2 GiB")
        loss = self.losses.get(number, lambda rate: 1.0)(self.learning_rate)
        if not np.isfinite(loss):
            raise NonFiniteLoss(f"update {number}: {loss}")
        self.total += number * self.learning_rate / self.parts
        return {"loss": loss}

    def move_to(self, device: str) -> None:
        self.device = device

    def load_state(self, state) -> None:
        self.total = float(state["total"])


def context(directory: Path) -> Any:
    """Returns the part of a Place that `learn` uses, with a list of its events."""
    events: list[tuple[str, dict]] = []
    return SimpleNamespace(
        stage="vision",
        store=CommitStore(directory),
        barrier=Barrier(0.0),
        say=lambda *a, **k: None,
        record=lambda event, **facts: events.append((event, facts)),
        events=events,
    )


def named(ctx: Any, name: str) -> list[dict]:
    return [facts for event, facts in ctx.events if event == name]


@pytest.fixture
def ctx(tmp_path: Path) -> Any:
    return context(tmp_path)


def stop_at(ctx: Any, numbers: set[int], update: Callable) -> Callable:
    """Asks for a stop during the first update of each number; then lets it pass."""

    def stopping(number: int) -> dict[str, float]:
        if number in numbers:
            numbers.discard(number)
            ctx.barrier.request_stop(ExitCode.RESUMABLE)
        return update(number)

    return stopping


def test_refused_updates_are_counted_recorded_and_survived(ctx) -> None:
    adder = Adder(frozenset({3, 4, 11}))
    learned = learn(ctx, adder, 20, adder.update)
    assert learned.metrics["total"] == sum(range(20)) - 18
    assert learned.facts["refused"] == 3
    assert [f["step"] for f in named(ctx, "update_refused")] == [4, 5, 12]


def test_too_many_refused_in_a_row_fail_the_stage(ctx) -> None:
    adder = Adder(frozenset(range(20, 20 + MAX_REFUSED)))
    with pytest.raises(StageFailure, match="in a row"):
        learn(ctx, adder, 40, adder.update)


def test_commits_hold_the_states_of_boundaries_only(ctx) -> None:
    committed: list[int] = []
    save = ctx.store.save
    ctx.store.save = lambda arrays, meta, **k: (
        committed.append(meta["updates"]),
        save(arrays, meta, **k),
    )
    adder = Adder()
    with pytest.raises(Stopped):
        learn(ctx, adder, 120, stop_at(ctx, {85}, adder.update))
    assert set(committed) == {0, METRICS_EVERY, 2 * METRICS_EVERY, 3 * METRICS_EVERY}
    commit = ctx.store.latest()
    assert commit.meta["updates"] == 75
    assert commit.arrays["total"] == sum(range(75))


HEALED = {60: lambda rate: np.nan if rate > 0.5 else 1.0}
EXPLODED = {n: lambda rate: 1e4 if rate > 0.5 else 1.0 for n in range(85, 110)}
TWICE = {30: lambda rate: np.inf if rate > 0.3 else 1.0}


@pytest.mark.parametrize("losses", [{}, HEALED, EXPLODED, TWICE])
@pytest.mark.parametrize("stops", [{0}, {1, 30}, {24, 25, 26, 61, 99}, {60, 85, 109, 129}])
def test_a_stopped_stage_ends_and_reports_as_one_that_was_not(tmp_path, losses, stops) -> None:
    whole, parts = context(tmp_path / "whole"), context(tmp_path / "parts")
    walker = Walker(losses)
    expected = learn(whole, walker, 130, walker.update)
    wanted, runs = set(stops), 0
    while True:
        resumed, runs = Walker(losses), runs + 1
        try:
            found = learn(parts, resumed, 130, stop_at(parts, wanted, resumed.update))
            break
        except Stopped:
            parts.barrier = Barrier(0.0)
    assert runs > 1
    assert found == expected
    assert resumed.state() == walker.state()
    for name in ("metrics", "rolled_back"):
        assert named(parts, name) == named(whole, name)


def test_a_rollback_halves_the_rate_and_does_the_same_updates_again(ctx) -> None:
    walker = Walker(HEALED)
    learned = learn(ctx, walker, 75, walker.update)
    assert walker.learning_rate == 0.5
    assert learned.metrics["total"] == sum(range(50)) + 0.5 * sum(range(50, 75))
    (event,) = named(ctx, "rolled_back")
    assert (event["step"], event["at"], event["learning_rate"]) == (50, 60, 0.5)
    assert "nan" in event["reason"]


def test_learning_that_no_rate_mends_fails_with_evidence(ctx) -> None:
    walker = Walker({60: lambda rate: np.nan})
    with pytest.raises(StageFailure, match="wrong 6 times, 6 of them in a row") as failure:
        learn(ctx, walker, 75, walker.update)
    assert failure.value.evidence["at"] == 60
    assert failure.value.evidence["learning_rate"] == 2.0**-MAX_IN_A_ROW
    assert len(named(ctx, "rolled_back")) == MAX_IN_A_ROW


def test_good_windows_between_them_do_not_excuse_endless_rollbacks(ctx) -> None:
    fails = {25 * k: lambda rate, k=k: np.nan if rate > 2.0**-k - 1e-9 else 1.0 for k in range(99)}
    walker = Walker(fails)
    with pytest.raises(StageFailure, match=f"wrong {MAX_ROLLBACKS + 1} times, 1 of them"):
        learn(ctx, walker, 25 * 99, walker.update)


def test_a_batch_too_large_for_the_gpu_is_halved_until_it_fits(tmp_path: Path) -> None:
    whole, parts = context(tmp_path / "whole"), context(tmp_path / "parts")
    walker = Walker(device="cuda", fits=20)
    expected = learn(whole, walker, 60, walker.update)
    assert [e["parts"] for e in named(whole, "batch_halved")] == [2, 4]
    assert expected.facts["parts"] == 4
    stopped, resumed = Walker(device="cuda", fits=20), Walker(device="cuda", fits=20)
    with pytest.raises(Stopped):
        learn(parts, stopped, 60, stop_at(parts, {40}, stopped.update))
    parts.barrier = Barrier(0.0)
    assert learn(parts, resumed, 60, resumed.update) == expected
    assert len(named(parts, "batch_halved")) == 2


def test_what_no_part_makes_fit_moves_to_the_cpu_and_stays_there(ctx) -> None:
    stopped, resumed = Walker(device="cuda", fits=1), Walker(device="cuda", fits=1)
    with pytest.raises(Stopped):
        learn(ctx, stopped, 60, stop_at(ctx, {40}, stopped.update))
    assert [e["parts"] for e in named(ctx, "batch_halved")] == [2, 4, 8, 16]
    assert len(named(ctx, "moved_to_cpu")) == 1
    ctx.barrier = Barrier(0.0)
    learned = learn(ctx, resumed, 60, resumed.update)
    assert (resumed.device, resumed.parts) == ("cpu", 1)
    assert learned.facts["device"] == "cpu"
    assert learned.metrics["total"] == sum(range(60))


def test_no_memory_on_the_host_fails_the_stage_with_numbers(ctx) -> None:
    def update(number: int) -> dict[str, float]:
        raise MemoryError("unable to allocate 9 GiB")

    with pytest.raises(StageFailure, match=r"9 GiB.* of .*B .*are left") as failure:
        learn(ctx, Walker(), 10, update)
    assert failure.value.evidence["memory"]["available"] > 0


def past(*losses: float, first: float | None = None) -> LossHistory:
    return LossHistory(losses[0] if first is None else first, losses)


@given(st.floats(1e-3, 1e6), st.integers(3, 8))
def test_a_loss_that_grows_with_a_linear_warm_up_has_not_exploded(slope: float, count: int) -> None:
    ramp = [slope * (n + 1) for n in range(count)]
    assert not past(*ramp).exploded([slope * (count + 2)] * 25)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=8), st.floats(-5, 5))
def test_losses_within_the_size_of_the_first_ones_have_not_exploded(before, now) -> None:
    assert not past(*before, first=5.0).exploded([now] * 25)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=8), st.floats(-5, 5))
def test_losses_far_beyond_all_before_have_exploded(before, first) -> None:
    assert past(*before, first=first).exploded([1.0] * 10 + [1e3] * 15)


def test_one_rare_reward_is_no_explosion_and_two_windows_are_no_past() -> None:
    before = past(1.0, 1.1, 0.9, 1.0)
    assert not before.exploded([0.0] * 24 + [500.0])
    assert before.exploded([0.0] * 20 + [1e5, *[3.0] * 4]), "it came back, but from too far"
    assert not past(1.0, 1.0).exploded([1e9] * 25)


def test_what_does_not_fit_into_the_host_s_memory_is_halved(ctx, tmp_path: Path) -> None:
    walker = Walker(device="cuda")
    update = walker.update

    def short(number: int) -> dict[str, float]:
        if walker.parts < 4 and number >= 30:
            raise MemoryError("Unable to allocate 2 GiB")
        return update(number)

    learned = learn(ctx, walker, 60, short)
    assert [e["parts"] for e in named(ctx, "batch_halved")] == [2, 4]
    assert (learned.facts["parts"], walker.device) == (4, "cuda")

    def never(number: int) -> dict[str, float]:
        raise MemoryError("Unable to allocate 2 GiB")

    walker = Walker(device="cuda")
    with pytest.raises(StageFailure, match="ran out of memory") as failure:
        learn(context(tmp_path / "other"), walker, 60, never)
    assert failure.value.evidence["memory"]["available"] > 0
    assert walker.device == "cuda"
