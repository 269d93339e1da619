"""The mode decision is total and monotone, and a forced mode is never replaced."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curriculum.mode import LADDER, Decision, Mode, TaskNeeds, decide, step_down

NAMES = ("torch", "vae", "mdnrnn", "gymnasium", "ale_py", "box2d", "controller_cpu")
names = st.sampled_from(NAMES)
some = st.lists(names, unique=True, max_size=4).map(tuple)
states = st.dictionaries(
    names, st.sampled_from(["ok", "slow", "missing", "broken", "timeout", "crashed", "lied"])
)
needs = st.builds(TaskNeeds, some, some, some, st.booleans())
requests = st.sampled_from(["auto", *Mode])


def rank(decision: Decision) -> int:
    return 0 if decision.mode is None else len(LADDER) - LADDER.index(decision.mode)


@given(st.dictionaries(st.text(), st.text()) | states, needs, requests)
def test_every_input_leads_to_a_decision_with_reasons(found, task, requested) -> None:
    decision = decide(found, task, requested)
    assert decision.requested == requested
    best = LADDER[0] if requested == "auto" else requested
    assert bool(decision.reasons) == (decision.mode != best)
    if decision.mode is not None:
        assert all(found.get(c) in ("ok", "slow") for c in task.of(decision.mode))
        assert decision.mode is not Mode.SIMULATION or task.simulated


@given(states, needs, requests, st.sets(names))
def test_a_component_that_gets_well_never_lowers_the_mode(found, task, requested, mended) -> None:
    better = {**found, **dict.fromkeys(mended, "ok")}
    assert rank(decide(better, task, requested)) >= rank(decide(found, task, requested))


@given(states, needs, st.sampled_from(Mode))
def test_a_forced_mode_is_that_mode_or_none(found, task, requested) -> None:
    decision = decide(found, task, requested)
    assert decision.mode in (requested, None)
    if decision.mode is None:
        assert decision.missing or not task.simulated


@given(states, needs)
def test_auto_takes_the_best_mode_that_could_be_forced(found, task) -> None:
    forced = [decide(found, task, mode).mode for mode in LADDER]
    assert decide(found, task).mode == next((m for m in forced if m is not None), None)


@given(states, needs, requests, st.text(min_size=1))
def test_stepping_down_is_strict_recorded_and_ends(found, task, requested, reason) -> None:
    decision = decide(found, task, requested)
    while decision.mode is not None:
        lower = step_down(decision, task, found, reason)
        assert rank(lower) < rank(decision)
        assert reason in lower.reasons[-1]
        assert lower.mode is None or all(
            found.get(c) in ("ok", "slow") for c in task.of(lower.mode)
        )
        decision = lower
    assert step_down(decision, task, found, reason) == decision


def test_a_reason_names_the_cause_and_what_it_said() -> None:
    needs = TaskNeeds(("gymnasium",), ("torch", "vae", "mdnrnn"))
    found = {"torch": "broken", "vae": "broken", "mdnrnn": "broken"}
    found |= dict.fromkeys(("gymnasium", "controller_cpu"), "ok")
    details = {"torch": "OSError: no libtorch.so"}
    details |= dict.fromkeys(("vae", "mdnrnn"), "not probed: torch is broken")
    decision = decide(found, needs, details=details)
    said = "FULL is not possible: torch is broken (OSError: no libtorch.so)"
    assert decision.reasons == (said,)
    assert decision.missing == ("torch", "vae", "mdnrnn")
    assert decision.because == said
    found["torch"] = "slow"
    details = {"vae": "died of SIGSEGV", "mdnrnn": ""}
    found |= {"vae": "crashed", "mdnrnn": "ok"}
    reason = decide(found, needs, details=details).because
    assert reason == "FULL is not possible: vae is crashed (died of SIGSEGV)"
    assert decide(found, needs, "GYM_ONLY", details).because == "mode GYM_ONLY was asked for"


def test_a_forced_mode_that_fails_in_the_run_is_not_replaced() -> None:
    from curriculum.mode import Decision, Mode, TaskNeeds, step_down

    needs = TaskNeeds(("gymnasium",), ("torch",))
    states = dict.fromkeys(("gymnasium", "torch", "controller_cpu"), "ok")
    forced = step_down(Decision(Mode.FULL, "FULL", ()), needs, states, "it broke")
    assert forced.mode is None and "it broke" in forced.reasons[-1]
    free = step_down(Decision(Mode.FULL, "auto", ()), needs, states, "it broke")
    assert free.mode is Mode.GYM_ONLY
