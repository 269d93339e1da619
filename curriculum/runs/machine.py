"""What this machine has: probe states, hardware, versions, and whether forced modes can be had."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import metadata
from typing import Any

from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ComponentMissing
from curriculum.mode import TaskNeeds, decide, root_causes, rungs, told
from curriculum.runs.imports import Machine
from curriculum.tasks import needs_of
from diagnostics.components import COMPONENTS
from diagnostics.cores import available_cores, visible_cores
from diagnostics.probing.advice import advice
from diagnostics.probing.result import ProbeResult
from models.numeric.threads import threads_asked_for

PACKAGES = (
    "torch",
    "gymnasium",
    "ale-py",
    "box2d",
    "cma",
    "stable-baselines3",
    "numpy",
    "safetensors",
)


def probe_names(config: Config, needs: Callable[[TaskConfig], TaskNeeds] = needs_of) -> list[str]:
    """Names the components that the tasks of a configuration could use.

    Args:
        config: its mode tells what does not matter.
        needs: what a task needs: to learn it, unless told otherwise.
    """
    names = {"disk", "memory"}
    modes = rungs(config.curriculum.mode)
    for task in config.tasks:
        wanted = needs(task)
        names.update(*(wanted.of(mode) for mode in modes))
    if config.curriculum.device != "cpu" and any(mode.uses_torch for mode in modes):
        names.add("torch-cuda")
    if not all(mode.simulates for mode in modes):
        names.add("cma")
    return [c.name for c in COMPONENTS if c.name in names]


def machine_from(config: Config, probes: Mapping[str, ProbeResult]) -> Machine:
    """Turns probe results and the configuration into what the runner works with.

    Raises:
        ComponentMissing: `curriculum.device` is cuda and no GPU works.
    """
    states = {name: str(result.state) for name, result in probes.items()}
    details = {name: result.detail for name, result in probes.items() if not result.usable}
    cuda = states.get("torch-cuda") in ("ok", "slow")
    device = config.curriculum.device
    if device == "cuda" and not cuda:
        state = states.get("torch-cuda", "missing")
        raise ComponentMissing(
            f"curriculum.device is cuda, but {told('torch-cuda', states, details)}: use --device "
            f"auto, or: {advice('torch-cuda', state, config.curriculum.timeout_seconds)}"
        )
    if device == "auto":
        device = "cuda" if cuda else "cpu"
    workers = config.curriculum.workers
    if workers < 0:
        workers = available_cores() if available_cores() > 1 else 0
    return Machine(states=states, device=device, workers=workers, details=details)


def mending(machine: Machine, components: Iterable[str], timeout_s: float) -> str:
    """Returns a line for each thing to do about unusable components, and for which ones it is."""
    lines: dict[str, list[str]] = {}
    for name in root_causes(tuple(components), machine.details):
        state = machine.states.get(name, "missing")
        text = advice(name, state, timeout_s)
        lines.setdefault(text, []).append(name)
    return "".join(f"\n    {', '.join(names)}: {text}" for text, names in lines.items())


def refuse_impossible(config: Config, machine: Machine) -> None:
    """Raises ComponentMissing if a forced mode cannot be had, with what to install."""
    forced = config.curriculum.mode
    if forced == "auto":
        return
    lines = []
    for task in config.tasks:
        decision = decide(machine.states, needs_of(task), forced, machine.details)
        if decision.mode is None:
            mend = mending(machine, decision.missing, config.curriculum.timeout_seconds)
            lines.append(f"  {task.name}: {'; '.join(decision.reasons)}{mend}")
    if lines:
        raise ComponentMissing(
            f"mode {forced} was forced but cannot be had:\n"
            + "\n".join(lines)
            + "\n  or use --mode auto, which takes the best mode that works"
        )


def versions(packages: Collection[str] = PACKAGES) -> dict[str, str]:
    """Returns installed versions without importing anything."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware(device: str) -> dict[str, Any]:
    """Returns the machine in the words a reader of a result needs."""
    import psutil

    return {
        "cpu": _cpu_name() or platform.machine(),
        "cores": available_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {_release()}",
        "device": device,
        "threads": threads(),
    }


def threads() -> int:
    """Returns how many threads OpenMP and BLAS use here: the order of their sums depends on it."""
    return threads_asked_for() or visible_cores()


def inexact_because(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns why a resumed run will not equal the uninterrupted one to the last bit.

    Args:
        before: facts of the `run_started` event that the run began with.
        now: the same facts of this process.

    Returns:
        A line `what: then -> now` for each version and each property of the machine that numbers
        depend on and that differs; empty where the run goes on exactly.
    """
    lines = []
    for section, names in (("versions", None), ("hardware", ("cpu", "device", "threads"))):
        then, here = before.get(section) or {}, now.get(section) or {}
        for name in names or dict.fromkeys([*then, *here]):
            if then.get(name) != here.get(name):
                lines.append(f"{name}: {then.get(name, 'unknown')} -> {here.get(name, 'unknown')}")
    return lines


def _release() -> str:
    """Returns the numbers of the kernel's release, without what a host calls its build."""
    return re.match(r"[0-9.]*", platform.release()).group().rstrip(".")  # type: ignore[union-attr]


def _cpu_name(open_file: Callable[..., Any] = open) -> str:
    try:
        with open_file("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        return platform.processor()
    return names[0] if names else platform.processor()
