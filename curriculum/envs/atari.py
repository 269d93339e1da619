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

from collections.abc import Callable
from typing import Any

import numpy as np
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv as NativeEnv
from gymnasium.vector import AutoresetMode

from curriculum.envs.batch import Outcome, Rows, Slots
from curriculum.envs.framing import PLAIN, SIZE, Framing
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.errors import ConfigError
from diagnostics.cores import available_cores
from models.interfaces import Frames
from models.numeric.threads import threads_asked_for

MAX_FRAMES = 108_000
"""Half an hour of play, the customary limit of an episode (Machado et al. 2018, table 1)."""

_UNSEEDED = -1
_ALWAYS: dict[str, Any] = {
    "stack_num": 1,
    "use_fire_reset": True,
    "episodic_life": False,
    "reward_clipping": False,
    "autoreset_mode": AutoresetMode.SAME_STEP,
}


class AtariGames:
    """N games stepped in native threads (`curriculum.envs.batch.WorksAhead`).

    After a lost life the next action is FIRE, as at a reset, in games that have it. Sticky actions
    may swallow it, the one frame of it at a reset most of all, and whoever never presses FIRE would
    wait half an hour for a ball: with them it is pressed in two steps, after a reset too.

    Args:
        env_id: the name it goes by, e.g. `PongNoFrameskip-v4`.
        rom: name of the ROM, snake_case.
        num_envs: N.
        frame_skip: frames an action is held.
        grayscale: observations `[64, 64, 1]` instead of `[64, 64, 3]`.
        repeat_action_probability: sticky actions, per frame (Machado et al. 2018, section 5.2).
        noop_max: up to so many frames pass before an episode's first observation.
        max_episode_steps: steps after which an episode is truncated; 0 is 108,000 frames.
        full_action_space: all 18 actions instead of those the game knows.
        framing: what of the picture is seen, and how it is made small. The native environment
            itself does the plain one.
        maxpool: whether the brighter of the last two frames is observed, or the last alone.
        whole: observations are pictures as large as the game's own, 210 by 160 of nearly all.
        num_threads: native threads, at most one per environment; 0 is as many as
            `OMP_NUM_THREADS` says, else one per core.

    Raises:
        ConfigError: ale-py has no such ROM, or the framing does not fit its pictures.
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
        framing: Framing = PLAIN,
        maxpool: bool = True,
        whole: bool = False,
        num_threads: int = 0,
    ) -> None:
        if rom not in roms.get_all_rom_ids():
            raise ConfigError(
                f"environment {env_id} needs the ROM {rom!r}, which this ale-py does not have; "
                "install a newer ale-py or choose another game"
            )
        frames = min(MAX_FRAMES, max_episode_steps * frame_skip or MAX_FRAMES)
        height, width = (SIZE, SIZE) if framing.plain and not whole else screen_size(rom)
        framed = not framing.plain and not whole
        self._shrink = framing.shrinking(env_id, height, width) if framed else None
        self._native = NativeEnv(
            rom,
            num_envs,
            img_height=height,
            img_width=width,
            frameskip=frame_skip,
            maxpool=maxpool,
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
        channels = 1 if grayscale else 3
        shape = (height, width, channels) if whole else (SIZE, SIZE, channels)
        steps, replaces = -(-frames // frame_skip), self._fire is not None
        action = ActionSpec("discrete", len(names))
        self.spec = EnvSpec(env_id, "pixels", shape, action, frame_skip, steps, replaces)
        self.num_envs = num_envs
        self._native_shape = (height, width, channels)
        self._seeded = False
        self._lives = np.zeros(num_envs, np.int64)
        self._sticky = self._fire is not None and repeat_action_probability > 0.0
        self._presses = 2 if self._sticky else 1
        self._press_fire = np.zeros(num_envs, np.int64)
        self._ready = np.zeros(num_envs, np.bool_)
        self._first = np.zeros((num_envs, *shape), np.uint8)

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Reloads games; see `Core.begin`."""
        native_seeds = np.full(self.num_envs, _UNSEEDED)
        native_seeds[rows] = [_native_seed(seed) for seed in seeds]
        return self._restarted(rows, native_seeds)

    def go_on(
        self, rows: Rows, seeds: list[int], slots: Slots, following: Callable[[int], int | None]
    ) -> np.ndarray:
        """Shows episodes that have begun natively, and begins the others; see `WorksAhead.go_on`.

        It costs nothing for games that ended in the last step. One that was parked longer has
        played on unseen, so its sequence of episodes depends on how long that was.
        """
        begun, late = self._first[rows], ~self._ready[rows]
        self._press_fire[rows] = self._presses if self._sticky else 0
        self._ready[rows] = False
        if late.any():
            unseeded = np.full(self.num_envs, _UNSEEDED)
            begun[late] = self._restarted(rows[late], unseeded)
        return begun

    def start(self, actions: np.ndarray, slots: Slots) -> np.ndarray:
        """Has the native threads play; see `WorksAhead.start`."""
        if self._press_fire.any():
            actions = np.where(self._press_fire > 0, self._fire or 0, actions)
        self._native.send(actions)
        return actions

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Waits for the native threads; see `Core.advance`."""
        pixels, rewards, terminated, truncated, info = self._native.recv()
        terminated = slots.live & terminated
        over = slots.live & (terminated | truncated)
        lost = slots.live & ~over & (info["lives"] < self._lives)
        self._lives = info["lives"].astype(np.int64)
        if self._fire is not None:
            still = np.maximum(self._press_fire - 1, 0)
            self._press_fire = np.where(lost, self._presses, still)
        fresh = self._seen(pixels)
        self._ready, self._first = over, fresh
        if over.any():
            fresh = fresh.copy()
            fresh[over] = self._seen(info["final_obs"][over])
        return Outcome(fresh, rewards.astype(np.float32), terminated, truncated, lost)

    def close(self) -> None:
        """Ends the native threads."""
        self._native.close()

    def _restarted(self, rows: Rows, native_seeds: np.ndarray) -> np.ndarray:
        """Resets games natively; returns their first frames, `[len(rows), 64, 64, C]`."""
        # The native environment wants to be reset as a whole before it is reset in parts.
        mask = np.full(self.num_envs, not self._seeded)
        mask[rows] = True
        pixels, info = self._native.reset(seed=native_seeds[mask], options={"reset_mask": mask})
        self._seeded = True
        self._lives[rows] = info["lives"][rows]
        self._ready[rows] = False
        self._press_fire[rows] = self._presses if self._sticky else 0
        return self._seen(pixels[rows])

    def _seen(self, pixels: np.ndarray) -> Frames:
        """Returns `[n, 64, 64, C]` of native pictures of n games."""
        frames = pixels.reshape(-1, *self._native_shape)
        return frames if self._shrink is None else self._shrink(frames)


def screen_size(rom: str) -> tuple[int, int]:
    """Returns the rows and columns of a game's picture, 210 by 160 of nearly all."""
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    path = roms.get_rom_path(rom)
    assert path is not None, "the ROM is there, see AtariGames"
    ale.loadROM(path)
    return ale.getScreenDims()


def _default_threads() -> int:
    return threads_asked_for() or available_cores()


def _native_seed(seed: int) -> int:
    """Returns a seed as the emulator takes it, below 2**31."""
    if seed < 2**31:
        return seed
    return int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)
