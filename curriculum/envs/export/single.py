"""One environment of ours as a `gymnasium.Env`, for everything that speaks Gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from curriculum.envs.export.vector import action_space, observation_space
from curriculum.envs.interface import VectorEnv

Info = dict[str, Any]

FPS = 15
"""At which what an environment renders is shown: that of Atari games at four frames a step."""


class ExportedEnv(gymnasium.Env[np.ndarray, Any]):
    """A batch of one environment.

    `info` holds `life_lost` after a step.

    Args:
        env: the batch; it is closed with this.
        draw: turns what is observed into a picture `[H, W, 3]` uint8; None where it cannot be
            drawn.
        render_mode: None, or `rgb_array` if it can be.

    Raises:
        ValueError: the batch has several environments, or it cannot be drawn and should be.
    """

    def __init__(
        self,
        env: VectorEnv,
        draw: Callable[[np.ndarray], np.ndarray] | None = None,
        render_mode: str | None = None,
    ) -> None:
        if env.num_envs != 1:
            raise ValueError(f"a batch of {env.num_envs} was given, expected one environment")
        if render_mode not in (None, "rgb_array") or (render_mode and draw is None):
            raise ValueError(
                f"render_mode was {render_mode!r}, expected None"
                + (" or 'rgb_array'" if draw else ", because what is seen here are no pictures")
            )
        self.metadata = {"render_modes": ["rgb_array"] if draw else [], "render_fps": FPS}
        self.render_mode = render_mode
        self.observation_space = observation_space(env.spec)
        self.action_space = action_space(env.spec.action)
        self._env, self._draw = env, draw
        self._seen = np.zeros(0)
        self._going_on = False

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[np.ndarray, Info]:
        """Begins an episode; without a seed, the next one of the stream last seeded."""
        super().reset(seed=seed)
        self._seen = self._env.reset([int(self.np_random.integers(2**31))])[0].copy()
        self._going_on = True
        return self._seen.copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Takes one step with an action of `action_space`.

        Raises:
            gymnasium.error.ResetNeeded: no episode has begun, or the last one is over.
        """
        if not self._going_on:
            raise ResetNeeded("there is no episode to step in: call reset() first")
        step = self._env.step(np.asarray(action)[None])
        self._seen = step.observations[0].copy()
        reward, terminated = float(step.rewards[0]), bool(step.terminated[0])
        self._going_on = not (terminated or bool(step.truncated[0]))
        info = {"life_lost": bool(step.life_lost[0])}
        return self._seen.copy(), reward, terminated, bool(step.truncated[0]), info

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Returns a picture `[H, W, 3]` uint8 of what was observed last; None without a mode."""
        if self.render_mode is None or self._draw is None:
            return None
        picture = self._draw(self._seen)
        return np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture

    def close(self) -> None:
        """Closes the batch."""
        self._env.close()
