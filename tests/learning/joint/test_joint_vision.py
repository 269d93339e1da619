"""V goes on learning while C does, and nothing of either is lost or half done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from curriculum.collecting.collector import Transition
from curriculum.learning.joint import FrameReplay, JointVision
from curriculum.records.agent_state import PARAMETERS, part_of
from models.interfaces import Frames, Metrics, NonFiniteLoss, State
from models.settings.vae import VAESettings
from models.vae import ConvVAE

pytestmark = pytest.mark.torch

ENVS, KEPT, SIDE = 3, 2, 8
SETTINGS = VAESettings(z_dim=2, channels=(4,), motion_weight=0.0, beta=0.0)


class CountingLearner:
    """Counts what a learner of C is asked; its parameters are the updates so far."""

    steps_per_update = 4

    def __init__(self) -> None:
        self.model = self
        self.gathering = False
        self.updates = 0
        self.fails: Exception | None = None

    def begin(self, number: int, rate: float, rng: np.random.Generator) -> None: ...

    def meanwhile(self) -> None: ...

    def observe(self, transition: Transition) -> None: ...

    def update(self, number: int, rate: float, rng: np.random.Generator) -> Metrics:
        if self.fails is not None:
            raise self.fails
        self.updates += 1
        return {"drawn": float(rng.random())}

    def learned(self) -> State:
        return {PARAMETERS: np.full(1, self.updates, np.float32)}

    def state(self) -> State:
        return {"learner/updates": np.array(self.updates)}

    def load_state(self, part: Callable[[str], State]) -> None:
        self.updates = int(part("learner")["updates"])

    def appended(self) -> Mapping[str, int]:
        return {}

    def sync(self) -> None: ...

    def cut(self, appended: Mapping[str, int]) -> None: ...


def frames_in(path: Path, capacity: int = 100) -> FrameReplay:
    return FrameReplay(path, KEPT, (SIDE, SIDE, 1), capacity)


def learner_in(path: Path) -> tuple[JointVision, CountingLearner]:
    inner, vision = CountingLearner(), ConvVAE((SIDE, SIDE, 1), SETTINGS, seed=1)
    return JointVision(inner, vision, frames_in(path), updates=2, batch_size=4), inner


def pictures(number: int) -> Frames:
    """Each environment shows its number and that of the step."""
    seen = np.zeros((ENVS, SIDE, SIDE, 1), np.uint8)
    seen[:, 0, 0, 0], seen[:, 0, 1, 0] = np.arange(ENVS), number
    return seen


def shown(number: int, *, begun: bool = False) -> Transition:
    """A step after which `pictures` are seen."""
    features, flags = np.zeros((ENVS, 2), np.float32), np.zeros(ENVS, np.bool_)
    return Transition(
        features,
        np.zeros(ENVS, np.int64),
        np.zeros(ENVS, np.float32),
        flags,
        flags,
        features,
        np.zeros(0, np.int64),
        features[:0],
        seen=pictures(number),
        begun=np.full(ENVS, begun),
    )


def learn(learner: JointVision, updates: range) -> list[Metrics]:
    metrics = []
    for number in updates:
        for step in range(learner.steps_per_update):
            learner.observe(shown(4 * number + step, begun=step == 2))
        metrics.append(learner.update(number, 1e-3, np.random.default_rng(number)))
    return metrics


def parts_of(state: State) -> Callable[[str], State]:
    def part(name: str) -> State:
        head = f"{name}/"
        return {n.removeprefix(head): a for n, a in state.items() if n.startswith(head)}

    return part


def test_a_pair_is_of_one_environment_and_never_of_two_episodes(tmp_path: Path) -> None:
    frames = frames_in(tmp_path)
    for number in range(12):
        frames.add(pictures(number)[:KEPT], np.full(KEPT, number in (0, 5)))
    pairs = frames.sample(500, np.random.default_rng(0))
    now, before = pairs.frames[:, 0, :2, 0], pairs.previous[:, 0, :2, 0]
    assert set(now[:, 1]) == set(range(12)) - {0, 5}
    assert set(now[:, 0]) == {0, 1}
    np.testing.assert_array_equal(now - before, np.array([[0, 1]] * len(now)))


@pytest.mark.parametrize("stacked", [2, 3])
def test_stacked_frames_are_put_together_again_from_the_newest(
    tmp_path: Path, stacked: int
) -> None:
    replay = FrameReplay(tmp_path, KEPT, (SIDE, SIDE, stacked), 100, stacked)
    rng, shown, begins = np.random.default_rng(0), [], np.zeros(KEPT, np.bool_)
    for number in range(40):
        newest = pictures(number)[:KEPT]
        begins = np.full(KEPT, number == 0) | (rng.random(KEPT) < 0.3)
        older = shown[-1][..., 1:] if shown else np.tile(newest, stacked - 1)
        whole = np.concatenate([older, newest], axis=-1)
        whole = np.where(begins[:, None, None, None], np.tile(newest, stacked), whole)
        shown.append(whole)
        replay.add(whole, begins)
    assert replay.lengths()["frames.bin"] == 40 * KEPT * SIDE**2
    pairs = replay.sample(500, rng)
    assert len(pairs.frames) > 200
    for now, before in zip(pairs.frames, pairs.previous, strict=True):
        env, number = now[0, :2, -1]
        assert number >= stacked
        np.testing.assert_array_equal(now, shown[number][env])
        np.testing.assert_array_equal(before, shown[number - 1][env])


def test_only_the_newest_steps_are_drawn(tmp_path: Path) -> None:
    frames = frames_in(tmp_path, capacity=3)
    for number in range(10):
        frames.add(pictures(number)[:KEPT], np.zeros(KEPT, np.bool_))
    drawn = frames.sample(200, np.random.default_rng(0)).frames[:, 0, 1, 0]
    assert set(drawn) == {7, 8, 9}


def test_one_step_is_no_pair(tmp_path: Path) -> None:
    frames = frames_in(tmp_path)
    frames.add(pictures(0)[:KEPT], np.zeros(KEPT, np.bool_))
    with pytest.raises(ValueError, match="2 at least"):
        frames.sample(1, np.random.default_rng(0))


def test_v_waits_until_there_is_a_pair(tmp_path: Path) -> None:
    learner, inner = learner_in(tmp_path)
    learner.observe(shown(0, begun=True))
    assert learner.update(0, 1e-3, np.random.default_rng(0)).keys() == {"drawn"}
    assert inner.updates == 1


def test_v_is_part_of_what_is_learned_and_moves(tmp_path: Path) -> None:
    learner, inner = learner_in(tmp_path)
    before = {name: array.copy() for name, array in learner.learned().items()}
    metrics = learn(learner, range(2))
    after = learner.learned()
    assert inner.updates == 2
    assert after[PARAMETERS] == [2.0]
    vision = part_of(after, "vision")
    assert part_of(learner.state(), "joint").keys() > vision.keys()
    changed = [n for n in after if n.startswith("vision/") and (after[n] != before[n]).any()]
    assert any("weight" in name for name in changed)
    assert not any("adam" in name for name in after)
    assert {"drawn", "vision_loss"} <= metrics[0].keys()


def test_v_takes_nothing_from_the_chance_that_c_learns_with(tmp_path: Path) -> None:
    learner, _ = learner_in(tmp_path)
    drawn = learn(learner, range(1))[0]["drawn"]
    assert drawn == np.random.default_rng(0).random()


def test_v_waits_while_c_gathers(tmp_path: Path) -> None:
    learner, inner = learner_in(tmp_path)
    inner.gathering = True
    before = learner.learned()
    assert "vision_loss" not in learn(learner, range(1))[0]
    np.testing.assert_equal(part_of(learner.learned(), "vision"), part_of(before, "vision"))


def test_an_update_that_c_refuses_leaves_v_as_it_was(tmp_path: Path) -> None:
    learner, inner = learner_in(tmp_path)
    learn(learner, range(1))
    before = learner.state()
    inner.fails = NonFiniteLoss("a loss was NaN")
    with pytest.raises(NonFiniteLoss):
        learn(learner, range(1, 2))
    np.testing.assert_equal(learner.state(), before)


def test_a_loss_of_vs_that_is_not_finite_is_told_and_c_learns(tmp_path: Path) -> None:
    learner, inner = learner_in(tmp_path)
    state = learner.state()
    name = next(n for n in state if n.startswith("joint/weight."))
    state[name] = np.full_like(state[name], np.nan)
    learner.load_state(parts_of(state))
    before = learner.state()
    metrics = learn(learner, range(1))[0]
    assert metrics["vision_refused"] == 1.0
    assert inner.updates == 1
    np.testing.assert_equal(part_of(learner.state(), "joint"), part_of(before, "joint"))


def test_a_learner_that_was_killed_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, _ = learner_in(tmp_path / "whole")
    metrics = learn(whole, range(5))
    killed, _ = learner_in(tmp_path / "killed")
    learn(killed, range(2))
    killed.sync()
    state, lengths = killed.state(), dict(killed.appended())
    learn(killed, range(2, 4))  # lost
    killed.sync()
    resumed, _ = learner_in(tmp_path / "killed")
    resumed.cut(lengths)
    resumed.load_state(parts_of(state))
    assert learn(resumed, range(2, 5)) == metrics[2:]
    np.testing.assert_equal(resumed.state(), whole.state())
