"""Atari games on ale-py's native vector environment, reset by the caller.

What the native one does by default and this does not: it clips rewards, resets by itself (an
environment that ends is played on unseen while it is parked here), repeats actions with
probability 0 whatever the id says, and presses FIRE only at a reset, so that a Breakout without
a ball would wait for one until the frame limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv as NativeEnv

from curriculum.envs.contract import checked_actions, checked_rows
from curriculum.envs.interface import ActionSpec, EnvSpec, Step
from curriculum.errors import ConfigError

MAX_FRAMES = 108_000
"""Half an hour of play, the customary limit of an episode (Machado et al. 2018, table 1)."""

_SIZE = 64
_UNSEEDED = -1
_ALWAYS: dict[str, Any] = {
    "img_height": _SIZE,
    "img_width": _SIZE,
    "stack_num": 1,
    "use_fire_reset": True,
    "episodic_life": False,
    "reward_clipping": False,
}


class AtariVectorEnv:
    """N games stepped in native threads (`curriculum.envs.interface.VectorEnv`).

    After a lost life the next action is FIRE, as at a reset, in games that have it.

    Args:
        env_id: the name it goes by, e.g. `PongNoFrameskip-v4`.
        rom: name of the ROM, snake_case.
        num_envs: N.
        frame_skip: frames an action is held; the pixelwise maximum of the last two is observed.
        grayscale: observations `[64, 64, 1]` instead of `[64, 64, 3]`.
        repeat_action_probability: sticky actions, per frame (Machado et al. 2018, section 5.2).
        noop_max: up to so many frames pass before an episode's first observation.
        max_episode_steps: steps after which an episode is truncated; 0 is 108,000 frames.
        full_action_space: all 18 actions instead of those the game knows.
        num_threads: native threads; 0 is one per core, at most one per environment.

    Raises:
        ConfigError: ale-py has no such ROM.
    """

    def __init__(
        self,
        env_id: str,
        rom: str,
        num_envs: int,
        *,
        frame_skip: int = 4,
        grayscale: bool = True,
        repeat_action_probability: float = 0.0,
        noop_max: int = 30,
        max_episode_steps: int = 0,
        full_action_space: bool = False,
        num_threads: int = 0,
    ) -> None:
        if rom not in roms.get_all_rom_ids():
            raise ConfigError(
                f"environment {env_id} needs the ROM {rom!r}, which this ale-py does not have; "
                "install a newer ale-py or choose another game"
            )
        frames = min(MAX_FRAMES, max_episode_steps * frame_skip or MAX_FRAMES)
        self._native: NativeEnv | None = NativeEnv(
            rom,
            num_envs,
            frameskip=frame_skip,
            grayscale=grayscale,
            repeat_action_probability=repeat_action_probability,
            noop_max=noop_max,
            max_num_frames_per_episode=frames,
            full_action_space=full_action_space,
            num_threads=num_threads,
            **_ALWAYS,
        )
        names = [action.name for action in self._native.ale.get_action_set()]
        self._fire = names.index("FIRE") if "FIRE" in names else None
        shape = (_SIZE, _SIZE, 1 if grayscale else 3)
        steps = -(-frames // frame_skip)
        action = ActionSpec("discrete", len(names))
        self.spec = EnvSpec(env_id, "pixels", shape, action, frame_skip, steps)
        self.num_envs = num_envs
        self._started = False
        self._live = np.zeros(num_envs, np.bool_)
        self._lives = np.zeros(num_envs, np.int64)
        self._press_fire = np.zeros(num_envs, np.bool_)
        self._observations = np.zeros((num_envs, *shape), np.uint8)

    def reset(self, seeds: Sequence[int], indices: Sequence[int] | None = None) -> np.ndarray:
        """Starts new episodes; see `VectorEnv.reset`.

        A seed reloads the ROM, about 0.1 s of one core: only so are the emulator's own random
        numbers independent of what was played before.

        Raises:
            ValueError: seeds and indices do not fit.
        """
        rows = checked_rows(self.num_envs, seeds, indices)
        if not rows.size:
            return self._observations
        native_seeds = np.full(self.num_envs, _UNSEEDED)
        native_seeds[rows] = [_native_seed(seed) for seed in seeds]
        named = np.zeros(self.num_envs, np.bool_)
        named[rows] = True
        # The native environment wants to be reset as a whole before it is reset in parts.
        mask = named if self._started else np.ones_like(named)
        pixels, info = self._open.reset(seed=native_seeds[mask], options={"reset_mask": mask})
        self._started = True
        self._live |= named
        self._press_fire &= ~named
        self._lives = np.where(named, info["lives"], self._lives)
        self._observations = self._seen(pixels, named)
        return self._observations

    def step(self, actions: np.ndarray) -> Step:
        """Steps all environments; see `VectorEnv.step`.

        Raises:
            ValueError: a wrong shape, or an action that does not exist.
        """
        chosen = checked_actions(self.spec, self.num_envs, actions)
        live = self._live.copy()
        if not live.any():
            nothing = np.zeros(self.num_envs, np.bool_)
            return Step(self._observations, nothing.astype(np.float32), nothing, nothing.copy())
        chosen = np.where(self._press_fire & live, self._fire or 0, chosen)
        pixels, rewards, terminated, truncated, info = self._open.step(chosen)
        terminated = live & terminated
        truncated = live & truncated & ~terminated
        if self._fire is not None:
            self._press_fire = live & (info["lives"] < self._lives)
        self._lives = info["lives"].astype(np.int64)
        self._live = live & ~(terminated | truncated)
        self._observations = self._seen(pixels, live)
        return Step(
            self._observations,
            np.where(live, rewards, 0).astype(np.float32),
            terminated,
            truncated,
        )

    def close(self) -> None:
        """Ends the native threads; may be called twice."""
        if self._native is not None:
            self._native.close()
            self._native = None

    @property
    def _open(self) -> NativeEnv:
        if self._native is None:
            raise RuntimeError(f"{self.spec.env_id} is closed: build a new one")
        return self._native

    def _seen(self, pixels: np.ndarray, changed: np.ndarray) -> np.ndarray:
        """Returns observations `[N, 64, 64, C]`, the last ones where nothing changed."""
        fresh = pixels.reshape(self._observations.shape)
        if changed.all():
            return fresh
        return np.where(changed[:, None, None, None], fresh, self._observations)


def _native_seed(seed: int) -> int:
    """Returns a seed as the emulator takes it, below 2**31."""
    if seed < 2**31:
        return seed
    return int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)
