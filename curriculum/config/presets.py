"""Presets: budgets laid over a configuration file, under `--set`.

`quick` shows in minutes that everything works; `full` restores the budgets that aim at the targets:
the schema's defaults of all that `quick` changes, but for what is said here. configs/quick.yaml and
configs/default.yaml say the same for reading; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curriculum.config.check import TASK_SECTIONS, fields_of

Budgets = dict[str, Any]

QUICK: Budgets = {
    "collect": {"num_random_rollouts": 16, "num_policy_rollouts": 8, "max_steps_per_rollout": 250},
    "vae": {"epochs": 2, "max_steps": 100, "batch_size": 64, "beta_warmup_steps": 50},
    "mdnrnn": {"epochs": 8, "max_steps": 100, "batch_size": 32},
    "controller": {
        "population_size": 8,
        "rollouts_per_candidate": 4,
        "generations": 5,
        "train_in_dream": True,
        "check_every": 0,
        "check_episodes": 4,
    },
    "replay": {"learning_starts": 1024, "epsilon_steps": 2048},
    "training": {"num_envs": 16, "num_steps": 32, "total_steps": 8192},
    "dream": {"max_steps": 100, "num_envs": 32},
    "evaluate": {"episodes": 4},
}


def _usual(budgets: Mapping[str, Mapping[str, Any]]) -> Budgets:
    """Returns the schema's defaults of the same keys."""
    known = {section: fields_of(TASK_SECTIONS[section]) for section in budgets}
    return {s: {key: known[s][key][0].default for key in keys} for s, keys in budgets.items()}


_USUAL = _usual(QUICK)

FULL: Budgets = {
    **_USUAL,
    "vae": {**_USUAL["vae"], "max_steps": 3000},
    "mdnrnn": {**_USUAL["mdnrnn"], "max_steps": 1500},
    "tasks": {
        "pong": {
            "collect": {"max_steps_per_rollout": 400},
            "vae": {"epochs": 20, "max_steps": 800, "batch_size": 64},
            "mdnrnn": {"epochs": 100, "max_steps": 300},
            "controller": {"check_episodes": 10},
            "training": {"num_envs": 32, "total_steps": 550_000},
        },
        "lunarlander": {
            "collect": {"num_random_rollouts": 50, "max_steps_per_rollout": 400},
            "mdnrnn": {"epochs": 100, "max_steps": 100},
            "controller": {
                "population_size": 64,
                "generations": 200,
                "rollouts_per_candidate": 3,
                "check_every": 5,
                "check_episodes": 24,
            },
            "training": {"num_envs": 16, "num_steps": 128, "total_steps": 190_000},
        },
        "breakout": {
            "collect": {"max_steps_per_rollout": 300},
            "vae": {"epochs": 50, "max_steps": 1000, "batch_size": 64},
            "mdnrnn": {"max_steps": 300},
            "controller": {"check_episodes": 20},
            "replay": {"learning_starts": 10_000, "epsilon_steps": 60_000},
            "training": {"num_envs": 32, "num_steps": 32, "total_steps": 1_200_000},
        },
        "carracing": {
            "collect": {"max_steps_per_rollout": 334},
            "mdnrnn": {"max_steps": 300},
            "controller": {"check_episodes": 32},
            "replay": {"learning_starts": 6000, "epsilon_steps": 40_000},
            "training": {"num_envs": 16, "num_steps": 32, "total_steps": 600_000},
        },
    },
}

PRESETS: dict[str, Budgets] = {"quick": QUICK, "full": FULL}
