"""Atari games on ale-py's native vector environment, reset by the caller.

What the native one does by default and this does not: it clips rewards, repeats actions with
probability 0 whatever the id says, and presses FIRE only at a reset, so that a Breakout without
a ball would wait for one until the frame limit.

The native one cannot be kept from resetting, so it does that in the step that ends an episode
(Gymnasium's `AutoresetMode.SAME_STEP`), in its own threads while others play. The next episode is
ready when the caller goes on to it without a seed. A seed is different: it reloads the ROM, 0.1 s
and more of one core, because only so are the emulator's own random numbers independent of what was
played before. A parked game is played on unseen.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv as NativeEnv
from gymnasium.vector import AutoresetMode

from curriculum.envs.contract import Halves, checked_actions, checked_rows
from curriculum.envs.interface import ActionSpec, EnvSpec, Step
from curriculum.errors import ConfigError
from diagnostics.cores import available_cores

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
    "autoreset_mode": AutoresetMode.SAME_STEP,
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
        num_threads: native threads, at most one per environment; 0 is as many as
            `OMP_NUM_THREADS` says, else one per core.

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
            num_threads=min(num_envs, num_threads or _default_threads()),
            **_ALWAYS,
        )
        names = [action.name for action in self._native.ale.get_action_set()]
        self._fire = names.index("FIRE") if "FIRE" in names else None
        shape = (_SIZE, _SIZE, 1 if grayscale else 3)
        steps = -(-frames // frame_skip)
        action = ActionSpec("discrete", len(names))
        replaces = self._fire is not None
        self.spec = EnvSpec(env_id, "pixels", shape, action, frame_skip, steps, replaces)
        self.num_envs = num_envs
        self._halves = Halves(env_id)
        self._seeded = np.zeros(num_envs, np.bool_)
        self._live = np.zeros(num_envs, np.bool_)
        self._lives = np.zeros(num_envs, np.int64)
        self._press_fire = np.zeros(num_envs, np.bool_)
        self._native_shape = (num_envs, *shape)
        self._observations = np.zeros(self._native_shape, np.uint8)
        self._ready = np.zeros(num_envs, np.bool_)
        self._first = self._observations

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes; see `VectorEnv.reset`.

        Without seeds it costs nothing for games that ended in the last step. One that was parked
        longer has played on unseen, so its sequence of episodes depends on how long that was.

        Raises:
            ValueError: seeds and indices do not fit, or a game goes on that was never seeded.
        """
        self._halves.refuse_within_step("reset")
        rows = checked_rows(self.num_envs, seeds, indices)
        if not rows.size:
            return self._observations
        named = np.zeros(self.num_envs, np.bool_)
        named[rows] = True
        if seeds is not None:
            native_seeds = np.full(self.num_envs, _UNSEEDED)
            native_seeds[rows] = [_native_seed(seed) for seed in seeds]
            self._restart(named, native_seeds)
        else:
            self._go_on(named)
        self._live |= named
        self._ready &= ~named
        self._press_fire &= ~named
        return self._observations

    def send(self, actions: np.ndarray) -> np.ndarray:
        """Has the native threads play; see `VectorEnv.send`.

        Raises:
            ValueError: a wrong shape, or an action that does not exist.
        """
        chosen = checked_actions(self.spec, self.num_envs, actions)
        if self._press_fire.any():
            chosen = np.where(self._press_fire, self._fire or 0, chosen)
        self._halves.send(chosen)
        if self._live.any():
            self._open.send(chosen)
        return chosen

    def recv(self) -> Step:
        """Waits for the native threads; see `VectorEnv.recv`."""
        self._halves.recv()
        live = self._live
        if not live.any():
            nothing = np.zeros(self.num_envs, np.bool_)
            still = nothing.astype(np.float32)
            return Step(self._observations, still, nothing, nothing.copy(), nothing.copy())
        pixels, rewards, terminated, truncated, info = self._open.recv()
        terminated = live & terminated
        truncated = live & truncated & ~terminated
        over = terminated | truncated
        lost = live & ~over & (info["lives"] < self._lives)
        self._lives = info["lives"].astype(np.int64)
        if self._fire is not None:
            self._press_fire = lost
        fresh = pixels.reshape(self._native_shape)
        self._ready, self._first = over, fresh
        if over.any():
            fresh = fresh.copy()
            fresh[over] = info["final_obs"].reshape(self._native_shape)[over]
        self._observations = self._seen(fresh, live)
        self._live = live & ~over
        earned = rewards.astype(np.float32)
        if not live.all():
            earned[~live] = 0.0
        return Step(self._observations, earned, terminated, truncated, lost)

    def step(self, actions: np.ndarray) -> Step:
        """Steps all environments; see `VectorEnv.step`."""
        self.send(actions)
        return self.recv()

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

    def _go_on(self, named: np.ndarray) -> None:
        """Shows the first frames of episodes that have begun natively, and begins the others."""
        if not self._seeded[named].all():
            raise ValueError(f"{self.spec.env_id}: give each game a seed before it goes on")
        late = named & ~self._ready
        self._observations = self._seen(self._first, named & self._ready)
        if late.any():
            self._restart(late, np.full(self.num_envs, _UNSEEDED))

    def _restart(self, named: np.ndarray, native_seeds: np.ndarray) -> None:
        # The native environment wants to be reset as a whole before it is reset in parts.
        mask = named if self._seeded.any() else np.ones_like(named)
        pixels, info = self._open.reset(seed=native_seeds[mask], options={"reset_mask": mask})
        self._seeded |= named
        self._lives = np.where(named, info["lives"], self._lives)
        self._observations = self._seen(pixels.reshape(self._native_shape), named)

    def _seen(self, fresh: np.ndarray, changed: np.ndarray) -> np.ndarray:
        """Returns observations `[N, 64, 64, C]`, the last ones where nothing changed."""
        if changed.all():
            return fresh
        return np.where(changed[:, None, None, None], fresh, self._observations)


def _default_threads() -> int:
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return int(limit) if limit.isdecimal() and int(limit) else available_cores()


def _native_seed(seed: int) -> int:
    """Returns a seed as the emulator takes it, below 2**31."""
    if seed < 2**31:
        return seed
    return int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)
