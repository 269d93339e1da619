"""Self-tests of V and M: a dot that moves, and a point that is turned on a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from models.interfaces import Frames, Memory, SequenceBatch, Vision
from models.selftest.findings import Finding, fell, report, same_answers, same_state

SIDE = 16


def check_vision(name: str, build: Callable[[], Vision], updates: int) -> int:
    """Lets V learn a dot of 3 x 3 pixels that moves over a still background.

    Args:
        name: shown before each line.
        build: makes an equal V each time, for frames `(16, 16, 1)`.
        updates: of 32 frames each.

    Returns:
        The exit code, see `report`.
    """
    return report(name, _seen(build, updates))


def check_memory(name: str, build: Callable[[], Memory], updates: int) -> int:
    """Lets M learn how two actions turn a point on the unit circle.

    Args:
        name: shown before each line.
        build: makes an equal M each time, for Z = 2 and A = 2.
        updates: of 16 sequences of 12 steps each.

    Returns:
        The exit code, see `report`.
    """
    return report(name, _remembered(build, updates))


def _seen(build: Callable[[], Vision], updates: int) -> Iterator[Finding]:
    vision, rng = build(), np.random.default_rng(0)
    frames, _ = _dots(np.random.default_rng(1), 256)
    before = _unexplained(vision, frames)
    losses = [vision.update(*_dots(rng, 32), rng)["loss"] for _ in range(updates)]
    vision.finish()
    what = f"the share of the dot that V does not draw, over {updates} updates,"
    yield fell(what, before, _unexplained(vision, frames), below=0.6)
    yield Finding(f"its last loss is {losses[-1]:.4g}", bool(np.isfinite(losses).all()))
    latents = vision.encode(frames)
    spread = float(latents.std(axis=0).max())
    yield Finding(f"latents {latents.shape} spread by up to {spread:.3g}", spread > 0.01)
    fresh = build()
    fresh.load_state(vision.state())
    yield same_state(vision.state(), fresh.state())
    yield same_answers(vision.encode(frames), fresh.encode(frames))


def _unexplained(vision: Vision, frames: Frames) -> float:
    """Returns the squared error of what V draws, as a share of what moves."""
    drawn = vision.decode(vision.encode(frames)).astype(np.float64)
    variance = np.square(frames - frames.mean(axis=0)).sum()
    return float(np.square(drawn - frames).sum() / variance)


def _dots(rng: np.random.Generator, count: int) -> tuple[Frames, Frames]:
    """Returns frames and those a step before, `[count, 16, 16, 1]` each."""
    places = rng.integers(1, SIDE - 4, size=(count, 2))
    frames = np.full((2, count, SIDE, SIDE, 1), 60, np.uint8)
    for number, (y, x) in enumerate(places.tolist()):
        frames[0, number, y : y + 3, x : x + 3] = 240
        frames[1, number, y - 1 : y + 2, x : x + 3] = 240
    return frames[0], frames[1]


def _remembered(build: Callable[[], Memory], updates: int) -> Iterator[Finding]:
    memory, rng = build(), np.random.default_rng(0)
    unseen = _turns(np.random.default_rng(1), 64)
    before = memory.evaluate(unseen)
    for _ in range(updates):
        memory.update(_turns(rng, 16), rng)
    memory.finish()
    after, copied = memory.evaluate(unseen), before["copy_error"]
    what = f"the error of z in sequences not seen, over {updates} updates,"
    yield fell(what, before["prediction_error"], after["prediction_error"], below=0.5 * copied)
    rewards = float(unseen.rewards.var())
    yield fell(
        "the error of the reward", before["reward_error"], after["reward_error"], 0.7 * rewards
    )
    state = memory.step(memory.initial_state(5), unseen.latents[:5, 0], unseen.actions[:5, 0])
    dreamed = memory.predict(state, unseen.latents[:5, 0], 1.0, rng)
    finite = bool(np.isfinite(dreamed.latents).all())
    yield Finding(f"it dreams on from {len(state)} states", finite)
    fresh = build()
    fresh.load_state(memory.state())
    yield same_state(memory.state(), fresh.state())
    given, taken = (
        model.predict(state, unseen.latents[:5, 0], 1.0, np.random.default_rng(2)).latents
        for model in (memory, fresh)
    )
    yield same_answers(given, taken)


def _turns(rng: np.random.Generator, count: int, steps: int = 12) -> SequenceBatch:
    """Returns sequences in which one action turns the point far, the other hardly."""
    actions = rng.integers(2, size=(count, steps))
    turned = np.cumsum(np.where(actions == 1, 0.6, 0.1), axis=1)
    angles = rng.uniform(0, 2 * np.pi, (count, 1)) + np.pad(turned, ((0, 0), (1, 0)))
    latents = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    return SequenceBatch(
        latents=latents,
        actions=np.eye(2, dtype=np.float32)[actions],
        rewards=np.where(latents[:, 1:, 0] > 0, 1.0, 0.0).astype(np.float32),
        terminated=(rng.random((count, steps)) < 0.03).astype(np.float32),
        mask=np.ones((count, steps), np.float32),
    )
