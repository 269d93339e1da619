"""What does units of work: a supervised pool of this machine's processes, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from curriculum.errors import StageFailure

Unit = TypeVar("Unit")
Result = TypeVar("Result")


class UnitFailed(StageFailure):
    """A unit failed as often as it may: it raised, killed its worker or ran past its deadline."""


class Executor(Protocol):
    """Maps functions over units of work, in any process of any machine.

    A function takes `(context, unit)` and must not keep or change what it is given. The context is
    what the builder that the executor was made with built in that process; it is built again after
    a unit raised, and closed, if it has a `close`, when it is replaced. Functions and the builder
    are sent by reference (`curriculum.pool.reference.reference_to`), units, results and the
    builder's arguments by value, so results depend neither on who did the work nor in which order
    nor on how many tries it took.
    """

    def refresh(self, args: tuple[Any, ...]) -> None:
        """Makes every process build its context anew from `args` before its next unit."""
        ...

    def map(
        self,
        function: Callable[[Any, Unit], Result],
        units: Sequence[Unit],
        on_result: Callable[[int, Result], None] | None = None,
        *,
        on_wait: Callable[[], None] | None = None,
        keep: bool = True,
    ) -> list[Result]:
        """Returns `function(context, unit)` of every unit, in the order of `units`.

        Args:
            function: a module calls it by its name.
            units: picklable; the same unit must always give the same result.
            on_result: is called with the unit's index and result, in the order of completion; what
                it raises ends the map and stops the workers that are busy.
            on_wait: is called at least about once a second while workers are waited for; what it
                raises ends the map likewise.
            keep: False returns an empty list, for results that `on_result` consumed.

        Raises:
            UnitFailed: a unit failed as often as it may.
            EnvironmentFault: an environment broke its declaration, or raised the same as the unit
                was done again.
            ValueError: the function cannot be sent by reference.
            RuntimeError: the executor is closed.
        """
        ...

    def close(self) -> None:
        """Ends all workers and waits for them; may be called again."""
        ...


def in_order(take: Callable[[Result], None]) -> Callable[[int, Result], None]:
    """Returns an `on_result` that takes results in the order of their units.

    Args:
        take: is given each result once those of all units before it were.
    """
    waiting: dict[int, Result] = {}
    following = 0

    def on_result(number: int, result: Result) -> None:
        nonlocal following
        waiting[number] = result
        while following in waiting:
            take(waiting.pop(following))
            following += 1

    return on_result
