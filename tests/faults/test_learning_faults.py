"""Learning that goes wrong: losses, memory and environments that give what cannot be learned from.

All runs are real ones of the command line. A plugin next to the configuration lets real inputs be
NaN, real weights be torn or real memory be asked for; what then happens is the program's own doing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curriculum.learning.healing import MAX_IN_A_ROW
from curriculum.learning.windows import METRICS_EVERY
from curriculum.records.commit import CommitStore
from tests.faults.conftest import Sandbox, make_place

gym = pytest.mark.gym
RATE = 0.001
"""Of the configuration below."""

PLUGIN = '''\
import os
import sys
from dataclasses import replace
from functools import wraps

import gymnasium
import numpy as np
from curriculum.envs.registry import register_env
from curriculum.agent import work
from models.echo import EchoMemory
from models.normaliser import StateVision

DEED, _, GIVEN = os.environ["TROUBLE"].partition("=")


class Walk(gymnasium.Env):
    """A point to be kept near the origin, some of whose numbers may be no numbers."""

    observation_space = gymnasium.spaces.Box(-9, 9, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    episodes = 0

    def __init__(self, **kwargs):
        self.at = np.zeros(3, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        Walk.episodes += 1
        self.at, self.steps = self.np_random.normal(size=3).astype(np.float32), 0
        return self.at.copy(), {}

    def step(self, action):
        self.steps += 1
        self.at = self.at + np.float32([0.3 if action else -0.3, *self.np_random.normal(size=2)])
        shown, reward = np.clip(self.at, -9, 9), 1.0 - abs(float(self.at[0])) / 9
        if self.steps == 7 and DEED in ("observation", "reward") and Walk.episodes >= int(GIVEN):
            shown[1] = np.nan if DEED == "observation" else shown[1]
            reward = np.nan if DEED == "reward" else reward
        return shown, reward, bool(abs(self.at[0]) > 4), self.steps == 30, {}


register_env("Walk-v0", Walk)


def before(owner, name, act):
    """Lets `act` see, and replace, the arguments of the calls of a method, counted from 1."""
    original, calls = getattr(owner, name), 0

    @wraps(original)
    def acted(*args):
        nonlocal calls
        calls += 1
        return original(*(act(calls, *args) or args))

    setattr(owner, name, acted)


def poison(batch):
    return replace(batch, rewards=np.full_like(batch.rewards, np.nan))


if DEED == "sequences":
    first, last = map(int, GIVEN.split("-"))

    def sick(call, memory, batch, *rest):
        return (memory, poison(batch), *rest) if first <= call <= last else None

    before(EchoMemory, "update", sick)

if DEED in ("nan", "always_nan", "torn", "gpu"):
    import torch
    from models.mdnrnn import MDNRNN

if DEED in ("nan", "always_nan"):
    rates = []

    def sick(call, memory, batch, *rest):
        rates.append(memory.learning_rate)
        fresh = memory.learning_rate == rates[0] or DEED == "always_nan"
        return (memory, poison(batch), *rest) if call >= int(GIVEN) and fresh else None

    before(MDNRNN, "update", sick)

if DEED == "torn":

    def tear(call, memory, *rest):
        if call == int(GIVEN):
            with torch.no_grad():
                for weights in memory._network.parameters():
                    weights.mul_(30.0)

    before(MDNRNN, "update", tear)

if DEED == "gpu":
    calls, rows, moved, backward = 0, 0, [], torch.autograd.backward
    MDNRNN.device = property(lambda memory: "cpu" if moved else "cuda")

    def watch(call, memory, heads, part):
        global calls, rows
        calls, rows = call, len(part.mask)

    before(MDNRNN, "_losses", watch)
    before(MDNRNN, "move_to", lambda call, *args: moved.append(1))

    def short_of_memory(*args, **kwargs):
        """Has room for two sequences, and later, as if others had come, for none."""
        backward(*args, **kwargs)
        if not moved and rows > (2 if calls < int(GIVEN) else 0):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    torch.autograd.backward = short_of_memory


def too_much(call, *args):
    """Asks for what no machine has, and is really refused."""
    if call == 1 or GIVEN.endswith("always"):
        np.ones(1 << 50)


STAGES = {
    "vision": (StateVision, "update"),
    "encode": (StateVision, "encode"),
    "memory": (EchoMemory, "update"),
    "controller": (work, "measure_fitness"),
    "evaluate": (work, "play_episodes"),
}
if DEED == "memory":
    before(*STAGES[GIVEN.partition(",")[0]], too_much)
'''

WALK = """\
name: tiny
seed: 3
curriculum: {mode: %s, workers: 0, device: cpu, tasks: [walk], max_retries: 1, plugins: [trouble]}
tasks: {walk: {env_id: Walk-v0, observation: state, target: 500}}
env: {num_envs: 2, max_episode_steps: 30}
collect: {num_random_rollouts: 8, max_steps_per_rollout: 30}
mdnrnn: {epochs: 200, max_steps: 110, batch_size: 8, sequence_length: 4, rnn_size: 8}
controller:
  population_size: 4
  rollouts_per_candidate: 1
  generations: 2
  max_steps_per_rollout: 20
  check_every: 0
  check_episodes: 2
dream: {max_steps: 20}
evaluate: {episodes: 3}
"""


def run_walk(place: Sandbox, mode: str, trouble: str, *sets: str, code: int = 3) -> None:
    """Runs the configuration above in a mode, with something in it that will go wrong."""
    for module in ("gymnasium", "torch") if mode == "FULL" else ("gymnasium",):
        pytest.importorskip(module)
    (place.path / "trouble.py").write_text(PLUGIN, encoding="utf-8")
    (place.path / "tiny.yaml").write_text(WALK % mode, encoding="utf-8")
    done = place.begin(*sets, env={"TROUBLE": trouble})
    assert done.code == code, done.err
    assert "Traceback" not in done.err


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> float:
    """The score of the run in GYM_ONLY that nothing happened to."""
    place = make_place(tmp_path_factory.mktemp("healthy"))
    run_walk(place, "GYM_ONLY", "nothing")
    return verdict(place)["score"]


def verdict(place: Sandbox) -> dict[str, Any]:
    """Returns the verdict's facts, after a look at what was committed: it has to be finite."""
    for stage in place.run.glob("tasks/*/*/round-*/*"):
        commit = CommitStore(stage).latest()
        for name, array in commit.arrays.items() if commit else ():
            assert array.dtype.kind != "f" or np.isfinite(array).all(), (stage.name, name)
    (event,) = place.events("verdict")
    return event


def memory_facts(place: Sandbox) -> dict[str, Any]:
    (done,) = (e for e in place.events("stage_done") if e["stage"] == "memory")
    return done["facts"]


@gym
@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.faults(
    "a batch of M's learning gives a NaN loss",
    expect="rolled back to the last boundary, done again at half the rate; exit 3 with a score",
)
def test_a_nan_loss(place: Sandbox) -> None:
    run_walk(place, "FULL", "nan=60")
    (event,) = place.events("rolled_back")
    assert (event["stage"], event["step"], event["at"]) == ("memory", 50, 59)
    assert "nan" in event["reason"]
    facts = memory_facts(place)
    assert (facts["updates"], facts["rollbacks"]) == (110, 1)
    assert facts["learning_rate"] == event["learning_rate"] == RATE * 0.5
    assert verdict(place)["verdict"] == "missed"


@gym
@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.faults(
    "from one batch on, M's loss is NaN whatever the rate",
    expect="5 rollbacks at half the rate each, the attempt fails, one retry, then not_run, exit 3",
)
def test_a_nan_loss_that_no_rate_mends(place: Sandbox) -> None:
    run_walk(place, "FULL", "always_nan=60")
    rates = [e["learning_rate"] for e in place.events("rolled_back")]
    assert rates == [RATE * 0.5**n for n in range(1, MAX_IN_A_ROW + 1)] * 2
    failures = place.events("stage_failed")
    assert [(e["stage"], e["left"]) for e in failures] == [("memory", 1), ("memory", 0)]
    assert "lower the learning rate" in failures[0]["reason"]
    assert verdict(place)["verdict"] == "not_run"


@gym
@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.faults(
    "M's weights are torn in its learning: the loss explodes but is finite",
    expect="the window is rolled back at half the rate; exit 3 with a score",
)
def test_an_exploding_loss(place: Sandbox) -> None:
    run_walk(place, "FULL", "torn=90")
    (event,) = place.events("rolled_back")
    assert (event["stage"], event["step"]) == ("memory", 75)
    assert "mean loss" in event["reason"]
    facts = memory_facts(place)
    assert (facts["updates"], facts["learning_rate"]) == (110, RATE * 0.5)
    assert verdict(place)["verdict"] == "missed"


@gym
@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.faults(
    "M's batches stop fitting into the GPU's memory, then not even a sequence fits (simulated)",
    expect="the batch is halved as often as it takes, then M moves to the CPU; exit 3 with a score",
)
def test_no_memory_on_the_gpu(place: Sandbox) -> None:
    run_walk(place, "FULL", "gpu=260")
    events = place.events("batch_halved", "moved_to_cpu")
    assert [(e["event"], e["parts"]) for e in events] == [
        *(("batch_halved", parts) for parts in (2, 4, 8, 16)),
        ("moved_to_cpu", 1),
    ]
    assert [e["step"] for e in events[:2]] == [0, 0]
    assert all(0 < e["step"] < 110 and e["step"] % METRICS_EVERY == 0 for e in events[2:])
    facts = memory_facts(place)
    assert (facts["updates"], facts["device"], facts["parts"]) == (110, "cpu", 1)
    assert verdict(place)["verdict"] == "missed"


@gym
@pytest.mark.faults(
    "{many} batches in a row that a learner without a rate meets are NaN",
    expect="refused and recorded; {then}",
)
@pytest.mark.parametrize(
    ("many", "then"), [(3, "a score, exit 3"), (10, "given up after 10, then not_run, exit 3")]
)
def test_nan_sequences(place: Sandbox, many: int, then: str) -> None:
    # The retry begins anew and would find the eleventh batch in order.
    again = "curriculum.max_retries=0"
    run_walk(place, "GYM_ONLY", f"sequences=2-{many + 1}", "mdnrnn.batch_size=2", again)
    refused = place.events("update_refused")
    assert [e["in_a_row"] for e in refused] == list(range(1, many + 1))
    assert verdict(place)["verdict"] == ("not_run" if "not_run" in then else "missed")
    if many == 3:
        assert memory_facts(place)["refused"] == 3


@gym
@pytest.mark.faults(
    "the host has no memory left in stage {stage}, once",
    expect="recorded with the numbers, done again, and the scores of the run without",
)
@pytest.mark.parametrize("stage", ["vision", "encode", "memory", "controller", "evaluate"])
def test_no_memory_on_the_host(place: Sandbox, healthy: float, stage: str) -> None:
    run_walk(place, "GYM_ONLY", f"memory={stage}")
    failed = place.events("stage_failed", "unit_failed")
    assert len(failed) == 1
    assert "Unable to allocate 8.00 PiB" in failed[0]["reason"]
    assert verdict(place)["score"] == healthy


@gym
@pytest.mark.faults(
    "the host has no memory left in stage vision, always",
    expect="retried once, then exit 7 with what is left of the memory; resumed, it tries again",
)
def test_never_any_memory_on_the_host(place: Sandbox) -> None:
    run_walk(place, "GYM_ONLY", "memory=vision,always", code=7)
    failures = place.events("stage_failed")
    assert [(e["stage"], e["left"]) for e in failures] == [("vision", 1), ("vision", 0)]
    assert failures[0]["evidence"]["memory"]["available"] > 0
    assert not place.events("verdict", "stepped_down")
    run_walk(place, "GYM_ONLY", "nothing")
    assert verdict(place)["verdict"] == "missed"


@gym
@pytest.mark.faults(
    "the environment gives a NaN {what} while {stage} plays",
    expect="told as the environment's fault, with the step; not run, exit 8; no NaN in a commit",
)
@pytest.mark.parametrize(
    ("what", "stage", "first"),
    [
        ("observation", "collect", 1),
        ("observation", "controller", 9),
        ("reward", "collect", 1),
        ("reward", "controller", 9),
    ],
)
def test_an_environment_that_gives_no_numbers(
    place: Sandbox, what: str, stage: str, first: int
) -> None:
    run_walk(place, "GYM_ONLY", f"{what}={first}", code=8)
    (fault,) = place.events("environment_fault")
    assert what in fault["reason"] and "finite" in fault["reason"]
    assert place.events("stage_started")[-1]["stage"] == stage
    assert not place.events("stage_failed", "stepped_down")
    assert verdict(place)["verdict"] == "not_run"
