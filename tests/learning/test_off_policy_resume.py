"""QR-DQN and SAC in the stage: stopped anywhere and resumed, they end where they would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.config.schema import TaskConfig
from curriculum.errors import StageFailure
from curriculum.learning.off_policy import OffPolicy
from curriculum.stages import controller as stage
from models.interfaces import Metrics, NonFiniteLoss
from models.settings.qrdqn import QRDQNSettings
from models.settings.replay import ReplaySettings
from models.settings.sac import SACSettings
from tests.learning.practising import learned, pole, told

pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.gym]

RATE = 1e-3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these spend their time on waking threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def task(solver: str, temperature: float = 0.0, **options: Any) -> TaskConfig:
    """CartPole, or Pendulum for SAC, learned from a replay."""
    base = pole(**options)
    return replace(
        base,
        env_id="Pendulum-v1" if solver == "sac" else base.env_id,
        controller=replace(base.controller, solver=solver),
        replay=ReplaySettings(
            capacity=60,
            learning_starts=30,
            batch_size=8,
            num_steps=2,
            updates_per_step=0.2,
            epsilon_steps=40,
        ),
        qrdqn=QRDQNSettings(learning_rate=RATE, num_quantiles=4, temperature=temperature),
        sac=SACSettings(learning_rate=RATE, critic_sizes=(8,)),
    )


GREEDY = task("qrdqn", noise_persistence=0.7)
SOFT = task("qrdqn", temperature=0.1)
SAC = task("sac", noise_persistence=0.7)
DREAMED = task("qrdqn", dream_steps=6, patience=2)
POLISHED = task("qrdqn", polish=6)
TASKS = {"greedy": GREEDY, "soft": SOFT, "sac": SAC, "dreamed": DREAMED, "polished": POLISHED}


@pytest.fixture(autouse=True)
def refused_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient in the middle of an update is refused until the learning rate is lower."""
    step = OffPolicy._step
    taken = [0]

    def refusing(self: OffPolicy, rng: np.random.Generator) -> Metrics:
        taken[0] += 1
        if self.model.learning_rate > 0.9 * RATE and not taken[0] % 3:
            raise NonFiniteLoss("NaN")
        return step(self, rng)

    monkeypatch.setattr(OffPolicy, "_step", refusing)


@pytest.mark.faults(
    "learning from a replay ({name}) meets a NaN, and is stopped or killed again and again",
    expect="healed at half the rate; it ends bit for bit as if it had never been stopped",
)
@pytest.mark.parametrize(("ticks", "killed"), [(17, False), (40, True)])
@pytest.mark.parametrize("name", TASKS)
def test_stopped_or_killed_and_resumed_it_is_the_same(
    tmp_path: Path, name: str, ticks: int, killed: bool
) -> None:
    whole, _ = learned(tmp_path / "whole", TASKS[name], None)
    parts, _ = learned(tmp_path / "parts", TASKS[name], ticks, killed)
    lives = sum(event["event"] == "stage_started" for event in parts.place.ledger.events())
    assert lives > 1
    expected, found = whole.place.completed(stage.NAME), parts.place.completed(stage.NAME)
    assert found.meta == expected.meta and found.appended == expected.appended
    assert found.arrays.keys() == expected.arrays.keys()
    for array in expected.arrays:
        np.testing.assert_array_equal(found.arrays[array], expected.arrays[array], err_msg=array)
    for path in (whole.place.directory / "replay").iterdir():
        assert path.read_bytes() == (parts.place.directory / "replay" / path.name).read_bytes()
    assert told(parts) == told(whole)
    metrics = whole.place.ledger.events("metrics")
    assert sum("loss" in event["values"] for event in metrics) >= 2
    assert len(whole.place.ledger.events("rolled_back")) == 1


@pytest.mark.faults(
    "learning from a replay meets a NaN in every update, however small the rate",
    expect="the stage fails with a sentence after so many in a row",
)
def test_what_does_not_heal_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(self: OffPolicy, rng: np.random.Generator) -> Metrics:
        raise NonFiniteLoss("it is NaN")

    monkeypatch.setattr(OffPolicy, "_step", refusing)
    with pytest.raises(StageFailure, match=r"it is NaN; lower its learning_rate"):
        learned(tmp_path, task("qrdqn", updates=12), None)


@pytest.mark.faults(
    "the host has no memory for one gradient from the replay, once ({solver})",
    expect="the update is made again in two parts, and what is learned is the same",
)
@pytest.mark.parametrize("solver", ["qrdqn", "sac"])
def test_an_update_that_does_not_fit_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solver: str
) -> None:
    monkeypatch.undo()
    whole, _ = learned(tmp_path / "whole", task(solver), None)
    step, taken = OffPolicy._step, [0]

    def failing(self: OffPolicy, rng: np.random.Generator) -> Metrics:
        taken[0] += 1
        if taken[0] == 8:
            raise MemoryError("no room")
        return step(self, rng)

    monkeypatch.setattr(OffPolicy, "_step", failing)
    parts, _ = learned(tmp_path / "parts", task(solver), None)
    (halved,) = parts.place.ledger.events("batch_halved")
    assert (halved["part"], halved["parts"]) == ("C", 2)
    expected, found = (ctx.place.completed(stage.NAME).arrays for ctx in (whole, parts))
    for name, array in expected.items():
        if name.startswith("learner/"):
            np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-4, err_msg=name)
