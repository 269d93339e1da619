"""Advantages and returns of rollouts cut out of episodes, with correct bootstrapping."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.interfaces import Float


def generalized_advantages(
    rewards: Float,
    values: Float,
    next_values: Float,
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    *,
    gamma: float,
    gae_lambda: float,
) -> tuple[Float, Float]:
    """Returns generalised advantage estimates and the returns that a value function is fitted to.

    Schulman et al. 2016, equation 16. A terminated episode is worth nothing afterwards; where a
    time limit cut one, or the rollout ends inside it, the value of what follows counts.

    Args:
        rewards: `[T, N]` float32.
        values: `[T, N]` float32, of the observation before each step.
        next_values: `[T, N]` float32, of the observation that each step led to: at an end the
            last one of the episode, never the first of the next.
        terminated: `[T, N]`.
        truncated: `[T, N]`.
        gamma: discount.
        gae_lambda: lambda; 0 is the one-step error, 1 the whole discounted return.

    Returns:
        Advantages and returns, `[T, N]` float32 each.
    """
    errors = rewards + gamma * next_values * ~terminated - values
    decay = gamma * gae_lambda * ~(terminated | truncated)
    advantages = np.zeros_like(errors)
    following = np.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        following = errors[t] + decay[t] * following
        advantages[t] = following
    return advantages.astype(np.float32), (advantages + values).astype(np.float32)
