"""The contract of `VectorEnv`, enforced on what goes in and executable on what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.interface import ActionSpec, EnvSpec, Step, VectorEnv
from curriculum.errors import EnvironmentFault
from curriculum.seeds import following_seed

MakeVectorEnv = Callable[[int], VectorEnv]
"""Builds a batch of so many environments."""


def checked_rows(
    num_envs: int, seeds: Sequence[int] | None, indices: Sequence[int] | None
) -> NDArray[np.intp]:
    """Returns which environments a reset names, in the order of its seeds.

    Raises:
        ValueError: seeds and indices differ in number, a seed is negative, or an index names no
            environment or one twice.
    """
    rows = np.asarray(range(num_envs) if indices is None else indices, np.intp).reshape(-1)
    given = rows.size if seeds is None else len(seeds)
    if given != rows.size or len(set(rows.tolist())) != rows.size:
        raise ValueError(
            f"reset got {given} seeds for environments {rows.tolist()}; give one seed per "
            "environment and name each once"
        )
    if rows.size and not (rows.min() >= 0 and rows.max() < num_envs):
        raise ValueError(
            f"reset got environments {rows.tolist()}; they must lie in 0..{num_envs - 1}"
        )
    if any(seed < 0 for seed in seeds or ()):
        raise ValueError(f"reset got seeds {list(seeds or ())}; they must not be negative")
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
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise ValueError(f"{spec.env_id}: actions must be finite, got {given}")
    if space.kind == "continuous":
        return np.clip(given, *space.bounds).astype(np.float32, copy=False)
    if given.min() < 0 or given.max() >= space.size:
        raise ValueError(
            f"{spec.env_id}: actions must lie in 0..{space.size - 1}, got "
            f"{given.min()}..{given.max()}"
        )
    return given.astype(np.int64)


class SeedBook:
    """Which seed the next episode of each environment gets.

    Args:
        num_envs: N.
    """

    def __init__(self, num_envs: int) -> None:
        self._seeds: list[int | None] = [None] * num_envs
        self._turns = [0] * num_envs

    def take(self, rows: NDArray[np.intp], seeds: Sequence[int] | None) -> list[int]:
        """Returns the seeds of a reset, in the order of `rows`; None goes on from the last.

        Raises:
            ValueError: an environment is to go on that was never given a seed.
        """
        if seeds is not None:
            for row, seed in zip(rows.tolist(), seeds, strict=True):
                self._seeds[row], self._turns[row] = int(seed), 0
            return [int(seed) for seed in seeds]
        following = []
        for row in rows.tolist():
            seed = self.following(row)
            if seed is None:
                raise ValueError(
                    f"environment {row} was never given a seed: reset it with one first"
                )
            following.append(seed)
        for row in rows.tolist():
            self._turns[row] += 1
        return following

    def following(self, row: int) -> int | None:
        """Returns the seed that an environment goes on with, if it is asked to.

        It is None for one that was never given a seed.
        """
        seed = self._seeds[row]
        return None if seed is None else following_seed(seed, self._turns[row] + 1)


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
        at correct use is one, if it is known as an `EnvironmentFault`; else it is not caught.
    """
    trial = _Trial(make_env, steps, shared_noise)
    found: list[str] = []
    checks = (_check_shapes, _check_seeds, _check_going_on, _check_parking, _check_refusals)
    for check in checks:
        try:
            found.extend(check(trial))
        except EnvironmentFault as e:
            found.append(str(e))
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
    flags = dict.fromkeys(("terminated", "truncated", "life_lost"), np.bool_)
    expected = {"rewards": np.float32, **flags}
    for name, dtype in expected.items():
        value = getattr(step, name)
        if value.shape != (env.num_envs,) or value.dtype != dtype:
            yield (
                f"step returns {name} {value.shape} {value.dtype}, "
                f"expected {(env.num_envs,)} {np.dtype(dtype)}"
            )
    if not np.isfinite(step.rewards).all():
        yield "step returns rewards that are not finite"
    yield from _wrong_facts(env, step)
    if (step.terminated & step.truncated).any():
        yield "step returns terminated and truncated together: the end of a game comes first"
    if (step.life_lost & (step.terminated | step.truncated)).any():
        yield "step returns life_lost at the end of an episode: it means that the game goes on"


def _wrong_facts(env: VectorEnv, step: Step) -> Iterator[str]:
    names, facts = env.spec.facts, step.facts
    if facts is None:
        if names:
            yield f"step returns no facts, its spec promises {', '.join(names)}"
    elif facts.shape != (env.num_envs, len(names)) or facts.dtype != np.float32:
        yield (
            f"step returns facts {facts.shape} {facts.dtype}, its spec promises "
            f"{(env.num_envs, len(names))} float32"
        )
    elif not np.isfinite(facts).all():
        yield "step returns facts that are not finite"


def _play(env: VectorEnv, row: int, actions: list[np.ndarray]) -> list[tuple[bytes, ...]]:
    """Plays on and returns what one environment showed, until its episode ended."""
    seen = []
    for batch in actions:
        step = env.step(batch)
        parts = (part[row] for part in step if part is not None)
        seen.append(tuple(np.ascontiguousarray(part).tobytes() for part in parts))
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


def _check_going_on(trial: _Trial) -> Iterator[str]:
    env = trial.make_env(2)
    actions = _actions(env.spec.action, 2, trial.steps)
    sequences = [_episodes_in_a_row(env, actions) for _ in range(2)]
    if sequences[0] != sequences[1]:
        yield "equal seeds and actions give other episodes where reset goes on without seeds"
    yield from _one_alone(trial, actions)
    env.reset([4, 5])
    for batch in actions:
        as_given = np.array_equal(env.send(batch), checked_actions(env.spec, 2, batch))
        if not as_given and not env.spec.replaces_actions:
            yield "send takes other actions than it is given, and its spec does not say so"
        env.recv()
    env.close()


def _one_alone(trial: _Trial, actions: list[np.ndarray]) -> Iterator[str]:
    """One environment goes on while the other has never been given a seed, as in a replay."""
    env = trial.make_env(2)
    env.reset([4], [1])
    try:
        env.reset(None, [1])
        env.step(actions[0])
    except ValueError as e:
        yield f"an environment cannot go on while another was never given a seed: {e}"
    env.close()


def _episodes_in_a_row(env: VectorEnv, actions: list[np.ndarray]) -> list[tuple[bytes, ...]]:
    """Plays from a seeded start and starts ended episodes again without seeds."""
    seen: list[tuple[bytes, ...]] = [(env.reset([4, 5]).tobytes(),)]
    for batch in actions:
        seen.append((env.send(batch).tobytes(),))
        step = env.recv()
        parts = (part for part in step if part is not None)
        seen.append(tuple(np.ascontiguousarray(part).tobytes() for part in parts))
        over = np.flatnonzero(step.terminated | step.truncated).tolist()
        if over:
            seen.append((env.reset(None, over).tobytes(),))
    return [*seen, (env.reset(None).tobytes(),)]


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
    told = (part for part in step[1:] if part is not None)
    if any(part[parked].any() for part in told):
        yield (
            "a parked environment gives a reward, a flag or a fact: reward 0, no flag and facts of "
            "0 are expected"
        )


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
        if not _refused(act, ValueError):
            yield f"{what} is accepted: raise ValueError"
    yield from _wrong_order(env, good)
    env.close()


def _wrong_order(env: VectorEnv, good: np.ndarray) -> Iterator[str]:
    if not _refused(env.recv, RuntimeError):
        yield "recv without send is accepted: raise RuntimeError"
    taken = env.send(good)
    if taken.shape != good.shape or taken.dtype != good.dtype:
        yield f"send returns actions {taken.shape} {taken.dtype}, got {good.shape} {good.dtype}"
    for what, act in {"reset": lambda: env.reset([1, 2]), "send": lambda: env.send(good)}.items():
        if not _refused(act, RuntimeError):
            yield f"{what} between send and recv is accepted: raise RuntimeError"
    env.recv()


def _refused(act: Callable[[], object], error: type[Exception]) -> bool:
    try:
        act()
    except error:
        return True
    return False
