"""A place in a run: its streams, its directory and its commits follow from the place alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.place import Place
from tests.places import place_in


def test_streams_differ_by_place_and_by_nothing_else(tmp_path: Path) -> None:
    here = place_in(tmp_path / "run", "pong", "FULL", "controller")
    elsewhere = [
        here.at("collect"),
        here.at("controller", 1),
        replace(here, task="breakout"),
        replace(here, seed=1),
    ]
    drawn = [place.rng("act", 3).random() for place in (here, *elsewhere)]
    assert len(set(drawn)) == len(drawn)
    assert here.rng("act", 3).random() == replace(here, mode="GYM_ONLY").rng("act", 3).random()
    assert here.rng("act", 4).random() != drawn[0]
    assert here.env_seeds("check", 2, count=3) == [here.env_seed("check", 2, n) for n in range(3)]
    # A model begins the same in every round and stage.
    assert here.model_seed("vision") == here.at("vision", 5).model_seed("vision")


def test_an_attempt_has_rounds_streams_and_models_of_its_own(tmp_path: Path) -> None:
    first = place_in(tmp_path / "run", "pong", "FULL", "vision")
    second = replace(first, round=2, first_round=2)
    assert (first.fresh, first.at("vision", 1).fresh, second.fresh) == (True, False, True)
    assert list(first.at("vision", 1).rounds) == [0, 1]
    assert list(second.at("vision", 3).rounds) == [2, 3]
    assert second.directory.parent.name == "round-02"
    assert second.model_seed("vision") != first.model_seed("vision")
    assert second.model_seed("vision") == second.at("controller", 3).model_seed("vision")


def test_collected_data_belong_to_the_environment_and_the_rest_to_the_mode(tmp_path: Path) -> None:
    real = place_in(tmp_path / "run", "pong", "GYM_ONLY", "collect")
    simulated = replace(real, mode="SIMULATION", simulated=True)
    assert real.directory == replace(real, mode="FULL").directory
    assert simulated.directory != real.directory
    assert real.at("vision").directory != replace(real, mode="FULL").at("vision").directory
    assert real.at("collect", 1).directory != real.directory


def test_a_result_that_is_missing_unfinished_or_damaged_is_told_apart(tmp_path: Path) -> None:
    place = place_in(tmp_path / "run", "pong", "FULL", "evaluate")
    with pytest.raises(ConfigError, match="pong: stage evaluate needs the result of stage memory"):
        place.completed("memory")
    there = place.at("memory")
    there.store.save({"weight": np.ones(3)}, {})
    with pytest.raises(ConfigError, match="run the stages in order"):
        place.completed("memory")
    there.store.save({"weight": np.arange(3.0)}, {}, complete=True)
    assert place.completed("memory").arrays["weight"].tolist() == [0.0, 1.0, 2.0]
    for path in there.directory.glob("commits/*/state.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(NoCheckpoint, match="the result of stage memory is damaged"):
        place.completed("memory")
    told = place.ledger.events("commit_rejected")
    assert told and {event["stage"] for event in told} == {"memory"}


def test_a_place_that_is_only_looked_at_tells_nobody(tmp_path: Path) -> None:
    run = place_in(tmp_path / "run", "pong", "FULL", "vision").rundir
    before = sorted(path.name for path in run.path.rglob("*"))
    place = Place.to_look_at(run, "pong", "FULL", 0, simulated=False)
    place.record("notice", text="nobody hears this")
    place.say(1, 2, "updates")
    assert sorted(path.name for path in run.path.rglob("*")) == before
    assert place.directory.parent.name == "round-00"
