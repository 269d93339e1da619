from __future__ import annotations

import pytest

from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.mode import Decision, Mode
from curriculum.records.verdict import judge, not_run

TASK = TaskConfig(
    name="pong",
    env_id="PongNoFrameskip-v4",
    target=18.0,
    simulation_target=3.0,
    env=EnvConfig(simulation="pong"),
)
USED = {"env_steps": 10, "dream_steps": 5, "seconds": 1.5}


def facts(score: float) -> dict:
    scores = [score - 1, score + 1]
    return {
        "score": score,
        "interval": [score - 1, score + 1],
        "scores": scores,
        "policy": "greedy",
    }


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
    verdict = judge(TASK, Decision(mode, requested, ()), facts(score), USED)
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
