"""What an agent has learned has the same names in commits and in an agent that is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from curriculum.records.agent_state import (
    as_part,
    foreign,
    learned_by,
    learned_part,
    missing,
    part_of,
    with_moments_of,
    without_moments,
)
from curriculum.records.commit import CommitStore
from models.interfaces import State

VISION = {"encoder": np.ones(3), "decoder": np.ones(2), "adam.encoder": np.full(3, 7.0)}
MEMORY = {"lstm": np.ones(4), "adam.lstm": np.full(4, 7.0)}
LEARNING = {"learner/adam.c": np.ones(5), "averaged": np.ones(5), "tape/actions": np.ones(6)}
C = {"parameters": np.arange(5.0)}


def same(found: State, wanted: State) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(found[n], wanted[n]) for n in found)


def committed(path: Path, arrays: State) -> State:
    store = CommitStore(path)
    store.save(arrays, {}, complete=True)
    commit = store.latest()
    assert commit is not None
    return commit.arrays


def test_a_controllers_commit_is_told_apart_from_what_only_learning_needs(tmp_path: Path) -> None:
    arrays = committed(tmp_path, {**LEARNING, **C})
    assert same(learned_part(arrays), C)
    wanted = {**as_part("vision", VISION), **as_part("memory", MEMORY), **C}
    assert same(learned_by(VISION, MEMORY, arrays), wanted)


def test_a_v_that_learned_with_c_goes_with_it(tmp_path: Path) -> None:
    changed = as_part("vision", {"encoder": np.full(3, 2.0)})
    arrays = committed(tmp_path, {**LEARNING, **C, **changed})
    found = without_moments(learned_by(VISION, MEMORY, arrays))
    assert same(part_of(found, "vision"), {"encoder": np.full(3, 2.0), "decoder": np.ones(2)})
    assert same(part_of(found, "memory"), {"lstm": np.ones(4)})
    assert np.array_equal(found["parameters"], C["parameters"])


def test_what_is_shipped_is_loaded_with_the_moments_of_a_model_that_learned_nothing() -> None:
    fresh = {"encoder": np.zeros(3), "decoder": np.zeros(2), "adam.encoder": np.zeros(3)}
    shipped = part_of(without_moments(as_part("vision", VISION)), "vision")
    assert shipped.keys() == {"encoder", "decoder"}
    assert same(with_moments_of(fresh, shipped), {**VISION, "adam.encoder": np.zeros(3)})
    assert same(with_moments_of(fresh, VISION), VISION)


def test_what_is_no_part_of_an_agent_and_what_it_lacks_are_named() -> None:
    assert foreign({**LEARNING, **C, **as_part("vision", VISION)}) == list(LEARNING)
    assert missing({**C, **as_part("vision", VISION), **as_part("memory", MEMORY)}) == []
    assert missing({"memory/lstm": np.ones(1), "visions": np.ones(1)}) == ["vision", "parameters"]
