"""What to do about a component that cannot be used: it depends on how it was found."""

from __future__ import annotations

from diagnostics.components import COMPONENTS
from diagnostics.probing.result import ProbeState
from diagnostics.probing.usage import busy, describe_load

LONGEST_S = 60.0
"""The longest limit that may be asked for."""

_FIXES = {component.name: component.fix for component in COMPONENTS}
_INSTALL, _AGAIN = "pip install ", "pip install --force-reinstall "


def advice(name: str, state: str, timeout_s: float) -> str:
    """Returns what mends a component, or when to ask again.

    Args:
        name: the component.
        state: how it was found, an unusable `ProbeState`.
        timeout_s: the limit it was probed with.
    """
    fix = _FIXES.get(name, "")
    if state == ProbeState.TIMEOUT:
        return _wait(timeout_s)
    if state != ProbeState.MISSING and fix.startswith(_INSTALL) and not fix.startswith(_AGAIN):
        # pip leaves a broken package of the right version as it is.
        return fix.replace(_INSTALL, _AGAIN, 1)
    return fix


def _wait(timeout_s: float) -> str:
    longer = (
        f"give it longer than {timeout_s:g} s with --probe-timeout S "
        f"(curriculum.timeout_seconds, at most {LONGEST_S:g})"
    )
    if timeout_s >= LONGEST_S:
        longer = f"stop what else runs here; {timeout_s:g} s is the longest limit there is"
    if busy():
        return f"the machine is busy ({describe_load()}): try again when it is calmer, or {longer}"
    return (
        f"it hangs, for the machine is not busy ({describe_load()}); if it is only slow, {longer}"
    )
