"""What a card says of an agent whose run tried several times, or began from another task's."""

from __future__ import annotations

from typing import Any

from curriculum.cli.card import card
from curriculum.config.schema import Config, CurriculumConfig, TaskConfig
from curriculum.pretrained.bundle import Bundle
from tests.records.samples import facts_of


def bundle(*events: dict[str, Any], round: int = 2, rounds: int = 2) -> Bundle:
    """An agent of the second attempt in a run of two rounds each."""
    task = TaskConfig("pong", "PongNoFrameskip-v4", "pixels", target=18.0)
    curriculum = CurriculumConfig(mode="FULL", rounds=rounds, tasks=("pong",))
    told = tuple({"t": 1.79e9, **event} for event in events)
    return Bundle(
        Config(curriculum=curriculum, tasks=(task,)), "FULL", round=round, learned={}, events=told
    )


def test_the_rounds_of_an_agent_are_those_of_its_attempt() -> None:
    rounds = {n: list(bundle(round=n).rounds) for n in range(4)}
    assert rounds == {0: [0], 1: [0, 1], 2: [2], 3: [2, 3]}


def test_a_card_tells_of_other_attempts_and_of_what_v_began_from() -> None:
    tried = [{"number": n, "round": 2 * n - 1, "verdict": "missed"} for n in (1, 2)]
    verdict = {"event": "verdict", **facts_of("verdict", attempt=2, attempts=tried, round=2)}
    took = facts_of("transferred", round=2, taken=True, reason="")
    transferred = {"event": "transferred", **took}
    text = card(bundle(verdict, transferred), "")
    assert "It is of attempt 2 of 2 with different seeds" in text
    assert "pong FULL vision round 3 begins from the weights of breakout" in text
    for other in ({"round": 0}, {"taken": False}):
        left = card(bundle({**verdict, "attempts": []}, {**transferred, **other}), "")
        assert "begins from" not in left and "attempt 2" not in left
