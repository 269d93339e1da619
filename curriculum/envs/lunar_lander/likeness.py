"""Whether `FastLander` may stand in for an environment: asked of the libraries as they are here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

_STOCK = "gymnasium.envs.box2d.lunar_lander"
_UNDERSTOOD = (OrderEnforcing, PassiveEnvChecker, TimeLimit)
_SEEDS, _FRAMES = (1, 2), 80


class Variant(NamedTuple):
    """What one LunarLander was made with."""

    continuous: bool
    gravity: float
    enable_wind: bool
    wind_power: float
    turbulence_power: float


def fits(env: gymnasium.Env, notice: Callable[[str], None] | None = None) -> bool:
    """Whether `FastLander` plays an environment's episodes bit for bit.

    It does so for Gymnasium's own LunarLander where nothing is drawn. The first time in a process
    that a variant is asked for, episodes of both are compared, which takes some 20 ms.

    Args:
        env: what `gymnasium.make` returned.
        notice: is told where the two differ, because a library has changed.
    """
    module, native = sys.modules.get(_STOCK), env.unwrapped
    # Another class of that name may do anything, and so may a wrapper; drawing adds particles.
    if module is None or type(native) is not module.LunarLander or native.render_mode is not None:
        return False
    while isinstance(env, gymnasium.Wrapper):
        if type(env) not in _UNDERSTOOD:
            return False
        env = env.env
    difference = _difference(Variant(*(getattr(native, name) for name in Variant._fields)))
    if difference and notice:
        notice(f"LunarLander is played by Gymnasium itself, more slowly: {difference}")
    return not difference


@cache
def _difference(variant: Variant) -> str:
    """Returns how the fast way differs from Gymnasium's own, empty where it does not."""
    native: Any = sys.modules[_STOCK].LunarLander(continuous=variant.continuous)
    for name, value in variant._asdict().items():
        setattr(native, name, value)
    try:
        # Both load names of Box2D that only version 2.3.10 is known to have.
        from curriculum.envs.lunar_lander.flight import FastLander

        fast = FastLander(native)
        rng = np.random.default_rng(0)
        same = all(_equal_episode(native, fast, seed, rng) for seed in _SEEDS)
    except (ImportError, AttributeError, TypeError, ValueError) as e:
        return f"the fast way fails with this Gymnasium or Box2D ({type(e).__name__}: {e})"
    return "" if same else "the fast way is not exact with this Gymnasium or Box2D"


def _equal_episode(native: Any, fast: Any, seed: int, rng: np.random.Generator) -> bool:
    """Whether both give the same, bit for bit, under random actions."""
    observation, _ = native.reset(seed=seed)
    same = observation.tobytes() == fast.reset(seed).tobytes()
    for _ in range(_FRAMES):
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        if not native.continuous:
            action = rng.integers(4)
        observation, reward, terminated, _, _ = native.step(action)
        seen, gained, over, _ = fast.step(action)
        same &= observation.tobytes() == seen.tobytes()
        same &= reward == gained and terminated == over
        if terminated or not same:
            break
    return bool(same)
