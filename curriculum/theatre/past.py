"""What was before: moments of an episode that can be gone back to, the newest of them."""

from __future__ import annotations

from typing import Generic, TypeVar

Moment = TypeVar("Moment")

MOST_BACK = 600
"""Steps that can be gone back at most; older ones are forgotten."""


class Past(Generic[Moment]):
    """The moments before the last steps of an episode, by the steps that led to them."""

    def __init__(self) -> None:
        self._moments: dict[int, Moment] = {}

    def __len__(self) -> int:
        return len(self._moments)

    def keep(self, steps: int, moment: Moment) -> None:
        """Keeps the moment after so many steps."""
        self._moments[steps] = moment
        self._moments.pop(steps - MOST_BACK, None)

    def back(self, now: int, steps: int) -> tuple[int, Moment] | None:
        """Forgets what came after the moment so many steps ago, or as long ago as is known.

        Args:
            now: steps that led to the present.
            steps: to go back.

        Returns:
            The steps that led there, and the moment; None if nothing is to be gone back.
        """
        there = now - min(steps, len(self))
        if there >= now:
            return None
        moment = self._moments[there]
        self._moments = {n: kept for n, kept in self._moments.items() if n < there}
        return there, moment
