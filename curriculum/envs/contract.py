"""The contract of `VectorEnv`, enforced on what goes in and executable on what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.interface import ActionSpec, EnvSpec, Step, VectorEnv

MakeVectorEnv = Callable[[int], VectorEnv]
"""Builds a batch of so many environments."""


def checked_rows(
    num_envs: int, seeds: Sequence[int], indices: Sequence[int] | None
) -> NDArray[np.intp]:
    """Returns which environments a reset names, `[len(seeds)]`.

    Raises:
        ValueError: seeds and indices differ in number, a seed is negative, or an index names no
            environment or one twice.
    """
    rows = np.asarray(range(num_envs) if indices is None else indices, np.intp).reshape(-1)
    if len(seeds) != rows.size or len(set(rows.tolist())) != rows.size:
        raise ValueError(
            f"reset got {len(seeds)} seeds for environments {rows.tolist()}; give one seed per "
            "environment and name each once"
        )
    if rows.size and not (rows.min() >= 0 and rows.max() < num_envs):
        raise ValueError(
            f"reset got environments {rows.tolist()}; they must lie in 0..{num_envs - 1}"
        )
    if any(seed < 0 for seed in seeds):
        raise ValueError(f"reset got seeds {list(seeds)}; they must not be negative")
    return rows


def checked_actions(spec: EnvSpec, num_envs: int, actions: np.ndarray) -> np.ndarray:
    """Returns actions as an environment takes them: `[N]` int64, or `[N, A]` float32 in bounds.

    Continuous actions are clipped, because a squashed action may pass its bound by a rounding.

    Raises:
        ValueError: a wrong shape, an action that does not exist, or one that is not a number.
    """
    space, given = spec.action, np.asarray(actions)
    shape = (num_envs,) if space.kind == "discrete" else (num_envs, space.size)
    if given.shape != shape:
        raise ValueError(f"{spec.env_id}: actions must be {shape}, got {given.shape}")
    if not np.isfinite(given).all():
        raise ValueError(f"{spec.env_id}: actions must be finite, got {given}")
    if space.kind == "continuous":
        return np.clip(given, space.low, space.high).astype(np.float32)
    if given.min() < 0 or given.max() >= space.size:
        raise ValueError(
            f"{spec.env_id}: actions must lie in 0..{space.size - 1}, got "
            f"{given.min()}..{given.max()}"
        )
    return given.astype(np.int64)


@dataclass(frozen=True)
class _Trial:
    """What the checks share: how to build, how long to play, whether noise is shared."""

    make_env: MakeVectorEnv
    steps: int
    shared_noise: bool


def check_vector_env(
    make_env: MakeVectorEnv, *, steps: int = 40, shared_noise: bool = False
) -> list[str]:
    """Plays an environment and reports every broken promise of `VectorEnv`.

    Args:
        make_env: `num_envs` to a new batch; episodes that end within `steps` show more.
        steps: steps played by each check.
        shared_noise: the batch is one unit, as a dream is: an episode may depend on its
            neighbours, and only equal resets of the whole batch give equal episodes.

    Returns:
        One sentence per violation, empty where the contract holds. What an environment raises
        at correct use is not caught.
    """
    trial = _Trial(make_env, steps, shared_noise)
    found: list[str] = []
    for check in (_check_shapes, _check_seeds, _check_parking, _check_refusals):
        found.extend(check(trial))
    return list(dict.fromkeys(found))


def _actions(action: ActionSpec, num_envs: int, steps: int) -> list[np.ndarray]:
    """Random actions `[N, ...]` for each step; the first two are the ends of the action space."""
    rng = np.random.default_rng(1)
    drawn = [np.stack([action.sample(rng) for _ in range(num_envs)]) for _ in range(steps)]
    ends = (0, action.size - 1) if action.kind == "discrete" else (action.low, action.high)
    extremes = [np.stack([np.asarray(end, drawn[0].dtype)] * num_envs) for end in ends]
    return (extremes + drawn)[:steps]


def _check_shapes(trial: _Trial) -> Iterator[str]:
    env = trial.make_env(2)
    if not isinstance(env, VectorEnv) or env.num_envs != 2:
        yield "the environment is no VectorEnv of the size that was asked for"
    yield from _wrong_observations(env, env.reset([3, 4]), "reset")
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for actions in _actions(env.spec.action, 2, trial.steps):
        step = env.step(actions)
        yield from _wrong_step(env, step)
        kept.append((step.observations, step.observations.copy()))
    if any(not np.array_equal(now, then) for now, then in kept):
        yield "step writes into observations that it returned before: return a new array"
    env.close()
    env.close()


def _wrong_observations(env: VectorEnv, observations: np.ndarray, source: str) -> Iterator[str]:
    shape = (env.num_envs, *env.spec.shape)
    dtype = np.uint8 if env.spec.observation == "pixels" else np.float32
    if observations.shape != shape or observations.dtype != dtype:
        yield (
            f"{source} returns observations {observations.shape} {observations.dtype}, "
            f"its spec promises {shape} {np.dtype(dtype)}"
        )
    if not np.isfinite(observations).all():
        yield f"{source} returns observations that are not finite"


def _wrong_step(env: VectorEnv, step: Step) -> Iterator[str]:
    yield from _wrong_observations(env, step.observations, "step")
    expected = {"rewards": np.float32, "terminated": np.bool_, "truncated": np.bool_}
    for name, dtype in expected.items():
        value = getattr(step, name)
        if value.shape != (env.num_envs,) or value.dtype != dtype:
            yield (
                f"step returns {name} {value.shape} {value.dtype}, "
                f"expected {(env.num_envs,)} {np.dtype(dtype)}"
            )
    if not np.isfinite(step.rewards).all():
        yield "step returns rewards that are not finite"
    if (step.terminated & step.truncated).any():
        yield "step returns terminated and truncated together: the end of a game comes first"


def _play(env: VectorEnv, row: int, actions: list[np.ndarray]) -> list[tuple[bytes, ...]]:
    """Plays on and returns what one environment showed, until its episode ended."""
    seen = []
    for batch in actions:
        step = env.step(batch)
        seen.append(tuple(np.ascontiguousarray(part[row]).tobytes() for part in step))
        if step.terminated[row] or step.truncated[row]:
            break
    return seen


def _check_seeds(trial: _Trial) -> Iterator[str]:
    env = trial.make_env(3)
    actions = _actions(env.spec.action, 3, trial.steps)
    start = env.reset([7, 8, 9]).copy()
    first = _play(env, 1, actions)
    if not np.array_equal(start, env.reset([7, 8, 9])) or _play(env, 1, actions) != first:
        yield "equal seeds and actions give other episodes after an episode was played"
    if trial.shared_noise:
        env.close()
        return
    env.reset([1, 2, 3])
    _play(env, 0, actions[: trial.steps // 2])
    again = env.reset([8], [1])
    if not np.array_equal(again[1], start[1]) or _play(env, 1, actions) != first:
        yield "equal seeds and actions give another episode when one environment is reset"
    env.close()
    alone = trial.make_env(1)
    alone.reset([8])
    if _play(alone, 0, [batch[1:2] for batch in actions]) != first:
        yield "equal seeds and actions give another episode in a batch of another size"
    alone.close()


def _check_parking(trial: _Trial) -> Iterator[str]:
    env = trial.make_env(3)
    actions = _actions(env.spec.action, 3, trial.steps)
    before = env.reset([5], [1]).copy()
    yield from _wrong_observations(env, before, "reset of one")
    parked = np.array([True, False, True])
    for batch in actions:
        step = env.step(batch)
        yield from _stirred(before, step, parked)
        parked |= step.terminated | step.truncated
        before = step.observations
        if parked.all():
            break
    if parked.all():
        yield from _stirred(before, env.step(actions[0]), parked)
    shown = env.reset([5], [0])
    if not np.array_equal(shown[1:], before[1:]):
        yield "reset of one environment changes the observations of others"
    env.close()


def _stirred(before: np.ndarray, step: Step, parked: NDArray[np.bool_]) -> Iterator[str]:
    if not np.array_equal(before[parked], step.observations[parked]):
        yield "a parked environment's observation changes: it must stay the last one"
    if step.rewards[parked].any() or (step.terminated | step.truncated)[parked].any():
        yield "a parked environment gives a reward or a flag: reward 0 and no flag are expected"


def _check_refusals(trial: _Trial) -> Iterator[str]:
    env = trial.make_env(2)
    env.reset([1, 2])
    good = _actions(env.spec.action, 2, 1)[0]
    bad = {
        "a missing action": lambda: env.step(good[:1]),
        "a missing seed": lambda: env.reset([1]),
        "an environment that does not exist": lambda: env.reset([1], [2]),
    }
    if env.spec.action.kind == "discrete":
        bad["an action that does not exist"] = lambda: env.step(good + env.spec.action.size)
    else:
        bad["an action that is not a number"] = lambda: env.step(np.full_like(good, np.nan))
    for what, act in bad.items():
        try:
            act()
        except ValueError:
            continue
        yield f"{what} is accepted: raise ValueError"
    env.step(good)
    env.close()
