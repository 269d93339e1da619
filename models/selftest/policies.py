"""Self-tests of C, of what searches for it and of what learns it by gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np

from models.interfaces import (
    Controller,
    Float,
    OffPolicyLearner,
    PolicyLearner,
    Rollout,
    Solver,
    Transitions,
)
from models.selftest.findings import Finding, fell, report, rose, same_answers, same_state

FEATURES, ACTIONS = 3, 2


def check_controller(name: str, build: Callable[[], Controller]) -> int:
    """Gives C a rule to follow.

    Args:
        name: shown before each line.
        build: makes a linear C that reads 3 features and has 2 discrete actions.

    Returns:
        The exit code, see `report`.
    """
    return report(name, _followed(build))


def check_solver(name: str, build: Callable[[], Solver], generations: int) -> int:
    """Lets a solver climb a narrow ridge, Rosenbrock's.

    Args:
        name: shown before each line.
        build: makes an equal solver each time, over some parameters from zero on.
        generations: that it may take.

    Returns:
        The exit code, see `report`.
    """
    return report(name, _climbed(build, generations))


def check_policy_learner(name: str, build: Callable[[], PolicyLearner], updates: int) -> int:
    """Lets a learner find out that the first feature's sign says what pays.

    Args:
        name: shown before each line.
        build: makes an equal learner each time, of 3 features and 2 discrete actions.
        updates: of 512 games each.

    Returns:
        The exit code, see `report`.
    """
    return report(name, _practised(build, updates))


def check_off_policy_learner(
    name: str, build: Callable[[], OffPolicyLearner], updates: int, chance: Controller
) -> int:
    """Lets a learner find out from games that chance played that the first feature tells what pays.

    Args:
        name: shown before each line.
        build: makes an equal learner each time, of a linear C with 3 features and 2 actions.
        updates: of 256 games each.
        chance: such a C, whose samples are the games.

    Returns:
        The exit code, see `report`.
    """
    return report(name, _replayed(build, updates, chance))


def _followed(build: Callable[[], Controller]) -> Iterator[Finding]:
    controller, rng = build(), np.random.default_rng(0)
    given = rng.standard_normal(controller.num_parameters).astype(np.float32)
    controller.set_parameters(given)
    kept = np.array_equal(controller.get_parameters(), given)
    yield Finding(f"{controller.num_parameters} parameters come out as they went in", kept)
    rows = rng.standard_normal((512, FEATURES), np.float32)
    logits = rows @ given[: FEATURES * ACTIONS].reshape(FEATURES, ACTIONS)
    logits += given[FEATURES * ACTIONS :]
    followed = int((controller.act(rows) == logits.argmax(axis=1)).sum())
    yield Finding(f"{followed} of {len(rows)} actions are those of the rule", followed == len(rows))
    many = np.repeat(rows[:1], 20_000, axis=0)
    drawn = float((controller.sample(many, rng) == 1).mean())
    expected = float(1.0 / (1.0 + np.exp(logits[0, 0] - logits[0, 1])))
    told = f"{drawn:.3f} of the samples take the second action, expected {expected:.3f}"
    yield Finding(told, abs(drawn - expected) < 0.02)


def _climbed(build: Callable[[], Solver], generations: int) -> Iterator[Finding]:
    solver = build()
    before = float(_valley(solver.mean()[None])[0])
    for _ in range(generations):
        solver.tell(-_valley(solver.ask()))
    after = float(_valley(solver.mean()[None])[0])
    what = f"the depth left to descend over {generations} generations"
    yield fell(what, before, after, below=0.01 * before)
    fresh = build()
    fresh.load_state(solver.state())
    same = np.array_equal(fresh.ask(), solver.ask())
    yield Finding("a fresh one goes on with the same candidates", same)


def _valley(points: np.ndarray) -> np.ndarray:
    """Returns Rosenbrock's function of `[N, P]`, 0 where all are 1."""
    steps = points[:, 1:] - points[:, :-1] ** 2
    return (100.0 * steps**2 + (1.0 - points[:, :-1]) ** 2).sum(axis=1)


def _practised(build: Callable[[], PolicyLearner], updates: int) -> Iterator[Finding]:
    learner, rng = build(), np.random.default_rng(0)
    scores = []
    for _ in range(updates):
        rollout = _played(learner.get_parameters(), rng)
        scores.append(float(rollout.rewards.mean()))
        learner.update([rollout], rng)
    what = f"the share of games that are won, over {updates} updates,"
    yield rose(what, scores[0], scores[-1], above=0.9)
    rows = np.eye(FEATURES, dtype=np.float32)
    worth = learner.values(rows)
    yield Finding(f"it expects {worth.mean():.3g} of a game", bool(np.isfinite(worth).all()))
    fresh = build()
    fresh.load_state(learner.state())
    yield same_state(learner.state(), fresh.state())
    yield same_answers(worth, fresh.values(rows))


def _played(parameters: np.ndarray, rng: np.random.Generator, games: int = 512) -> Rollout:
    """Plays games of one step with a linear policy's parameters."""
    seen = rng.standard_normal((1, games, FEATURES), np.float32)
    weights, bias = np.split(parameters, [FEATURES * ACTIONS])
    logits = seen @ weights.reshape(FEATURES, ACTIONS) + bias
    actions = (logits + rng.gumbel(size=logits.shape)).argmax(axis=-1)
    ended = np.ones((1, games), np.bool_)
    return Rollout(
        features=seen,
        actions=actions,
        rewards=(actions == (seen[..., 0] > 0)).astype(np.float32),
        terminated=ended,
        truncated=~ended,
        last_features=seen[-1],
        cut_at=np.zeros((0, 2), np.int64),
        cut_features=seen[0, :0],
    )


def _replayed(
    build: Callable[[], OffPolicyLearner], updates: int, chance: Controller
) -> Iterator[Finding]:
    learner, rng, acting = build(), np.random.default_rng(0), deepcopy(chance)
    seen = rng.standard_normal((512, FEATURES), np.float32)

    def score() -> float:
        acting.set_parameters(learner.get_parameters())
        return float(_paid(seen, acting.act(seen)).mean())

    before = score()
    for _ in range(updates):
        learner.update(_games(chance, rng), rng)
    yield rose(f"what a game pays, over {updates} updates,", before, score(), above=0.9)
    fresh = build()
    fresh.load_state(learner.state())
    yield same_state(learner.state(), fresh.state())


def _games(chance: Controller, rng: np.random.Generator, games: int = 256) -> Transitions:
    """Returns games of one step, played by a controller."""
    seen = rng.standard_normal((games, FEATURES), np.float32)
    actions = chance.sample(seen, rng)
    ended = np.zeros(games, np.float32)
    return Transitions(seen, actions, _paid(seen, actions), ended, seen)


def _paid(seen: np.ndarray, actions: np.ndarray) -> Float:
    """Returns 1 for the action that the first feature's sign, or its tanh, asks for; `[B]`."""
    if actions.ndim == 1:
        return (actions == (seen[:, 0] > 0)).astype(np.float32)
    return np.float32(1.0) - np.square(actions[:, 0] - np.tanh(seen[:, 0]))
