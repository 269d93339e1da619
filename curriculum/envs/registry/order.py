"""What a batch of real environments is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curriculum.envs.action_table import Table
from curriculum.envs.framing import Framing


@dataclass(frozen=True)
class Order:
    """What a batch of real environments is built from; picklable, so that workers can build it.

    Attributes:
        env_id: an Atari id, a custom one, or any of Gymnasium's; old and misspelled ids are
            mapped to installed ones.
        observation: `pixels`, `state`, or `screen`, what the environment draws, as it is.
        frame_skip: frames an action is held; for `ALE/*-v5` 1 means the id's own 4.
        grayscale: one channel instead of three (pixels).
        repeat_action_probability: sticky actions of Atari; 0 means the id's own, which is 0.25
            for `ALE/*-v5`.
        noop_max: idle frames before an Atari episode, at most.
        continuous: the continuous variant of LunarLander.
        max_episode_steps: steps after which an episode is truncated; 0 is the environment's own
            limit, or 10,000 where it declares none.
        actions: vectors that are chosen among, in place of continuous actions; see
            `curriculum.envs.action_table`.
        crop: first row, end row, first column and end column of the picture that are kept
            (pixels); empty is all of it.
        pooling: how the picture is made small: `area` or `max`; see `Framing`.
        maxpool: whether an Atari picture is the pixelwise maximum of the last two frames.
        frame_stack: frames in one observation, see `curriculum.envs.stacking` (pixels).
        kwargs: further arguments of `gymnasium.make`; they win over the arguments above.
    """

    env_id: str
    observation: str
    frame_skip: int = 1
    grayscale: bool = True
    repeat_action_probability: float = 0.0
    noop_max: int = 30
    continuous: bool = False
    max_episode_steps: int = 0
    actions: Table = ()
    crop: tuple[int, ...] = ()
    pooling: str = "area"
    maxpool: bool = True
    frame_stack: int = 1
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def framing(self) -> Framing:
        """What of a picture is seen, and how it is made small."""
        return Framing(tuple(self.crop), self.pooling)
