"""The whole way of a run at a glance: random play, M, dreams, and the pole that then stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from curriculum.agent.loading import load_agent
from curriculum.config.schema import Config
from curriculum.films.camera import film_dream, film_episode, kept, opened
from curriculum.insight.drawing import Picture
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.records.verdict import Verdict
from curriculum.runs.imports import Machine
from curriculum.runs.runner import Runner
from curriculum.stops import Barrier

FILMED_STEPS = 200
EVERY = 2
"""Steps between two pictures."""
STEP_SECONDS = 0.02
"""Of the cart's time."""

Say = Callable[[str], None]


def walk(
    config: Config, machine: Machine, rundir: RunDir, ledger: Ledger, barrier: Barrier, say: Say
) -> Verdict:
    """Walks the one task of the demonstration, telling each round in a line."""
    ledger.subscribe(_Narrator(say).on_event)
    runner = Runner(config, rundir, ledger, machine, barrier)
    try:
        return runner.walk()[0]
    finally:
        runner.close()


def films(rundir: RunDir, seed: int) -> list[tuple[str, list[Picture]]]:
    """Returns pictures of the agent at play and in its dream."""
    agent, most = load_agent(rundir.path), FILMED_STEPS
    with opened(agent.make_screen) as screen:
        _, played = kept(
            lambda reel: film_episode(agent, seed, reel, screen=screen, max_steps=most)
        )
    _, dreamed = kept(lambda reel: film_dream(agent, seed, reel, temperature=1.0, max_steps=most))
    return [("the game", played[::EVERY]), ("its dream", dreamed[::EVERY])]


class _Narrator:
    """Tells the ledger of a walk in a few lines."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._steps, self._dreams = 0, ""

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Takes what the ledger was told."""
        if event["event"] != "stage_done":
            return
        stage, metrics = event["stage"], event["metrics"]
        if stage == "collect":
            self._steps += event["env_steps"]
            if event["round"] == 0:
                self._say(f"{metrics['score_mean']:5.0f} steps  at random")
        elif stage == "memory":
            error, copied = (metrics[f"held_out_{name}_error"] for name in ("prediction", "copy"))
            known = f"{1.0 - error / copied:.2%}" if copied else "all"
            self._say(f"             M, from {self._steps:,} steps, foretells {known} of a change")
        elif stage == "controller":
            self._dreams = f"{event['dream_steps']:,} steps dreamed in {event['seconds']:.1f} s"
        elif stage == "evaluate":
            self._say(f"{metrics['score']:5.0f} steps  after {self._dreams}")
