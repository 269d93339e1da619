from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.errors import ExitCode, StageFailure, Stopped
from curriculum.records.commit import CommitStore
from curriculum.seeds import generator
from curriculum.stages.learning import MAX_REFUSED, Shuffle, learn, planned_updates
from curriculum.stops import Barrier
from models.interfaces import NonFiniteLoss


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
    """Learns the sum of the numbers of its updates; some of them are refused."""

    single_pass = False

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


@pytest.fixture
def ctx(tmp_path):
    events: list[tuple[str, dict]] = []
    return SimpleNamespace(
        store=CommitStore(tmp_path),
        barrier=Barrier(0.0),
        say=lambda *a, **k: None,
        record=lambda event, **facts: events.append((event, facts)),
        events=events,
    )


@pytest.mark.parametrize("stop_at", [0, 1, 7, 19])
def test_a_stopped_stage_goes_on_as_if_it_had_not_been(ctx, stop_at: int) -> None:
    stopped = Adder()

    def update(number: int) -> dict[str, float]:
        if number == stop_at:
            ctx.barrier.request_stop(ExitCode.RESUMABLE)
        return stopped.update(number)

    with pytest.raises(Stopped):
        learn(ctx, stopped, 20, update)
        ctx.barrier.reached(lambda: None)
    ctx.barrier = Barrier(0.0)
    resumed = Adder()
    metrics, facts = learn(ctx, resumed, 20, resumed.update)
    assert metrics["total"] == sum(range(20))
    assert facts == {"updates": 20, "refused": 0}


def test_refused_updates_are_counted_recorded_and_survived(ctx) -> None:
    adder = Adder(frozenset({3, 4, 11}))
    metrics, facts = learn(ctx, adder, 20, adder.update)
    assert metrics["total"] == sum(range(20)) - 18
    assert facts["refused"] == 3
    assert [f["step"] for e, f in ctx.events if e == "update_refused"] == [3, 4, 11]


def test_too_many_refused_in_a_row_fail_the_stage(ctx) -> None:
    adder = Adder(frozenset(range(5, 5 + MAX_REFUSED)))
    with pytest.raises(StageFailure, match="in a row"):
        learn(ctx, adder, 40, adder.update)
