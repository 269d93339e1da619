"""What an agent has learned has the same names in commits and in an agent that is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curriculum.records.agent_state import AgentState, foreign, missing, with_moments_of
from curriculum.records.commit import CommitStore

VISION = {"encoder": np.ones(3), "decoder": np.ones(2), "adam.encoder": np.full(3, 7.0)}
MEMORY = {"lstm": np.ones(4), "adam.lstm": np.full(4, 7.0)}
LEARNING = {"learner/adam.c": np.ones(5), "averaged": np.ones(5), "tape/actions": np.ones(6)}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(found[n], wanted[n]) for n in found)


def test_a_controllers_commit_is_told_apart_from_what_only_learning_needs(tmp_path: Path) -> None:
    deployed = AgentState(np.arange(5.0))
    store = CommitStore(tmp_path)
    store.save({**LEARNING, **deployed.arrays()}, {}, complete=True)
    commit = store.latest()
    assert commit is not None
    assert list(deployed.arrays()) == ["parameters"]
    found = AgentState.learned(VISION, MEMORY, commit.arrays)
    assert same(found.arrays(), AgentState(np.arange(5.0), VISION, MEMORY).arrays())


def test_a_v_that_learned_with_c_goes_with_it(tmp_path: Path) -> None:
    deployed = AgentState(np.arange(5.0), vision={"encoder": np.full(3, 2.0)})
    store = CommitStore(tmp_path)
    store.save({**LEARNING, **deployed.arrays()}, {})
    commit = store.latest()
    assert commit is not None
    assert same(AgentState.of(commit.arrays).vision, deployed.vision)
    found = AgentState.learned(VISION, MEMORY, commit.arrays).without_moments()
    assert same(found.vision, {"encoder": np.full(3, 2.0), "decoder": np.ones(2)})
    assert same(found.memory, {"lstm": np.ones(4)})
    assert same(AgentState.of(found.arrays()).arrays(), found.arrays())


def test_what_is_shipped_is_loaded_with_the_moments_of_a_model_that_learned_nothing() -> None:
    fresh = {"encoder": np.zeros(3), "decoder": np.zeros(2), "adam.encoder": np.zeros(3)}
    shipped = AgentState(np.zeros(1), VISION).without_moments().vision
    loaded = with_moments_of(fresh, shipped)
    assert same(loaded, {**VISION, "adam.encoder": np.zeros(3)})


def test_what_is_no_part_of_an_agent_and_what_it_lacks_are_named() -> None:
    assert foreign({**LEARNING, **AgentState(np.zeros(1), VISION).arrays()}) == list(LEARNING)
    assert missing(AgentState(np.zeros(1), VISION, MEMORY).arrays()) == []
    assert missing({"memory/lstm": np.ones(1), "visions": np.ones(1)}) == ["vision", "parameters"]
    with pytest.raises(KeyError, match="parameters"):
        AgentState.of(LEARNING)
