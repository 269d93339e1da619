"""Learners from a replay to test, and batches for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from models.controller_cpu import PolicyShape
from models.interfaces import Transitions
from models.off_policy.qrdqn import QRDQN
from models.off_policy.sac import SAC
from models.settings.qrdqn import QRDQNSettings
from models.settings.sac import SACSettings
from models.settings.units import USUAL, Units

F, A = 5, 3
LOW, HIGH = (-1.0, 0.0, 2.0), (1.0, 1.0, 6.0)
MEAN = np.array([0.0, 100.0, -3.0, 0.01, 7.0], np.float32)
STD = np.array([1.0, 20.0, 0.1, 0.005, 0.0], np.float32)


def shape_of(kind: str, hidden: tuple[int, ...] = (16, 8), units: Units = USUAL) -> PolicyShape:
    bounds = (None, None) if kind == "discrete" else (LOW, HIGH)
    return PolicyShape(F, kind, A, hidden, *bounds, units)


def qrdqn(
    seed: int = 0, hidden: tuple[int, ...] = (16, 8), units: Units = USUAL, **changes: Any
) -> QRDQN:
    settings = QRDQNSettings(**{"num_quantiles": 6, **changes})
    return QRDQN(shape_of("discrete", hidden, units), settings, seed=seed)


def sac(
    seed: int = 0, hidden: tuple[int, ...] = (16, 8), units: Units = USUAL, **changes: Any
) -> SAC:
    settings = SACSettings(**{"critic_sizes": (24, 12), **changes})
    return SAC(shape_of("continuous", hidden, units), settings, seed=seed)


def features_of(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (MEAN + STD * rng.standard_normal((*shape, F))).astype(np.float32)


def batch_of(rng: np.random.Generator, learner: QRDQN | SAC, count: int = 32) -> Transitions:
    """Random transitions, some of them the last of their episodes."""
    if isinstance(learner, QRDQN):
        actions: np.ndarray = rng.integers(0, A, count)
    else:
        actions = rng.uniform(LOW, HIGH, (count, A)).astype(np.float32)
    discounts = np.where(rng.random(count) < 0.2, 0.0, 0.97).astype(np.float32)
    rewards = rng.standard_normal(count).astype(np.float32)
    return Transitions(
        features_of(rng, count), actions, rewards, discounts, features_of(rng, count)
    )


def spoilt(batch: Transitions, name: str, value: float) -> Transitions:
    """The same with one number of it replaced."""
    array = np.array(getattr(batch, name))
    array.reshape(-1)[3] = value
    return replace(batch, **{name: array})


def taught(learner: QRDQN | SAC, updates: int, seed: int = 0) -> list[dict[str, float]]:
    """Lets a learner take some steps; returns what it told."""
    told = []
    for number in range(updates):
        rng = np.random.default_rng([seed, number])
        told.append(learner.update(batch_of(rng, learner), rng))
    return told


def assert_same_state(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
