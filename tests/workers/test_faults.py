"""Whatever workers do, the rollout goes on: to the last bit where that is possible."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.envs.workers import share
from curriculum.errors import StageFailure
from tests.workers import walks
from tests.workers.conftest import children, in_workers, names, roll

STEPS = 60
SEED = 103
"""Of the second environment's first episode, which is 28 steps long."""


@pytest.mark.faults(
    "an environment's worker: {how}, once",
    expect="recorded as {told}, replaced; episodes equal to the last bit",
)
@pytest.mark.parametrize(
    ("how", "told", "words"),
    [
        ("killed", "env_worker_died", "was killed by SIGKILL"),
        ("exits", "env_worker_died", "exited with code 3"),
        ("aborts", "env_worker_died", "in recv"),
        ("stopped", "env_worker_hung", "deadline of 2 s"),
        ("loops", "env_worker_hung", "in _loop"),
        ("raises", "env_worker_raised", "the walker fell"),
    ],
)
def test_rollout_survives_what_happens_once(
    how: str, told: str, words: str, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    args = (how, SEED, 9, str(tmp_path / "mark"))
    env = in_workers(walks.troubled, args, 4, 2, deadline_s=2.0, on_event=events.append)
    assert roll(env, STEPS) == roll(walks.walk(4), STEPS)
    env.close()
    assert names(events) == [told, "env_worker_replaced"]
    first, replaced = events
    assert first["worker"] == replaced["worker"] == 0
    assert first["environments"] == replaced["environments"] == [0, 1]
    assert (replaced["seeds"], replaced["steps"]) == ([100, SEED], 8)
    assert words in first["how"] + first["log"] + first["traceback"]
    json.dumps(events)


@pytest.mark.faults(
    "signal {number} to environment workers in {moment}",
    expect="recorded, replaced; episodes equal to the last bit",
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("moment", ["send", "recv", "reset"])
def test_rollout_survives_signals_at_any_moment(
    number: signal.Signals, moment: str, events: list[dict[str, Any]]
) -> None:
    env = in_workers(walks.walk, (), 4, 2, deadline_s=2.0, on_event=events.append)

    def disturb(step: int, now: str) -> None:
        if (step, now) == (25, moment):
            for child in children()[: 2 if number == signal.SIGKILL else 1]:
                child.send_signal(number)

    assert roll(env, STEPS, disturb) == roll(walks.walk(4), STEPS)
    env.close()
    killed = ["env_worker_died", "env_worker_replaced"] * 2
    hung = ["env_worker_hung", "env_worker_replaced"]
    assert names(events) == (killed if number == signal.SIGKILL else hung)


@pytest.mark.gym
@pytest.mark.faults(
    "the worker of a real LunarLander is killed in an episode",
    expect="replaced; the episode goes on to the last bit",
)
def test_real_environment_survives_a_kill() -> None:
    env = in_workers(walks.lander, (), 2, 1)

    def disturb(step: int, now: str) -> None:
        if (step, now) == (90, "recv"):
            children()[0].kill()

    alone = walks.lander(2)
    assert roll(env, 150, disturb) == roll(alone, 150)
    env.close()
    alone.close()


@pytest.mark.faults(
    "environment workers are killed at random, again and again",
    expect="each replaced; episodes equal to the last bit",
)
def test_rollout_survives_many_kills(events: list[dict[str, Any]]) -> None:
    rng = np.random.default_rng(3)
    env = in_workers(walks.walk, (), 5, 2, on_event=events.append)

    def disturb(step: int, now: str) -> None:
        if rng.random() < 0.04:
            rng.choice(np.asarray(children(), object)).kill()

    assert roll(env, 100, disturb) == roll(walks.walk(5), 100)
    env.close()
    assert names(events).count("env_worker_replaced") >= 5
    assert "env_episodes_cut" not in names(events)


@pytest.mark.faults(
    "a worker dies; replaying its episode outlasts a step's deadline",
    expect="replaced; the episode goes on to the last bit",
)
def test_replay_may_take_longer_than_the_deadline_of_a_step(events: list[dict[str, Any]]) -> None:
    env = in_workers(walks.slow, (0.1,), 1, 1, deadline_s=1.0, on_event=events.append)

    def disturb(step: int, now: str) -> None:
        if (step, now) == (15, "send"):
            children()[0].kill()

    assert roll(env, 20, disturb) == roll(walks.walk(1), 20)
    env.close()
    assert names(events) == ["env_worker_died", "env_worker_replaced"]
    assert events[1]["steps"] * 0.1 > 1.0


@pytest.mark.faults(
    "an episode goes wrong at the same step every time",
    expect="cut as truncated and recorded; all other episodes are untouched",
)
def test_episode_that_always_fails_is_cut_and_the_run_goes_on(
    events: list[dict[str, Any]],
) -> None:
    env = in_workers(walks.troubled, ("raises", SEED, 9, ""), 4, 2, on_event=events.append)
    calm = walks.walk(4)
    before = env.reset([100, SEED, 106, 109])
    calm.reset([100, SEED, 106, 109])
    actions = np.ones(4, np.int64)
    facts = None
    for _ in range(8):
        before, facts = (last := env.step(actions)).observations, last.facts
        calm.step(actions)
    step, undisturbed = env.step(actions), calm.step(actions)
    assert step.truncated.tolist() == [True, True, False, False]
    assert not step.terminated.any()
    assert step.rewards[:2].tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(step.observations[:2], before[:2])
    assert step.facts is not None and facts is not None and facts[:2, 0].all()
    np.testing.assert_array_equal(step.facts[:2], facts[:2])
    for mine, other in zip(step, undisturbed, strict=True):
        np.testing.assert_array_equal(mine[2:], other[2:])
    assert names(events) == [
        "env_worker_raised",
        "env_worker_replaced",
        "env_worker_raised",
        "env_episodes_cut",
        "env_worker_replaced",
    ]
    assert events[3]["environments"] == [0, 1]
    assert events[3]["seeds"] == [100, SEED]
    assert "the walker fell" in events[3]["reason"]
    parked = env.step(actions)
    assert not parked.truncated[:2].any()
    np.testing.assert_array_equal(parked.observations[:2], before[:2])
    calm.step(actions)
    # The next episodes are those that would have come next anyway.
    np.testing.assert_array_equal(env.reset(None, [0, 1])[:2], calm.reset(None, [0, 1])[:2])
    for _ in range(20):
        for mine, other in zip(env.step(actions), calm.step(actions), strict=True):
            np.testing.assert_array_equal(mine, other)
    env.close()
    json.dumps(events)


@pytest.mark.faults(
    "an environment never works: {how}",
    expect="StageFailure after 2 restarts; no process is left",
)
@pytest.mark.parametrize("how", ["raises", "exits", "stopped", "killed"])
def test_environment_that_never_works_is_a_failure(how: str, events: list[dict[str, Any]]) -> None:
    env = in_workers(
        walks.never_works, (how,), 2, 2, deadline_s=1.0, max_restarts=2, on_event=events.append
    )
    with pytest.raises(StageFailure, match="2 times and not one step") as caught:
        for _ in range(5):
            env.reset([1, 2])
            env.step(np.zeros(2, np.int64))
    assert caught.value.evidence["environments"] == [0]
    if how == "raises":
        assert "the walker fell" in caught.value.evidence["traceback"]
    # A death that the environment need not have caused is no reason to give up an episode.
    assert ("env_episodes_cut" in names(events)) == (how != "killed")
    json.dumps(caught.value.evidence)
    assert children() == []
    with pytest.raises(RuntimeError, match="closed"):
        env.reset([1, 2])


@pytest.mark.faults(
    "an environment's reset always raises",
    expect="StageFailure with the environment's own words",
)
def test_reset_that_always_fails_is_a_failure() -> None:
    env = in_workers(walks.troubled, ("raises", 7, 0, ""), 2, 1, max_restarts=2)
    env.reset([1, 2])
    env.step(np.zeros(2, np.int64))
    with pytest.raises(StageFailure, match="the walker fell"):
        env.reset([7], [1])


@pytest.mark.faults(
    "a worker dies; its environment replays other {what}",
    expect="that episode is cut and recorded; the others are untouched",
)
@pytest.mark.parametrize("what", ["observations", "ends"])
def test_episodes_that_are_not_deterministic_are_cut(
    what: str, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    mark = tmp_path / "replaying"
    args = (SEED, what if what == "observations" else str(mark))
    env = in_workers(walks.fickle, args, 3, 1, on_event=events.append)
    calm, actions = walks.walk(3), np.ones(3, np.int64)
    env.reset([100, SEED, 106])
    calm.reset([100, SEED, 106])
    for _ in range(6):
        before = env.step(actions).observations
        calm.step(actions)
    mark.touch()
    children()[0].kill()
    step, undisturbed = env.step(actions), calm.step(actions)
    assert step.truncated.tolist() == [False, True, False]
    assert step.rewards[1] == 0.0
    np.testing.assert_array_equal(step.observations[1], before[1])
    for mine, other in zip(step, undisturbed, strict=True):
        np.testing.assert_array_equal(mine[[0, 2]], other[[0, 2]])
    assert names(events) == ["env_worker_died", "env_episodes_cut", "env_worker_replaced"]
    assert events[1]["environments"] == [1]
    assert "not deterministic" in events[1]["reason"]
    env.close()


@pytest.mark.faults(
    "a worker dies in a reset; an episode replays otherwise",
    expect="the next step tells that it was cut, once",
)
def test_cut_that_happens_in_a_reset_is_told_by_the_next_step() -> None:
    env = in_workers(walks.fickle, (SEED, "observations"), 3, 1)
    env.reset([100, SEED, 106])
    actions = np.ones(3, np.int64)
    before = env.step(actions).observations
    children()[0].kill()
    shown = env.reset([5], [0])
    np.testing.assert_array_equal(shown[1:], before[1:])
    step = env.step(actions)
    assert step.truncated.tolist() == [False, True, False]
    assert not env.step(actions).truncated.any()
    env.close()


@pytest.mark.faults(
    "an environment leaks memory",
    expect="its worker is replaced in time; episodes equal to the last bit",
)
def test_leaking_worker_is_replaced_and_nobody_notices(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(share, "_CHECK_RESETS", 4)
    env = in_workers(
        walks.leaking, (8 << 20,), 4, 2, recycle_growth_bytes=40 << 20, on_event=events.append
    )
    assert roll(env, 400) == roll(walks.walk(4), 400)
    env.close()
    assert set(names(events)) == {"env_worker_recycled"}
    assert {event["worker"] for event in events} == {0, 1}
    assert all(event["grown_bytes"] > 40 << 20 for event in events)
    json.dumps(events)
