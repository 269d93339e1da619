from __future__ import annotations

from dataclasses import replace

import pytest

from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.errors import RunIOError
from curriculum.mode import Decision, Mode
from curriculum.records.evaluation import Evaluation
from curriculum.records.verdict import evaluation_of, judge, not_run

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
