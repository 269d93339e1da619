"""Each simulated game can be won: a scripted player passes its target, random play does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from curriculum.envs.simulation import make_simulation
from curriculum.tasks import BUILTIN

EPISODES = 100


def pong_player(state: np.ndarray) -> np.ndarray:
    """Keeps the paddle level with the ball."""
    lower = state[:, 1] - state[:, 4]
    return np.where(lower < -0.09, 2, np.where(lower > 0.09, 3, 0))


def breakout_player(state: np.ndarray) -> np.ndarray:
    """Keeps the paddle under the ball."""
    right = state[:, 0] - state[:, 4]
    return np.where(right > 0.12, 2, np.where(right < -0.12, 3, 0))


def landing_player(state: np.ndarray) -> np.ndarray:
    """Leans against drift and brakes the fall; lets go on the ground."""
    x, y, vx, vy, angle, spin, left, right = state.T
    grounded = left + right > 0
    lean = np.clip(0.6 * x + vx, -0.5, 0.5)
    turn = np.where(grounded, 0.0, 0.6 * (lean - angle) - 0.8 * spin)
    lift = 0.3 * np.abs(x) - 0.6 * y - 0.6 * vy - 0.08
    lift = np.where(grounded, -0.5 * vy - 0.05, lift)
    side = np.where(turn > 0.05, 1, np.where(turn < -0.05, 3, 0))
    return np.where((lift > 0.05) & (lift > np.abs(turn)), 2, side)


def driving_player(state: np.ndarray) -> np.ndarray:
    """Steers to where the road will be, slower where it bends."""
    speed, spin, near, middle, far = state[:, [0, 2, 6, 7, 8]].T
    steer = np.clip(0.12 * spin - 0.35 * near - 0.45 * middle, -1, 1)
    over = speed - 0.8 + 0.06 * np.minimum(np.abs(far), 4)
    return np.stack([steer, np.clip(0.4 - 6 * over, 0, 1), np.clip(5 * over, 0, 1)], axis=1)


PLAYERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "pong": pong_player,
    "lunarlander": landing_player,
    "breakout": breakout_player,
    "carracing": driving_player,
}


def scores(name: str, player: Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
    """Scores `[EPISODES]` of a player, or of uniformly random actions."""
    env = make_simulation(name, EPISODES, "state")
    rng = np.random.default_rng(0)
    observations = env.reset(range(1000, 1000 + EPISODES))
    total, live = np.zeros(EPISODES), np.ones(EPISODES, np.bool_)
    while live.any():
        if player is None:
            actions = np.stack([env.spec.action.sample(rng) for _ in range(EPISODES)])
        else:
            actions = player(observations)
        observations, rewards, terminated, truncated, *_ = env.step(actions)
        total += rewards
        live &= ~(terminated | truncated)
    return total


@pytest.mark.parametrize("name", PLAYERS)
def test_scripted_player_passes_and_random_play_does_not(name: str) -> None:
    target = BUILTIN[name]["simulation_target"]
    expert, chance = scores(name, PLAYERS[name]), scores(name, None)
    assert expert.mean() >= target
    assert chance.mean() < target
    # Far below: the target lies outside what luck gives to more than a few episodes in a hundred.
    assert np.quantile(chance, 0.95) < target
