"""Practice and polish, real parts: stopped anywhere and resumed, they end where they would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curriculum.config.practice import ShapingConfig
from curriculum.config.schema import TaskConfig
from curriculum.stages import controller as stage
from models.interfaces import Metrics, NonFiniteLoss, Rollout
from tests.learning.practising import learned, pole, told

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these spend their time on waking threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def refused_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every update is refused until the learning rate is lower."""
    from models.ppo import PPO

    update = PPO.update

    def refusing(self: PPO, rollouts: Sequence[Rollout], rng: np.random.Generator) -> Metrics:
        if self.learning_rate > 0.9 * REAL.ppo.learning_rate:
            raise NonFiniteLoss("NaN")
        return update(self, rollouts, rng)

    monkeypatch.setattr(PPO, "update", refusing)


REAL = pole()
REUSE = pole(reuse=3, updates=7)
LASTING = pole(noise_persistence=0.7, updates=5)
POLISH = pole(polish=12, updates=2)
PUSHED = replace(
    # Nothing is ever gained there, so each episode is cut.
    pole(idle_steps=7, idle_penalty=2.0, disturbance=0.2, updates=5),
    env_id="MountainCar-v0",
    shaping=ShapingConfig(frame_cost=0.1),
)
DREAMED = pole(dream_steps=6, patience=2, noise_persistence=0.7)


@pytest.mark.parametrize(
    ("task", "ticks", "killed"),
    [
        (REAL, 17, False),
        (REAL, 40, True),
        (REUSE, 17, False),
        (REUSE, 40, True),
        (LASTING, 17, False),
        (LASTING, 40, True),
        (PUSHED, 17, False),
        (PUSHED, 40, True),
        (POLISH, 17, False),
        (POLISH, 36, True),
        (DREAMED, 13, False),
        (DREAMED, 30, True),
    ],
    ids=[
        "real",
        "real killed",
        "reuse",
        "reuse killed",
        "lasting noise",
        "lasting noise killed",
        "pushed and cut",
        "pushed and cut, killed",
        "polish",
        "polish killed",
        "dreamed",
        "dreamed killed",
    ],
)
def test_stopped_or_killed_and_resumed_is_the_same_practice(
    tmp_path: Path, task: TaskConfig, ticks: int, killed: bool
) -> None:
    whole, _ = learned(tmp_path / "whole", task, None)
    parts, ends_in_search = learned(tmp_path / "parts", task, ticks, killed)
    assert (ends_in_search > 0) == (task is POLISH)
    lives = sum(event["event"] == "stage_started" for event in parts.place.ledger.events())
    assert lives > 1
    expected, found = whole.place.completed(stage.NAME), parts.place.completed(stage.NAME)
    assert found.meta == expected.meta
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    assert ("disturbance/held" in expected.arrays) == (task is PUSHED)
    assert ("noise/last" in expected.arrays) == (task in (LASTING, DREAMED))
    assert told(parts) == told(whole)
    events = [event["event"] for event in told(whole)]
    assert events.count("metrics") >= 5 and events.count("rolled_back") == 1
