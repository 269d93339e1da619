from __future__ import annotations

from dataclasses import replace

import pytest

from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.errors import RunIOError
from curriculum.mode import Decision, Mode
from curriculum.records.evaluation import Evaluation
from curriculum.records.verdict import Verdict, counting, evaluation_of, judge, not_run

TASK = TaskConfig(
    name="pong",
    env_id="PongNoFrameskip-v4",
    target=18.0,
    simulation_target=3.0,
    env=EnvConfig(simulation="pong"),
)
USED = {"env_steps": 10, "dream_steps": 5, "seconds": 1.5}


def played(score: float) -> Evaluation:
    around = (score - 1, score + 1)
    return Evaluation(score, around, scores=around, policy="greedy")


@pytest.mark.parametrize(
    ("mode", "requested", "score", "expected"),
    [
        (Mode.FULL, "auto", 18.0, "passed"),
        (Mode.FULL, "auto", 17.9, "missed"),
        (Mode.GYM_ONLY, "auto", 20.0, "degraded"),
        (Mode.GYM_ONLY, "GYM_ONLY", 20.0, "passed"),
        (Mode.GYM_ONLY, "GYM_ONLY", 3.0, "missed"),
        (Mode.SIMULATION, "SIMULATION", 3.0, "passed"),
        (Mode.SIMULATION, "auto", 21.0, "degraded"),
        (Mode.SIMULATION, "auto", 2.0, "missed"),
        (Mode.GYM_ONLY, "FULL", 20.0, "degraded"),
    ],
)
def test_a_lower_mode_never_passes_for_the_one_that_was_wanted(
    mode: Mode, requested: str, score: float, expected: str
) -> None:
    verdict = judge(TASK, Decision(mode, requested, ()), played(score), USED)
    assert verdict.verdict == expected
    assert verdict.met == (expected == "passed")
    assert verdict.mode == mode.value
    simulated = mode is Mode.SIMULATION
    assert verdict.target == (3.0 if simulated else 18.0)
    assert verdict.env_id == ("simulation/pong" if simulated else "PongNoFrameskip-v4")


def attempts_at(*scores: float | None) -> list[Verdict]:
    """Verdicts of attempts that each used ten steps."""
    decision, made = Decision(Mode.FULL, "auto", ()), []
    for number, score in enumerate(scores, 1):
        used = {"env_steps": 10 * number, "dream_steps": 0, "seconds": 1.0 * number}
        judged = judge(TASK, decision, played(0.0 if score is None else score), used)
        if score is None:
            failed = not_run(TASK, replace(decision, reasons=("it diverged",)))
            judged = replace(failed, **used)
        made.append(replace(judged, attempt=number, round=None if score is None else number - 1))
    return made


@pytest.mark.parametrize(
    ("scores", "counts", "verdict"),
    [
        ((17.0,), 1, "missed"),
        ((17.0, 18.0), 2, "passed"),
        ((-5.0, -20.0, -7.0), 1, "missed"),
        ((3.0, 9.0, 9.0, 4.0), 2, "missed"),
        ((-3.0, None), 1, "missed"),
        ((-3.0, None, -2.0), 3, "missed"),
    ],
)
def test_the_attempt_that_passed_counts_else_the_best_and_all_are_paid_for(
    scores: tuple[float | None, ...], counts: int, verdict: str
) -> None:
    found = counting(attempts_at(*scores))
    assert (found.attempt, found.verdict, found.score) == (counts, verdict, scores[counts - 1])
    assert (found.env_steps, found.seconds) == (10 * len(scores), float(len(scores)))
    several = len(scores) > 1
    assert [a.score for a in found.attempts] == (list(scores) if several else [])
    assert [a.reason for a in found.attempts if a.score is None] == ["it diverged"] * scores.count(
        None
    )


def test_what_did_not_run_has_no_score_and_keeps_its_reasons() -> None:
    verdict = not_run(TASK, Decision(None, "auto", ("box2d is missing",)))
    assert (verdict.score, verdict.episodes, verdict.met) == (None, 0, False)
    assert verdict.reasons == ("box2d is missing",)


def test_the_other_way_of_acting_is_told_and_does_not_judge() -> None:
    best = replace(played(17.0), other=replace(played(20.0), policy="sampled"))
    verdict = judge(TASK, Decision(Mode.FULL, "auto", ()), best, USED)
    assert (verdict.verdict, verdict.score, verdict.policy) == ("missed", 17.0, "greedy")
    assert (verdict.other_score, verdict.other_policy) == (20.0, "sampled")
    assert (verdict.interval, verdict.other_interval) == ((16.0, 18.0), (19.0, 21.0))
    assert verdict.episodes == 2


def test_a_result_that_is_no_evaluation_is_refused_with_the_task_and_a_way_out() -> None:
    with pytest.raises(RunIOError, match=r"evaluation of pong .*`score` is missing.*result\.json"):
        evaluation_of(TASK, {"interval": [0, 1]})
