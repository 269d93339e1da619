"""One dream as a `gymnasium.Env`, for everything that speaks Gymnasium."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from curriculum.envs.export.vector import action_space
from curriculum.envs.interface import ActionSpec
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from models.interfaces import Float, Memory

_LARGEST = float(np.finfo(np.float32).max)


class DreamEnv(gymnasium.Env[np.ndarray, Any]):
    """M as a Gymnasium environment whose observation is z, `[Z]` float32.

    Args:
        memory: M; it is only read.
        starts: where dreams may begin.
        action: the action space of the environment that M has learned.
        temperature: tau in [0.5, 2].
        max_steps: steps after which a dream is truncated.
        render_mode: None; latents are drawn by V's `decode`.

    Raises:
        ValueError: the temperature or a size does not fit.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  the base class declares it like this

    def __init__(
        self,
        memory: Memory,
        starts: DreamStarts,
        action: ActionSpec,
        *,
        temperature: float = 1.0,
        max_steps: int = 300,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-_LARGEST, _LARGEST, (memory.latent_size,), np.float32)
        self.action_space = action_space(action)
        self._dream = DreamVectorEnv(
            memory, starts, action, 1, temperature=temperature, max_steps=max_steps
        )

    def hidden(self) -> Float:
        """Returns M's features h of what was seen before the present z, `[R]`."""
        return self._dream.hidden()[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts a new dream; without a seed, the next one of the stream last seeded."""
        super().reset(seed=seed)
        return self._dream.reset([int(self.np_random.integers(2**31))])[0].copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Dreams one step with an action of `action_space`."""
        step = self._dream.step(np.asarray(action)[None])
        return (
            step.observations[0].copy(),
            float(step.rewards[0]),
            bool(step.terminated[0]),
            bool(step.truncated[0]),
            {},
        )
