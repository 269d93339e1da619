"""What the tests of workers share: a rollout to compare, and that nothing is left of any."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from curriculum.envs.batch import Batch
from curriculum.envs.interface import VectorEnv
from curriculum.envs.workers import Workers

HERE = Path(__file__).parent

Rollout = list[tuple[bytes, ...]]
Disturb = Callable[[int, str], None]
"""Is called at each step with its number, and `send`, `recv` or `reset`, before that happens."""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test ends without a child, a zombie, shared memory or an open file of its own."""
    before = _left()
    yield
    assert _left() == before


def _left() -> tuple[set[int], set[str], int]:
    # What earlier tests left in cycles is not to be let go of in the middle of this one.
    gc.collect()
    process = psutil.Process()
    children = {child.pid for child in process.children(recursive=True)}
    named = (
        {path.name for path in Path("/dev/shm").iterdir()} if Path("/dev/shm").exists() else set()
    )
    return children, named, process.num_fds()


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


def in_workers(*args: Any, **options: Any) -> Batch:
    """Returns a batch in worker processes; see `Workers`."""
    return Batch(Workers(*args, **options))


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def roll(env: VectorEnv, steps: int, disturb: Disturb = lambda number, moment: None) -> Rollout:
    """Plays with random actions, goes on where episodes end and at times starts others anew."""
    rng = np.random.default_rng(5)
    seen: Rollout = [(env.reset([100 + 3 * row for row in range(env.num_envs)]).tobytes(),)]
    for number in range(steps):
        actions = np.stack([env.spec.action.sample(rng) for _ in range(env.num_envs)])
        disturb(number, "send")
        taken = env.send(actions)
        disturb(number, "recv")
        step = env.recv()
        seen.append((taken.tobytes(), *(part.tobytes() for part in step if part is not None)))
        over = np.flatnonzero(step.terminated | step.truncated).tolist()
        disturb(number, "reset")
        # Those who stay parked for a while are the ones whose turn is not now.
        if over and number % 3:
            seen.append((env.reset(None, over).tobytes(),))
        if number % 17 == 16:
            row = number % env.num_envs
            seen.append((env.reset([number], [row]).tobytes(),))
    return seen


def children() -> list[psutil.Process]:
    """Returns the workers, the oldest first."""
    return sorted(psutil.Process().children(), key=lambda child: (child.create_time(), child.pid))
