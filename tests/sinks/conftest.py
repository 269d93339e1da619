"""Events as a run records them."""

from tests.show.conftest import events

__all__ = ["events"]
