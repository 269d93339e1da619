"""A score has one type from the episodes to the report, and is written as it always was."""

from __future__ import annotations

import json

import numpy as np
import pytest

from curriculum.agent.episodes import Episode
from curriculum.agent.playing import judged
from curriculum.records.evaluation import Evaluation, policy_name
from curriculum.records.facts import WrongFact


def evaluation(scores: list[float], **facts: object) -> Evaluation:
    rng = np.random.default_rng(0)
    return Evaluation.of(scores, policy="greedy", confidence=0.95, rng=rng, **facts)  # type: ignore


def test_known_scores_have_a_known_mean_and_spread() -> None:
    found = evaluation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], steps=80)
    assert (found.score, found.std, found.lowest, found.highest) == (5.0, 2.0, 2.0, 9.0)
    assert (found.episode_steps, found.evaluation_steps) == (10.0, 80)
    assert found.interval[0] < 5.0 < found.interval[1]
    assert (policy_name(False), policy_name(True)) == ("greedy", "sampled")


def test_a_file_holds_the_same_keys_as_ever_and_gives_it_back() -> None:
    other = evaluation([1.0, 3.0], steps=2)
    found = evaluation([1.0, 3.0], steps=2, other=other)
    facts = found.to_facts()
    assert list(facts) == [
        *("score", "interval", "confidence", "scores", "evaluation_steps", "policy", "other"),
    ]
    assert "other" not in facts["other"]
    assert Evaluation.from_facts(json.loads(json.dumps(facts))) == found
    assert found.both == (found, other) and other.both == (other,)


def test_what_earlier_versions_wrote_is_read() -> None:
    found = Evaluation.from_facts({"score": 3, "interval": [1, 5], "gone": True})
    assert found == Evaluation(3.0, (1.0, 5.0))
    assert found.scores == () and found.evaluation_steps is None


def test_what_a_mean_hides_is_told() -> None:
    """Six games by head: two are the same, two more have an equal score but another length."""
    games = [(3.0, 50), (3.0, 50), (3.0, 70), (9.0, 90), (0.0, 4000), (12.0, 10)]
    lives, barren = (4, 4, 0, 4, 2, 0), (10, 1000, 20, 30, 1001, 5)
    episodes = [
        Episode(n, score, steps, terminated=steps != 4000, lives_lost=lost, barren_steps=stretch)
        for n, ((score, steps), lost, stretch) in enumerate(zip(games, lives, barren, strict=True))
    ]
    rng = np.random.default_rng(0)
    found = judged(episodes, policy="greedy", confidence=0.95, rng=rng)
    assert (found.score, found.median, found.lowest, found.highest) == (5.0, 3.0, 0.0, 12.0)
    assert (found.distinct_scores, found.distinct_games) == (4, 5)
    assert (found.cut, found.looping) == (1, 1), "1,000 steps without a reward are no loop yet"
    assert found.lives_played == 14 / 6 + 1
    assert found.evaluation_steps == sum(steps for _, steps in games)
    assert found.interval == evaluation([score for score, _ in games]).interval
    facts = json.loads(json.dumps(found.to_facts()))
    assert Evaluation.from_facts(facts) == found
    damaged = Evaluation.from_facts({**facts, "lengths": facts["lengths"][1:]})
    assert damaged.distinct_games is None, "lengths of other episodes tell nothing"


def test_where_nobody_counted_nothing_is_claimed() -> None:
    found = evaluation([1.0, 2.0])
    assert (found.distinct_games, found.lives_played, found.cut, found.looping) == (None,) * 4
    assert found.distinct_scores == 2


@pytest.mark.parametrize(
    "facts",
    [
        None,
        {},
        {"score": "nan", "interval": [0, 1]},
        {"score": float("nan"), "interval": [0, 1]},
        {"score": 1.0, "interval": [0, float("inf")]},
        {"score": 1.0, "interval": [0, 1, 2]},
        {"score": 1.0, "interval": [0, 1], "scores": ["x"]},
        {"score": 1.0, "interval": [0, 1], "scores": [float("nan")]},
        {"score": 1.0, "interval": [0, 1], "other": {"score": 1.0}},
    ],
)
def test_what_is_no_evaluation_is_refused_or_told_as_none(facts: object) -> None:
    with pytest.raises(WrongFact):
        Evaluation.from_facts(facts)
    assert Evaluation.told(facts) is None


def test_an_evaluation_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        evaluation([])
