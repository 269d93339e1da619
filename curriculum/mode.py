"""The mode decision: one pure, total, monotone function of what the probes found.

Total: every input leads to a decision. Monotone: a component that becomes usable never lowers a
task's mode. Both are property-tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from diagnostics.probing.result import NOT_PROBED

USABLE_STATES = frozenset({"ok", "slow"})
NO_DETAILS: Mapping[str, str] = MappingProxyType({})


class Mode(StrEnum):
    """What a task runs on, best first."""

    FULL = "FULL"
    GYM_ONLY = "GYM_ONLY"
    SIMULATION = "SIMULATION"

    @property
    def uses_torch(self) -> bool:
        """Whether V, M and C are torch's."""
        return self is Mode.FULL

    @property
    def simulates(self) -> bool:
        """Whether environments are their numpy re-creations."""
        return self is Mode.SIMULATION


LADDER = (Mode.FULL, Mode.GYM_ONLY, Mode.SIMULATION)


def least(*, simulates: bool) -> Mode:
    """Returns the last mode of the ladder whose environments are simulated, or real ones."""
    return [mode for mode in LADDER if mode.simulates == simulates][-1]


@dataclass(frozen=True)
class TaskNeeds:
    """Which components a task asks of each mode.

    Attributes:
        environment: components of its real environment, e.g. `("gymnasium", "ale_py")`.
        world_model: components of the torch world model, e.g. `("torch", "vae", "mdnrnn")`.
        base: components every mode needs.
        simulated: whether a numpy re-creation stands in for the environment.
    """

    environment: tuple[str, ...]
    world_model: tuple[str, ...]
    base: tuple[str, ...] = ("controller_cpu",)
    simulated: bool = True

    def of(self, mode: Mode) -> tuple[str, ...]:
        """Returns the components that `mode` needs, in the order they should be mended."""
        extra = {
            Mode.FULL: self.environment + self.world_model,
            Mode.GYM_ONLY: self.environment,
            Mode.SIMULATION: (),
        }
        return self.base + extra[mode]


@dataclass(frozen=True)
class Decision:
    """The mode of one task, or None where it cannot run at all, and every reason it is not better.

    Attributes:
        mode: the chosen mode; None means not runnable.
        requested: `auto` or the forced mode.
        reasons: sentences, empty when the mode is FULL or the forced one was to be had.
        missing: unusable components that the next better (or the forced) mode needs.
    """

    mode: Mode | None
    requested: str
    reasons: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def because(self) -> str:
        """Why this mode was taken where it is not the best one."""
        if self.requested != "auto":
            return f"mode {self.requested} was asked for"
        return "; ".join(self.reasons)


def rungs(requested: str) -> tuple[Mode, ...]:
    """Returns the modes that a task may get, best first: all with `auto`, else the forced one."""
    return LADDER if requested == "auto" else (Mode(requested),)


def decide(
    states: Mapping[str, str],
    needs: TaskNeeds,
    requested: str = "auto",
    details: Mapping[str, str] = NO_DETAILS,
) -> Decision:
    """Chooses a task's mode.

    Args:
        states: component name to probe state (`ok`, `slow`, `missing`, `broken`, `timeout`,
            `crashed`, `lied`); a component that is absent counts as `missing`.
        needs: what the task needs in each mode.
        requested: `auto`, or the name of a mode to force.
        details: component name to what its probe said; goes into the reasons.

    Returns:
        With `auto`, the best mode whose components are all usable. With a forced mode, that mode
        or None: it is never replaced by another.
    """
    reasons: list[str] = []
    missing: tuple[str, ...] = ()
    for mode in rungs(requested):
        lacking = _lacking(states, needs, mode)
        simulatable = mode is not Mode.SIMULATION or needs.simulated
        if not lacking and simulatable:
            return Decision(mode, requested, tuple(reasons), missing)
        reasons.append(_reason(mode, states, details, lacking, simulatable))
        missing = missing or lacking
    return Decision(None, requested, tuple(reasons), missing)


def step_down(
    decision: Decision, needs: TaskNeeds, states: Mapping[str, str], reason: str
) -> Decision:
    """Chooses the next usable mode below a decision's, after the stages failed in it.

    Returns:
        A decision whose last reason is `reason`; its mode is None when nothing is left below, or
        when the mode was forced: what was asked for is never replaced.
    """
    if decision.mode is None:
        return decision
    if decision.requested != "auto":
        return lowered(decision, None, reason)
    for mode in LADDER[LADDER.index(decision.mode) + 1 :]:
        simulatable = mode is not Mode.SIMULATION or needs.simulated
        if simulatable and not _lacking(states, needs, mode):
            return lowered(decision, mode, reason)
    return lowered(decision, None, reason)


def lowered(decision: Decision, to: Mode | None, reason: str) -> Decision:
    """Returns what a decision becomes when its mode is given up for another, with the reason."""
    forced = decision.requested != "auto"
    what = "was forced and failed" if forced else "was given up"
    reasons = (*decision.reasons, f"{decision.mode} {what}: {reason}")
    return Decision(to, decision.requested, reasons, decision.missing)


def rank(mode: Any) -> int:
    """Returns the place of a mode on the ladder, 0 for the best; what is no mode comes last."""
    names = [str(rung) for rung in LADDER]
    return names.index(mode) if mode in names else len(names)


def _lacking(states: Mapping[str, str], needs: TaskNeeds, mode: Mode) -> tuple[str, ...]:
    return tuple(c for c in needs.of(mode) if states.get(c, "missing") not in USABLE_STATES)


def _reason(
    mode: Mode,
    states: Mapping[str, str],
    details: Mapping[str, str],
    lacking: tuple[str, ...],
    simulatable: bool,
) -> str:
    if not simulatable:
        return f"{mode} is not possible: this environment has no numpy re-creation"
    causes = root_causes(lacking, details)
    return f"{mode} is not possible: {', '.join(told(c, states, details) for c in causes)}"


def root_causes(lacking: tuple[str, ...], details: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the unusable components that were probed; the others only rest on these."""
    probed = tuple(c for c in lacking if not details.get(c, "").startswith(NOT_PROBED))
    return probed or lacking


def told(component: str, states: Mapping[str, str], details: Mapping[str, str]) -> str:
    """Returns how a component was found, e.g. `torch is broken (OSError: no such file)`."""
    detail = details.get(component, "")
    return f"{component} is {states.get(component, 'missing')}" + (f" ({detail})" if detail else "")
