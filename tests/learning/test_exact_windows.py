"""V and M, torch and numpy: stopped anywhere and resumed, they end bit for bit where they would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from curriculum.errors import ExitCode, Stopped
from curriculum.learning.windows import Learned, learn
from curriculum.records.commit import CommitStore
from curriculum.seeds import generator
from curriculum.stops import Barrier
from models.echo import EchoMemory
from models.interfaces import NonFiniteLoss, SequenceBatch
from models.normaliser import StateVision
from models.pca import PCAVision
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.vae import VAESettings

pytestmark = pytest.mark.torch

UPDATES = 60
SICK = 35
"""Number of the update that is NaN until the learning rate is lower."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these spend their time on waking threads."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def frames(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    seen = rng.integers(0, 255, (12, 16, 16, 1), dtype=np.uint8)
    return seen, np.roll(seen, 1, axis=1)


def sequences(rng: np.random.Generator) -> SequenceBatch:
    latents = rng.standard_normal((6, 9, 3)).cumsum(axis=1).astype(np.float32)
    ends = np.zeros((6, 8), np.float32)
    ends[:, -1] = rng.random(6) < 0.5
    return SequenceBatch(
        latents,
        rng.standard_normal((6, 8, 2)).astype(np.float32),
        rng.standard_normal((6, 8)).astype(np.float32),
        ends,
        np.ones((6, 8), np.float32),
    )


def vae() -> Any:
    from models.vae import ConvVAE

    return ConvVAE((16, 16, 1), VAESettings(z_dim=4, channels=(4, 8), beta_warmup_steps=40))


def rnn() -> Any:
    from models.mdnrnn import MDNRNN

    return MDNRNN(3, 2, MDNRNNSettings(rnn_size=8, num_mixtures=2))


def see(learner: Any, number: int) -> dict[str, float]:
    rng = generator(7, number)
    return learner.update(*frames(rng), rng)


def normalise(learner: Any, number: int) -> dict[str, float]:
    rng = generator(7, number)
    states = rng.standard_normal((9, 5)).astype(np.float32)
    return learner.update(states, states, rng)


def remember(learner: Any, number: int) -> dict[str, float]:
    rng = generator(7, number)
    return learner.update(sequences(rng), rng)


LEARNERS: dict[str, tuple[Callable[[], Any], Callable[[Any, int], dict[str, float]]]] = {
    "vae": (vae, see),
    "rnn": (rnn, remember),
    "pca": (lambda: PCAVision((16, 16, 1), 8), see),
    "normaliser": (lambda: StateVision(5), normalise),
    "echo": (lambda: EchoMemory(3, 2, hidden_size=8), remember),
}


def context(directory: Path) -> Any:
    events: list[tuple[str, dict]] = []
    return SimpleNamespace(
        stage="any",
        store=CommitStore(directory),
        barrier=Barrier(0.0),
        say=lambda *a, **k: None,
        record=lambda event, **facts: events.append((event, facts)),
        events=events,
    )


def learned(ctx: Any, name: str, stops: set[int]) -> tuple[Learned, dict[str, np.ndarray]]:
    """Learns to the end, anew after each stop; returns the result and the learner's state."""
    build, update = LEARNERS[name]
    wanted = set(stops)
    while True:
        learner = build()
        rate = getattr(learner, "learning_rate", None)

        def one(number: int, learner: Any = learner, rate: float | None = rate):
            if number in wanted:
                wanted.discard(number)
                ctx.barrier.request_stop(ExitCode.RESUMABLE)
            if number == SICK and getattr(learner, "learning_rate", None) == rate:
                raise NonFiniteLoss("NaN")
            return update(learner, number)

        try:
            return learn(ctx, learner, UPDATES, one), learner.state()
        except Stopped:
            ctx.barrier = Barrier(0.0)


@pytest.mark.parametrize("name", LEARNERS)
def test_stopped_and_resumed_is_the_same_learning(tmp_path: Path, name: str) -> None:
    whole, parts = context(tmp_path / "whole"), context(tmp_path / "parts")
    expected, expected_state = learned(whole, name, set())
    # In the first window, before and after the sick update, and in the last window.
    found, state = learned(parts, name, {3, 34, 41, 58})
    assert found == expected
    assert state.keys() == expected_state.keys()
    for key in state:
        np.testing.assert_array_equal(state[key], expected_state[key], err_msg=key)
    told = [[f for e, f in ctx.events if e == "metrics"] for ctx in (whole, parts)]
    assert told[0] == told[1]
    healed = {event for event, _ in whole.events} & {"rolled_back", "update_refused"}
    assert healed == {"rolled_back" if name in ("vae", "rnn") else "update_refused"}


@pytest.mark.parametrize("name", ["vae", "rnn"])
def test_a_real_model_that_ran_out_of_gpu_memory_learns_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    torch = pytest.importorskip("torch")
    build, update = LEARNERS[name]
    learner, plain = build(), build()
    monkeypatch.setattr(type(learner), "device", property(lambda self: self.pretended))
    learner.pretended, move = "cuda", learner.move_to

    def move_to(device: str) -> None:
        move(device)
        learner.pretended = device

    learner.move_to = move_to
    backward = torch.autograd.backward

    def short_of_memory(loss, **kwargs):
        if learner.pretended == "cuda":
            backward(loss, **kwargs)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        backward(loss, **kwargs)

    monkeypatch.setattr(torch.autograd, "backward", short_of_memory)
    ctx = context(tmp_path)
    learn(ctx, learner, 5, lambda number: update(learner, number))
    assert [e for e, _ in ctx.events] == [*["batch_halved"] * 4, "moved_to_cpu", "metrics"]
    for number in range(5):
        update(plain, number)
    for key, value in plain.state().items():
        np.testing.assert_array_equal(learner.state()[key], value, err_msg=key)
