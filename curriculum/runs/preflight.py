"""What cannot work is refused before a run begins, for all of its tasks together.

One environment of each task is built in a guarded process, unless it is a task of ours, whose
components were probed by doing just that. What learns from a replay needs one kind of actions, and
a dataset has to be of the same environment: those are looked at in any case.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curriculum.config.schema import OFF_POLICY, Config, TaskConfig
from curriculum.errors import ComponentMissing, ConfigError
from curriculum.mode import LADDER
from curriculum.runs.preflight_child import ORDER, TOLD, WALL_LIMITS
from curriculum.tasks import builtin_tasks, reads_key_points
from diagnostics.probing.processes import GuardedProcess, import_path

_PLUGINS = ""
"""Stands for the plugins where what is told has the name of a task."""

_FULL, _SIMULATION = str(LADDER[0]), str(LADDER[-1])


@dataclass(frozen=True)
class Look:
    """What the environment of a task looks like.

    Attributes:
        shape: of one observation.
        actions: how many there are, or their dimensions.
        kind: of actions, `discrete` or `continuous`.
    """

    shape: tuple[int, ...]
    actions: int
    kind: str = "discrete"


Told = Mapping[str, Mapping[str, Any]]
"""By task: `seen`, or why it cannot be: `refused`, `missing` or `stopped`."""


def look(config: Config, modes: Mapping[str, str]) -> dict[str, Look]:
    """Looks at the environments of a run, and refuses tasks that cannot be learned.

    Args:
        config: of the run.
        modes: of its tasks, by name; a task without a mode is not run.

    Returns:
        What the environments look like, of the tasks that were looked at.

    Raises:
        ConfigError: with all tasks that cannot be learned, and why.
        ComponentMissing: the only reason is packages that are missing.
    """
    running = [task for task in config.tasks if task.name in modes]
    plugins = config.curriculum.plugins
    unknown = [t for t in running if modes[t.name] != _SIMULATION and (plugins or not _known(t))]
    told = _told_of(unknown, plugins, config.curriculum.timeout_seconds)
    problems = [f"  {_named(name, facts)}" for name, facts in told.items() if "seen" not in facts]
    looks = {name: _look(facts["seen"]) for name, facts in told.items() if "seen" in facts}
    for task in running:
        mode, seen = modes[task.name], looks.get(task.name)
        reasons = (
            *_unlearnable(task, mode),
            *_unfollowed(task, mode),
            *_unsolvable(task, mode, seen),
        )
        problems += [f"  {task.name}: {why}" for why in reasons]
    if problems:
        missing = sum("missing" in facts for facts in told.values())
        raise (ComponentMissing if missing == len(problems) else ConfigError)(
            "nothing was written, because this cannot be run as it is configured:\n"
            + "\n".join(problems)
        )
    return looks


def _look(seen: Mapping[str, Any]) -> Look:
    return Look(tuple(seen["shape"]), seen["actions"], seen["kind"])


def _named(name: str, facts: Mapping[str, Any]) -> str:
    if "stopped" in facts:
        what = f"the environment of {name} was not built" if name else "plugins were not imported"
        return (
            f"{what}: {facts['stopped']}; correct what makes it, or give it more time with "
            "curriculum.timeout_seconds"
        )
    why = facts.get("refused") or facts.get("missing")
    return f"{name}: {why}" if name else str(why)


def _known(task: TaskConfig) -> bool:
    """Whether a task plays what one of the built-in tasks plays, which its probe has built."""
    played = {(ours.env_id, ours.observation) for ours in builtin_tasks()}
    ours = (task.env_id, task.observation) in played and not task.env.kwargs
    asked = task.controller.solver in OFF_POLICY or task.collect.dataset
    return ours and not asked


def _unlearnable(task: TaskConfig, mode: str) -> Iterator[str]:
    """Yields why a task cannot be learned in a mode, as far as that can be said without it."""
    if mode != _FULL and not task.mdnrnn.trained:
        yield (
            f"mdnrnn.trained was false in mode {mode}, where M is an echo-state network, expected "
            "true: what is random there stays random, the rest is all that it learns"
        )
    pixels, vision = task.observation == "pixels", task.vae.model
    if reads_key_points(task) and not (pixels and vision.key_points):
        yield (
            f"controller.features were {', '.join(task.controller.features)} with vae.key_points "
            f"{vision.key_points} and observations that are {task.observation}, expected pixels "
            "and at least one key point where C reads k or dk: set vae.key_points, or read z, dz"
        )
    if task.env.frame_stack > 1 and not pixels:
        yield (
            f"env.frame_stack was {task.env.frame_stack} with observations that are "
            f"{task.observation}, expected 1: only frames are stacked"
        )
    if mode == _FULL and pixels and vision.z_dim <= 2 * vision.key_points:
        yield (
            f"vae.z_dim was {vision.z_dim} with {vision.key_points} key points, which are two "
            f"latents each, expected more than {2 * vision.key_points}"
        )
    if mode != _FULL and pixels:
        from curriculum.backends.parts import numpy_vision
        from curriculum.envs.interface import ActionSpec, EnvSpec

        shape = (64, 64, task.env.channels)
        try:
            numpy_vision(task, EnvSpec(task.env_id, "pixels", shape, ActionSpec("discrete", 1)), 0)
        except ValueError as e:
            yield f"V cannot be built in mode {mode}: {e} (vae.z_dim)"
    if mode == _SIMULATION:
        yield from _not_simulated(task)


def _not_simulated(task: TaskConfig) -> Iterator[str]:
    """Yields why a task cannot be learned where its environment is a numpy re-creation."""
    from curriculum.envs.simulation import make_simulation

    if task.collect.dataset:
        yield (
            f"collect.dataset was {task.collect.dataset} in mode {_SIMULATION}, which plays "
            "episodes of its own: leave it away, or run what the real environment needs"
        )
    try:
        seen = "pixels" if task.observation == "pixels" else "state"
        make_simulation(task.env.simulation, 1, seen).close()
    except ValueError as e:
        yield f"its simulation cannot be built: {e} (env.simulation)"


def _unfollowed(task: TaskConfig, mode: str) -> Iterator[str]:
    """Yields why V cannot go on learning while C does: M would not follow it."""
    if mode == _FULL and task.vae.joint_updates and "h" in task.controller.features:
        yield (
            f"vae.joint_updates was {task.vae.joint_updates} with h among controller.features, but "
            "M does not learn on with V: leave h out, or set vae.joint_updates to 0 and learn V in "
            "curriculum.rounds"
        )


def _unsolvable(task: TaskConfig, mode: str, seen: Look | None) -> Iterator[str]:
    """Yields why what learns from a replay cannot learn such actions, or draw from so small a one.

    Modes without gradients search instead.
    """
    solver, replay, num_envs = task.controller.solver, task.replay, task.training.num_envs
    if mode != _FULL or solver not in OFF_POLICY:
        return
    kinds = {"qrdqn": "discrete", "sac": "continuous"}
    if seen is not None and seen.kind != kinds[solver]:
        right = next(name for name, kind in kinds.items() if kind == seen.kind)
        yield (
            f"controller.solver was {solver}, which learns {kinds[solver]} actions, but those of "
            f"{task.env_id} are {seen.kind}: write {right}, or ppo, which learns both"
        )
    if replay.capacity < (replay.num_steps + 1) * num_envs:
        yield (
            f"replay.capacity was {replay.capacity}, expected at least "
            f"{(replay.num_steps + 1) * num_envs}: replay.num_steps + 1 steps of each of the "
            f"training.num_envs environments"
        )


def _told_of(tasks: Sequence[TaskConfig], plugins: Sequence[str], limit_s: float) -> Told:
    """Has environments built in guarded processes until something is known of each task."""
    told: dict[str, Mapping[str, Any]] = {}
    waiting = list(tasks)
    while waiting:
        found, end = _built(waiting, plugins, limit_s)
        told |= found
        if _PLUGINS in told:
            break
        left = [task for task in waiting if task.name not in told]
        if left and len(left) == len(waiting):
            # The first one was being built when its process ended.
            told[left[0].name] = {"stopped": end}
            left = left[1:]
        waiting = left
    return told


def _built(tasks: Sequence[TaskConfig], plugins: Sequence[str], limit_s: float) -> tuple[Told, str]:
    """Returns what one process told of tasks, and how it ended."""
    order = {
        "cwd": str(Path.cwd()),
        "limit_s": limit_s,
        "plugins": list(plugins),
        "tasks": [
            {
                "name": task.name,
                "env_id": task.env_id,
                "observation": task.observation,
                "env": asdict(task.env),
                "collect": asdict(task.collect),
            }
            for task in tasks
        ],
    }
    wall_s = WALL_LIMITS * limit_s
    argv = [sys.executable, "-m", "curriculum.runs.preflight_child", "."]
    files, env = {ORDER: json.dumps(order)}, {"PYTHONPATH": import_path()}
    with closing(GuardedProcess(argv, wall_s, env, files)) as process:
        process.wait()
        path = process.directory / TOLD
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        facts = [json.loads(line) for line in lines]
        return {f.pop("task"): f for f in facts if f.pop("nonce") == process.nonce}, _end(process)


def _end(process: GuardedProcess) -> str:
    words = process.tail("stderr").strip().splitlines()
    last = f": {words[-1][:200]}" if words else ""
    if process.stopped_by:
        return f"its process was stopped after {process.seconds:.0f} s ({process.stopped_by}){last}"
    return f"its process ended with {process.returncode}{last}"
