"""Runs in an interpreter of its own: builds one environment of each task and tells what it is.

A factory of the user's may hang, crash or exit. What was found is told line by line, signed with
the nonce of this process, so whatever happens to one task is known of that one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import psutil

from curriculum.backends.backend import import_plugins
from curriculum.backends.parts import real_env
from curriculum.config.schema import CollectConfig, EnvConfig, TaskConfig
from curriculum.envs.gym.faults import fault_of
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ComponentMissing, CurriculumError
from diagnostics.probing.usage import starved_s

ORDER, TOLD = "order.json", "told.jsonl"
CPU_LIMITS, WALL_LIMITS = 8, 20
"""So many times the limit of a probe a task may compute, and a process may last on the clock."""

_TICK_S = 0.1
_STILL = 0.005
"""Share of a core below which a process stands still, however busy the machine is."""


class Teller:
    """Appends what is found to a file, a line each.

    Args:
        directory: where the file is.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / TOLD
        self._nonce = os.environ["CURRICULUM_PROBE"]

    def __call__(self, **facts: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"nonce": self._nonce, **facts}) + "\n")


class Watch:
    """Ends this process where a step of it stands still, or computes for ever.

    It judges by the work that was done and not by the clock alone: on a busy machine the same step
    takes longer.

    Args:
        tell: is told where it stood then.
        limit_s: seconds without work after which a step stands still.
    """

    def __init__(self, tell: Teller, limit_s: float) -> None:
        self._tell = tell
        self._limit_s = limit_s
        self._main = threading.get_ident()
        self._step = ""
        self._others_s = 0.0
        threading.Thread(target=self._look, daemon=True).start()

    def enter(self, step: str) -> None:
        """Begins a step, which has the limits for itself."""
        self._step = step

    def _look(self) -> None:
        step, began_cpu, last_work, last_s = None, 0.0, 0.0, 0.0
        while True:
            # What this thread itself has used is no work.
            cpu, now = time.process_time() - time.thread_time() + self._others_s, time.monotonic()
            # Whoever has to wait for a core would work.
            work = cpu + starved_s(os.getpid())
            if step != self._step:
                step, began_cpu, last_work, last_s = self._step, cpu, work, now
            if work - last_work > _STILL * self._limit_s:
                last_work, last_s = work, now
            elif now - last_s > self._limit_s and not self._others_worked():
                self._end(f"nothing happened for {self._limit_s:g} s")
            if cpu - began_cpu > CPU_LIMITS * self._limit_s:
                self._end(f"it computed for {CPU_LIMITS * self._limit_s:g} s")
            time.sleep(_TICK_S)

    def _others_worked(self) -> bool:
        """Whether processes that were started here have worked since this was last asked."""
        before, self._others_s = self._others_s, 0.0
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times = child.cpu_times()
                self._others_s += times.user + times.system
        return self._others_s - before > _STILL * self._limit_s

    def _end(self, why: str) -> None:
        frame = sys._current_frames().get(self._main)
        stack = traceback.extract_stack(frame)
        where = f"{stack[-1].filename}, line {stack[-1].lineno}" if stack else ""
        self._tell(task=self._step, stopped=f"{why}, at {where}")
        os._exit(1)


def main(directory: Path) -> None:
    """Builds what `order.json` asks for and tells what came of it."""
    directory = directory.resolve()
    order = json.loads((directory / ORDER).read_text(encoding="utf-8"))
    limit_s = order["limit_s"]
    signal.alarm(int(WALL_LIMITS * limit_s) + 10)
    tell = Teller(directory)
    watch = Watch(tell, limit_s)
    os.chdir(order["cwd"])
    try:
        import_plugins(order["plugins"])
    except (Exception, SystemExit) as e:  # noqa: BLE001 - whatever a plugin raises is told
        tell(task="", refused=str(fault_of("a plugin", e, "as it was imported")))
        return
    for given in order["tasks"]:
        parts = {"env": EnvConfig(**given["env"]), "collect": CollectConfig(**given["collect"])}
        task = TaskConfig(**{**given, **parts})
        watch.enter(task.name)
        _build(task, tell)


def _build(task: TaskConfig, tell: Teller) -> None:
    try:
        env = real_env(task, 1, lambda text: None)
        _compare_dataset(task, env.spec)
    except ComponentMissing as e:
        tell(task=task.name, missing=str(e))
        return
    except CurriculumError as e:
        tell(task=task.name, refused=str(e))
        return
    except (Exception, SystemExit) as e:  # noqa: BLE001 - whatever a factory raises is told
        tell(task=task.name, refused=f"{type(e).__name__}: {e}")
        return
    spec = env.spec
    seen = {"shape": spec.shape, "actions": spec.action.size, "kind": spec.action.kind}
    tell(task=task.name, seen=seen)
    env.close()


def _compare_dataset(task: TaskConfig, spec: EnvSpec) -> None:
    """Refuses a dataset that is not there, or is not of the environment."""
    if task.collect.dataset:
        from curriculum.minari.reading import MinariEpisodes

        MinariEpisodes(task.collect.dataset).require_of(spec)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
