"""Several frames in one observation, the oldest first: what one frame does not show, two do.

A ball among bricks of its colour, or over a hole that it has made, is hardly to be seen in a frame
and plainly in the difference of two (frame stacking, as Mnih et al. 2015 have it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from curriculum.envs.batch import Core, Outcome, Rows, Slots, WorksAhead
from curriculum.errors import ConfigError


def stacked(core: Core, frames: int) -> Core:
    """Returns a core whose observations are the last so many frames.

    Args:
        core: plays environments that show pixels; it is closed where this fails.
        frames: at least 1, which leaves `core` as it is.

    Raises:
        ConfigError: the environment shows a state.
    """
    if frames == 1:
        return core
    if core.spec.observation != "pixels":
        core.close()
        raise ConfigError(
            f"env.frame_stack was {frames}, but {core.spec.env_id} shows a state; expected 1, or "
            "observation: pixels"
        )
    return StackedAhead(core, frames) if isinstance(core, WorksAhead) else Stacked(core, frames)


class Stacked:
    """A core that shows the last frames of each episode (`curriculum.envs.batch.Core`).

    An episode's first frame stands for those before it.

    Args:
        core: plays environments that show `[H, W, C]`.
        frames: how many there are in an observation `[H, W, frames * C]`.
    """

    def __init__(self, core: Core, frames: int) -> None:
        *sides, self._channels = core.spec.shape
        shape = (*sides, frames * self._channels)
        self.spec = replace(core.spec, shape=shape, frames=frames * core.spec.frames)
        self.num_envs = core.num_envs
        self.core, self._frames = core, frames
        self._seen = np.zeros((self.num_envs, *shape), np.uint8)

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Starts episodes; see `Core.begin`."""
        return self._begun(rows, self.core.begin(rows, seeds, slots))

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Ends a step; see `Core.advance`."""
        outcome = self.core.advance(actions, slots)
        later = self._seen[..., self._channels :]
        seen = np.concatenate([later, outcome.observations], axis=-1)
        # Who is parked shows what it showed.
        seen[~slots.live] = self._seen[~slots.live]
        self._seen = seen
        return outcome._replace(observations=seen)

    def close(self) -> None:
        """Releases everything."""
        self.core.close()

    def _begun(self, rows: Rows, first: np.ndarray) -> np.ndarray:
        """Notes first frames `[L, H, W, C]`, and returns them as observations."""
        begun = np.tile(first, self._frames)
        # The last step's observations are somebody else's now.
        self._seen = self._seen.copy()
        self._seen[rows] = begun
        return begun


class StackedAhead(Stacked):
    """The same of a core that works ahead (`curriculum.envs.batch.WorksAhead`)."""

    core: WorksAhead

    def start(self, actions: np.ndarray, slots: Slots) -> np.ndarray:
        """Starts a step; see `WorksAhead.start`."""
        return self.core.start(actions, slots)

    def go_on(
        self, rows: Rows, seeds: list[int], slots: Slots, following: Callable[[int], int | None]
    ) -> np.ndarray:
        """Starts episodes; see `WorksAhead.go_on`."""
        return self._begun(rows, self.core.go_on(rows, seeds, slots, following))
