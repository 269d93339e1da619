"""What a probe found: a state, and a line for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

NOT_PROBED = "not probed: "
NOT_STARTED = "the probe could not be started: "


class ProbeState(StrEnum):
    """What a probe found."""

    OK = "ok"
    SLOW = "slow"
    MISSING = "missing"
    BROKEN = "broken"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    LIED = "lied"


@dataclass(frozen=True)
class ProbeResult:
    """The outcome of one probe.

    Attributes:
        name: the component.
        state: what was found.
        version: the version the component reports, None if it has none or never said.
        seconds: wall time of the probe, interpreter start included; 0 if it was not run.
        detail: one line for a person.
        signal: name of the signal that killed it, e.g. `SIGSEGV`.
    """

    name: str
    state: ProbeState
    version: str | None
    seconds: float
    detail: str
    signal: str | None = None

    @property
    def usable(self) -> bool:
        """Whether the component can be relied on."""
        return self.state in (ProbeState.OK, ProbeState.SLOW)

    @property
    def probed(self) -> bool:
        """Whether a probe was run at all, rather than spared because it could not succeed."""
        return not self.detail.startswith(NOT_PROBED)

    @property
    def started(self) -> bool:
        """Whether the system had what a probe takes: if not, it tells nothing of the component."""
        return not self.detail.startswith(NOT_STARTED)

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON-compatible data."""
        return {**asdict(self), "state": str(self.state), "seconds": round(self.seconds, 3)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProbeResult:
        """Inverts `to_json`.

        Raises:
            ValueError: the data is not such a result.
        """
        try:
            result = cls(**{**data, "state": ProbeState(data["state"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a probe result: {error}; expected the fields of one") from error
        texts = (result.version or "", result.signal or "", result.name, result.detail)
        right = all(isinstance(t, str) for t in texts) and isinstance(result.seconds, int | float)
        if not right:
            raise ValueError(f"not a probe result: {dict(data)!r} has a field of the wrong type")
        return result


OnChange = Callable[[str, ProbeResult | None], None]
"""Called with a component's name when its probe starts (None) and ends (its result)."""
