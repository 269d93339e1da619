"""What V and M begin from: the weights of the task before where they fit, told once, for good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from curriculum.config.schema import Config, CurriculumConfig, MDNRNNConfig, TaskConfig
from curriculum.errors import NoCheckpoint
from curriculum.place import Place
from curriculum.stages.stage import StageContext
from curriculum.stages.transfer import Source, begun_from
from models.interfaces import State
from tests.places import place_in

BEFORE = Source("pong", 0)


class Model:
    """A V or M of one weight vector, one mean over data and one moment."""

    def __init__(self, size: int, *, single_pass: bool = False) -> None:
        self.latent_size, self.single_pass = 4, single_pass
        self._size = size

    def state(self) -> State:
        return learned(self._size, 0.0)


def learned(size: int, value: float) -> State:
    weight = np.full(size, value, np.float32)
    return {"weight.a": weight, "mean_frame": weight[:1], "adam.first.a": weight}


def context(
    place: Place, asked: str = "world", *, sees: int = 3, remembers: int = 5, **how: Any
) -> StageContext:
    """The context of a stage whose V and M have so many weights."""
    trained = how.pop("trained", True)
    backend: Any = SimpleNamespace(
        make_vision=lambda *args: Model(sees, **how),
        make_memory=lambda *args: Model(remembers, **how),
    )
    spec: Any = SimpleNamespace(action=SimpleNamespace(size=2))
    executor: Any = None
    return StageContext(
        place=place,
        config=Config(curriculum=CurriculumConfig(transfer=asked)),
        task=TaskConfig(place.task, mdnrnn=MDNRNNConfig(trained=trained)),
        backend=backend,
        states={},
        spec=spec,
        executor=executor,
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The vision stage of breakout, in a run that has finished pong."""
    here = place_in(tmp_path / "run", "breakout", "FULL", "vision")
    before = replace(here, task="pong")
    before.store.save(learned(3, 7.0), {}, complete=True)
    before.at("memory").store.save(learned(5, 8.0), {}, complete=True)
    parameters = {"parameters": np.zeros(2), "learner/weight.a": np.zeros(9)}
    before.at("controller").store.save(parameters, {}, complete=True)
    return here


def told(place: Place) -> list[tuple[str, bool, str]]:
    return [(e["stage"], e["taken"], e["reason"]) for e in place.ledger.events("transferred")]


def inherited(ctx: StageContext, source: Source | None = BEFORE) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in begun_from(ctx, source).inherited.items()}


def test_weights_are_taken_and_nothing_that_belongs_to_the_data_of_the_other_task(
    place: Place,
) -> None:
    assert inherited(context(place)) == {"weight.a": [7.0] * 3}
    assert inherited(context(place.at("memory"))) == {"weight.a": [8.0] * 5}
    assert told(place) == [("vision", True, ""), ("memory", True, "")]


@pytest.mark.parametrize(
    ("asked", "stages"), [("none", set()), ("vision", {"vision"}), ("world", {"vision", "memory"})]
)
def test_only_what_was_asked_for_is_taken(place: Place, asked: str, stages: set[str]) -> None:
    took = {s for s in ("vision", "memory") if inherited(context(place.at(s), asked))}
    assert took == stages == {stage for stage, _, _ in told(place)}


@pytest.mark.parametrize("stage", ["collect", "encode", "controller", "evaluate"])
def test_other_stages_begin_as_ever(place: Place, stage: str) -> None:
    ctx = context(place.at(stage))
    assert begun_from(ctx, BEFORE) is ctx and not told(place)


def test_later_rounds_of_an_attempt_go_on_from_their_own(place: Place) -> None:
    later = context(place.at("vision", 1))
    assert begun_from(later, BEFORE) is later and not told(place)
    another = context(replace(place, round=1, first_round=1))
    assert inherited(another) == {"weight.a": [7.0] * 3}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"sees": 4}, "weight.a is float32 4 here and float32 3 there"),
        ({"single_pass": True}, "it is learned in closed form, from all data at once"),
    ],
)
def test_what_does_not_fit_begins_anew_and_says_why(
    place: Place, how: dict[str, Any], reason: str
) -> None:
    assert not inherited(context(place, **how))
    assert told(place) == [("vision", False, reason)]
    assert not inherited(context(place.at("memory"), **how))
    assert "V began anew" in told(place)[1][2]


def test_a_memory_of_another_size_begins_anew_though_v_does_not(place: Place) -> None:
    assert inherited(context(place))
    assert not inherited(context(place.at("memory"), remembers=6))
    assert told(place)[1] == ("memory", False, "weight.a is float32 6 here and float32 5 there")


def test_a_memory_that_stays_random_stays_its_own(place: Place) -> None:
    assert inherited(context(place, trained=False))
    assert not inherited(context(place.at("memory"), trained=False))
    assert "mdnrnn.trained is false" in told(place)[1][2]


def test_the_first_task_begins_from_nothing(place: Place) -> None:
    assert not inherited(context(place), None)
    assert told(place) == [("vision", False, "no task was finished before in this mode")]
    # What finishes later changes nothing that was decided.
    assert not inherited(context(place))
    assert len(told(place)) == 1


def test_what_was_decided_is_decided_for_good(place: Place) -> None:
    first = inherited(context(place))
    assert inherited(context(place), Source("other", 3)) == first
    assert inherited(context(place), None) == first
    assert len(told(place)) == 1


def damage(place: Place) -> None:
    for path in place.directory.glob("commits/*/state.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])


def test_a_source_that_is_damaged_is_left_and_one_that_was_decided_for_is_an_error(
    place: Place,
) -> None:
    before = replace(place, task="pong")
    first = context(place)
    begun_from(first, BEFORE)
    damage(before)
    with pytest.raises(NoCheckpoint, match="vision is damaged"):
        begun_from(first, BEFORE)
    elsewhere = context(replace(place, task="carracing"))
    assert not inherited(elsewhere)
    assert "what pong learned cannot be read" in told(place)[-1][2]


def test_a_v_that_learned_on_with_c_is_taken_as_the_agent_held_it(place: Place) -> None:
    there = replace(place, task="pong", stage="controller")
    both = {"parameters": np.zeros(2), "vision/weight.a": np.full(3, 9.0, np.float32)}
    there.store.save(both, {}, complete=True)
    assert inherited(context(place)) == {"weight.a": [9.0] * 3}
