"""Advantages and returns of rollouts cut out of episodes, with correct bootstrapping."""

from __future__ import annotations

import numpy as np

from models.interfaces import Rollout
from models.shapes import Bool, Float32


def generalized_advantages(
    rewards: Float32[np.ndarray, "T N"],
    values: Float32[np.ndarray, "T N"],
    next_values: Float32[np.ndarray, "T N"],
    terminated: Bool[np.ndarray, "T N"],
    truncated: Bool[np.ndarray, "T N"],
    *,
    gamma: float,
    gae_lambda: float,
    ratios: Float32[np.ndarray, "T N"] | None = None,
) -> tuple[Float32[np.ndarray, "T N"], Float32[np.ndarray, "T N"]]:
    """Returns generalised advantage estimates and the returns that a value function is fitted to.

    Schulman et al. 2016, equation 16. A terminated episode is worth nothing afterwards; where a
    time limit cut one, or the rollout ends inside it, the value of what follows counts.

    What another policy has played is corrected by V-trace (Espeholt et al. 2018, equation 1 and
    remark 2): errors and traces are weighed by `min(1, ratio)`, c and rho both bounded by 1. An
    advantage is that of the action taken, so its own ratio is not in it (Queeney et al. 2021).

    Args:
        rewards: `[T, N]` float32.
        values: `[T, N]` float32, of the observation before each step.
        next_values: `[T, N]` float32, of the observation that each step led to: at an end the
            last one of the episode, never the first of the next.
        terminated: `[T, N]`.
        truncated: `[T, N]`.
        gamma: discount.
        gae_lambda: lambda; 0 is the one-step error, 1 the whole discounted return.
        ratios: `[T, N]`, how much more likely each action is now than when it was taken; None if
            all are as likely.

    Returns:
        Advantages and returns, `[T, N]` float32 each.
    """
    errors = rewards + gamma * next_values * ~terminated - values
    decay = gamma * gae_lambda * ~(terminated | truncated)
    weights = np.ones_like(errors) if ratios is None else np.minimum(ratios, 1.0)
    advantages, corrections = np.zeros_like(errors), np.zeros_like(errors)
    following = np.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        advantages[t] = errors[t] + decay[t] * following
        following = weights[t] * advantages[t]
        corrections[t] = following
    return advantages.astype(np.float32), (corrections + values).astype(np.float32)


def rollout_targets(
    rollout: Rollout,
    values: Float32[np.ndarray, "T N"],
    last_values: Float32[np.ndarray, " N"],
    cut_values: Float32[np.ndarray, " M"],
    *,
    gamma: float,
    gae_lambda: float,
    ratios: Float32[np.ndarray, "T N"] | None = None,
) -> tuple[Float32[np.ndarray, "T N"], Float32[np.ndarray, "T N"]]:
    """Returns advantages and returns of a rollout's steps, zero where none was taken.

    Args:
        rollout: its rewards, ends and mask.
        values: `[T, N]`, of the features before each step; not read where none was taken.
        last_values: `[N]`, after the last step; not read where that ended an episode.
        cut_values: `[M]`, of the cut episodes' last features.
        gamma: discount.
        gae_lambda: lambda.
        ratios: `[T, N]`, see `generalized_advantages`; not read where no step was taken.

    Returns:
        `[T, N]` float32 each.
    """
    taken = steps_taken(rollout)
    next_values = np.concatenate([np.where(taken, values, 0.0)[1:], last_values[None]])
    next_values[tuple(rollout.cut_at.T)] = cut_values
    # What is not read may be anything, and a NaN survives being multiplied by zero.
    ended = rollout.terminated | ~taken
    next_values[ended] = 0.0
    return generalized_advantages(
        np.where(taken, rollout.rewards, 0.0).astype(np.float32),
        np.where(taken, values, 0.0).astype(np.float32),
        next_values.astype(np.float32),
        ended,
        rollout.truncated & taken,
        gamma=gamma,
        gae_lambda=gae_lambda,
        ratios=None if ratios is None else np.where(taken, ratios, 1.0).astype(np.float32),
    )


def steps_taken(rollout: Rollout) -> Bool[np.ndarray, "T N"]:
    """Returns which steps were taken, `[T, N]`; raises ValueError on contradictions."""
    shape = rollout.rewards.shape
    taken = np.ones(shape, np.bool_) if rollout.mask is None else rollout.mask
    cut = np.zeros(shape, np.bool_)
    cut[tuple(rollout.cut_at.T)] = True
    faults = {
        "an end is both terminated and truncated": rollout.terminated & rollout.truncated & taken,
        "a truncated step has no cut features": rollout.truncated & taken & ~cut,
        "a step is masked though none before it ended the episode": (
            taken & ~np.roll(taken, -1, axis=0) & ~(rollout.terminated | rollout.truncated)
        )[:-1],
    }
    for fault, where in faults.items():
        if where.any():
            t, n = np.argwhere(where)[0]
            raise ValueError(
                f"a rollout contradicts itself: {fault}, at step {t} of environment {n}"
            )
    return taken
