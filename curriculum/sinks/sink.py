"""What a tracker of experiments is to a run: it takes numbers, pictures, films and histograms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moment:
    """When something was: a count that grows within its curve, and seconds since the epoch."""

    step: int
    time: float


@dataclass(frozen=True)
class Told:
    """What a tracker is told of a run.

    Attributes:
        name: of the run.
        id: of its directory, the same when it is resumed.
        directory: where a tracker may write.
        config: as plain dicts, lists and scalars.
    """

    name: str
    id: str
    directory: Path
    config: dict[str, Any]


class Sink(Protocol):
    """Takes what a run has to show. What it raises loses the tracker, never the run."""

    def scalars(self, values: dict[str, float], moment: Moment) -> None:
        """Takes finite numbers of one moment by their names."""
        ...

    def histogram(self, name: str, values: NDArray[np.float32], moment: Moment) -> None:
        """Takes a sample `[n]` of finite numbers."""
        ...

    def image(self, name: str, path: Path, moment: Moment) -> None:
        """Takes a PNG."""
        ...

    def film(self, name: str, path: Path, moment: Moment) -> None:
        """Takes a GIF."""
        ...

    def flush(self) -> None:
        """Puts what was taken where people see it."""
        ...

    def close(self) -> None:
        """Takes no more."""
        ...
