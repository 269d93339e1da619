"""What the ledger says about a task's past: modes, failed attempts, and what was used before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curriculum.config.schema import Config, TaskConfig
from curriculum.mode import Decision, decide, step_down
from curriculum.records.finished import Finished, Used
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.tasks import needs_of

Place = tuple[Any, ...]
"""Task, mode, round and stage."""


@dataclass(frozen=True)
class History:
    """Reads a run's past from its ledger and its directory.

    Attributes:
        config, rundir, ledger: of the run.
    """

    config: Config
    rundir: RunDir
    ledger: Ledger

    def decision(self, task: TaskConfig, states: Mapping[str, str]) -> Decision:
        """Decides the mode, but never above one that this run has already given up."""
        needs = needs_of(task)
        decision = decide(states, needs, self.config.curriculum.mode)
        for event in self.ledger.events("stepped_down"):
            given_up = event["task"] == task.name and event["mode"] == str(decision.mode)
            if given_up:
                decision = step_down(decision, needs, states, event["reason"])
        return decision

    def used_before(self, task: TaskConfig) -> Used:
        """Returns what a task used in modes that an earlier process of this run has given up."""
        used = Used()
        for event in self.ledger.events("stepped_down"):
            if event["task"] != task.name:
                continue
            for mode in ("REAL", event["mode"]):
                of_mode = self.rundir.stage_dir(task.name, mode, 0, "").parent
                for path in sorted(of_mode.glob("round-*/*/result.json")):
                    finished = Finished.read(path.parent)
                    if finished is not None:
                        used.add(path.parent, finished)
        return used

    def failures(self, here: Place) -> list[dict[str, Any]]:
        """Returns the failed attempts of a stage, oldest first."""
        return [e for e in self.ledger.events("stage_failed") if place_of(e) == here]


def place_of(event: Mapping[str, Any]) -> Place:
    """Returns the task, mode, round and stage that an event tells of."""
    return event["task"], event["mode"], event["round"], event["stage"]
