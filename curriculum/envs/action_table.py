"""A table of actions: of a continuous environment, a discrete one that chooses among vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curriculum.envs.batch import Core, Outcome, Rows, Slots
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.errors import ConfigError
from models.interfaces import Float

Table = Sequence[Sequence[float]]
"""Action vectors, each as long as the environment's actions."""


def tabled(core: Core, actions: Table) -> Core:
    """Returns a core whose actions are places in a table.

    Args:
        core: plays environments with continuous actions; it is closed where this fails.
        actions: at least two different vectors `[A]` within the bounds; empty leaves `core` as it
            is.

    Raises:
        ConfigError: the environment has no continuous actions, or the table does not fit them.
    """
    if not actions:
        return core
    try:
        return TabledCore(core, table_for(core.spec, actions))
    except ConfigError:
        core.close()
        raise


def table_for(spec: EnvSpec, actions: Table) -> Float:
    """Returns a table of actions as an array `[n, A]` float32.

    Raises:
        ConfigError: it does not fit the environment's actions.
    """
    space = spec.action
    if space.kind != "continuous":
        raise ConfigError(
            f"env.actions: {spec.env_id} has {space.size} discrete actions, expected an "
            "environment with continuous ones: leave env.actions out"
        )
    lengths = sorted({len(action) for action in actions})
    if lengths != [space.size]:
        raise ConfigError(
            f"env.actions: given vectors of {' and '.join(map(str, lengths))} numbers, expected "
            f"{space.size} in each, as {spec.env_id} takes"
        )
    table = np.asarray(actions, np.float64).astype(np.float32)
    _require_within(spec, table)
    if len(table) < 2 or len(np.unique(table, axis=0)) < len(table):
        raise ConfigError(
            f"env.actions: given {len(table)} vectors, expected at least two and none of them "
            "twice: there has to be something to choose"
        )
    # A bound like 0.1 is no float32: what was given as the bound is the number next to it.
    return np.clip(table, *space.bounds)


def choice_of(table: Float) -> ActionSpec:
    """Returns the action space of choices from a table `[n, A]`."""
    meanings = tuple(tuple(vector) for vector in table.tolist())
    return ActionSpec("discrete", len(table), meanings=meanings)


class TabledCore:
    """A core whose actions are places in a table (`curriculum.envs.batch.Core`).

    Args:
        core: plays environments with continuous actions.
        table: `[n, A]` float32, inside its action space.
    """

    def __init__(self, core: Core, table: Float) -> None:
        self.spec = replace(core.spec, action=choice_of(table))
        self.num_envs = core.num_envs
        self.core = core
        self._table = table

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Starts episodes; see `Core.begin`."""
        return self.core.begin(rows, seeds, slots)

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Steps with the vectors that stand at these places; see `Core.advance`."""
        return self.core.advance(self._table[actions], slots)

    def close(self) -> None:
        """Releases everything."""
        self.core.close()


def _require_within(spec: EnvSpec, table: Float) -> None:
    low, high = (np.asarray(bound, np.float32) for bound in (spec.action.low, spec.action.high))
    # Written so that a number that is none is outside as well.
    outside = ~((table >= low) & (table <= high)).all(axis=1)
    if outside.any():
        raise ConfigError(
            f"env.actions: given {table[outside][0].tolist()}, expected numbers from "
            f"{low.tolist()} to {high.tolist()}, as {spec.env_id} takes"
        )
