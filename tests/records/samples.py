"""One of each event as it really is recorded, and ledgers of events that need not be like that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PLACE = {"task": "pong", "mode": "FULL", "round": 0, "stage": "controller"}
_LOST = {"worker": 3, "environments": [6, 7]}
_REPLAY = {**_LOST, "seeds": [11, 12], "steps": 40}
_DIED = {**_LOST, "how": "was killed by SIGKILL", "traceback": "", "log": "last words"}

SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "run_started": {
        "name": "atari",
        "seed": 5,
        "mode": "auto",
        "config_hash": "abc123",
        "plugins": [],
        "run_dir": "runs/atari",
        "versions": {"numpy": "2.1"},
        "hardware": {"device": "cpu", "cores": 2},
        "resumed": True,
        "command": "python -m curriculum run atari.yaml",
    },
    "forked": {
        "source": "runs/older",
        "source_id": "f00",
        "changes": ["ppo.reuse: 1 instead of 2"],
        "taken": ["pong REAL collect"],
    },
    "resume_inexact": {"differences": ["numpy is 2.1 instead of 2.0"]},
    "probe": {"component": "box2d", "state": "missing"},
    "decision": {
        "task": "pong",
        "mode": "SIMULATION",
        "requested": "auto",
        "reasons": ["torch is missing"],
        "missing": ["torch"],
    },
    "replacement": {
        "task": "pong",
        "mode": "FULL",
        "component": "cma",
        "reason": "cma is missing",
        "replacement": "built-in ES",
        "consequence": "slower",
    },
    "stepped_down": {"task": "pong", "mode": "FULL", "to": "GYM_ONLY", "reason": "it was killed"},
    "notice": {"task": "pong", "text": "an old id was mapped"},
    "environment_fault": {"task": "pong", "mode": "None", "reason": "it raised", "evidence": {}},
    "task_refused": {"task": "pong", "mode": "FULL", "reason": "no action is left", "evidence": {}},
    "verdict": {
        "task": "pong",
        "verdict": "missed",
        "mode": "FULL",
        "env_id": "PongNoFrameskip-v4",
        "score": 12.5,
        "interval": [11.0, 14.0],
        "target": 18.0,
        "episodes": 100,
        "policy": "greedy",
        "env_steps": 1000,
        "dream_steps": 0,
        "seconds": 60.0,
        "reasons": [],
        "other_policy": "",
        "other_score": None,
        "other_interval": None,
        "fault": "",
        "round": 0,
        "attempt": 1,
        "attempts": [],
    },
    "attempt_over": {
        "task": "pong",
        "verdict": "missed",
        "mode": "FULL",
        "env_id": "PongNoFrameskip-v4",
        "score": 11.5,
        "interval": [11.0, 12.0],
        "target": 18.0,
        "episodes": 100,
        "policy": "greedy",
        "env_steps": 1000,
        "dream_steps": 0,
        "seconds": 60.0,
        "reasons": [],
        "other_policy": "",
        "other_score": None,
        "other_interval": None,
        "fault": "",
        "round": 0,
        "attempt": 1,
        "attempts": [],
        "allowed": 3,
    },
    "run_stopped": {"reason": "asked to", "exit_code": 75, "resume": "resume it"},
    "run_finished": {"exit_code": 3},
    "stage_started": {**PLACE, "attempt": 0, "resumed_at": None},
    "stage_skipped": {**PLACE, "seconds": 4.0, "result": "5 updates"},
    "stage_failed": {**PLACE, "attempt": 0, "reason": "NaN", "evidence": {}, "left": 1},
    "stage_done": {
        **PLACE,
        "seconds": 4.0,
        "result": "5 updates",
        "env_steps": 800,
        "dream_steps": 0,
        "metrics": {"best_check": 3.0},
        "facts": {},
        "committing": {"commits": 1, "seconds": 0.1},
        "spent": {"learning": 1.0},
    },
    "transferred": {
        **PLACE,
        "stage": "vision",
        "source": "breakout",
        "source_round": 0,
        "taken": False,
        "reason": "weight.to_latent.bias is float32 64 here and float32 32 there",
    },
    "metrics": {**PLACE, "step": 5, "values": {"loss": 0.5}},
    "check": {**PLACE, "generation": 5, "score": 12.25, "target": 18.0},
    "media": {**PLACE, "paths": ["media/pong.gif"]},
    "insight_failed": {**PLACE, "reason": "LookupError: no ball"},
    "commit_rejected": {**PLACE, "reason": "its hash is another"},
    "update_refused": {**PLACE, "step": 5, "reason": "NaN", "in_a_row": 1},
    "rolled_back": {
        **PLACE,
        "step": 5,
        "at": 6,
        "reason": "NaN",
        "learning_rate": 0.1,
        "in_a_row": 1,
        "rollbacks": 1,
    },
    "batch_halved": {**PLACE, "step": 5, "parts": 2, "reason": "it did not fit"},
    "moved_to_cpu": {**PLACE, "reason": "it did not fit"},
    "memory_low": {"floor": 3, "available": 2, "total": 9, "limited_by": "the machine"},
    "engine_died": {"how": "was killed", "importing": "torch", "last_words": "Segmentation fault"},
    "component_broken": {"component": "torch", "reason": "it crashed"},
    "worker_not_started": {"reason": "no file is left"},
    "worker_died": {"how": "was killed", "unit": 4, "log": ""},
    "worker_hung": {"how": "ran past its deadline of 60 s", "unit": 4, "log": ""},
    "worker_recycled": {"grown_bytes": 2**30},
    "env_worker_died": _DIED,
    "env_worker_hung": {**_DIED, "how": "ran past its deadline of 60 s"},
    "env_worker_raised": {**_DIED, "how": "ValueError: 7"},
    "env_worker_replaced": _REPLAY,
    "env_worker_recycled": {**_REPLAY, "grown_bytes": 2**30},
    "env_episodes_cut": {**_LOST, "seeds": [11, 12], "reason": "it failed again"},
    "unit_failed": {"unit": 4, "function": "play", "reason": "ValueError", "attempt": 1},
    "pool_serial": {"reason": "3 workers in a row did not start"},
    "unreadable_line": {"line": 9, "reason": "it is no JSON"},
    "baseline_started": {
        "algo": "ppo",
        "task": "pong",
        "env_id": "PongNoFrameskip-v4",
        "playing": "PongNoFrameskip-v4",
        "env": {},
        "seed": 5,
        "machine": {},
    },
    "baseline_resumed": {"steps": 100_352},
    "claim_made": {"name": "sooner", "hash": "0" * 64},
    "episode": {"score": -20.5, "steps": 900},
    "evaluation": {"step": 5000, "score": -19.5, "scores": [-20.0, -19.0]},
    "baseline_done": {
        "env_steps": 10_000,
        "seconds": 60.0,
        "score": -18.5,
        "interval": [-19.0, -18.0],
        "iqm": -18.25,
        "iqm_interval": [-19.0, -18.0],
        "confidence": 0.95,
        "episodes": 20,
    },
}


def facts_of(name: str, /, **changes: Any) -> dict[str, Any]:
    """The facts of a sample, some of them changed."""
    return {**SAMPLES[name], **changes}


def write_ledger(path: Path, events: Iterable[Mapping[str, Any]]) -> None:
    """Adds events as some version or other of this program may have written them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for event in events:
            file.write(json.dumps({"t": 0.0, **event}) + "\n")
