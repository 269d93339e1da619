"""Presets: budgets laid over a configuration file, under `--set`.

`quick` shows in minutes that everything works; `full` restores the budgets that aim at the targets.
configs/quick.yaml and configs/default.yaml say the same for reading; a test holds them together.
"""

from __future__ import annotations

from typing import Any

_QUICK_SECTIONS: dict[str, Any] = {
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
    "training": {"num_envs": 16, "num_steps": 32, "total_steps": 8192},
    "dream": {"max_steps": 100, "num_envs": 32},
    "evaluate": {"episodes": 4},
}

QUICK: dict[str, Any] = {
    **_QUICK_SECTIONS,
    # A task with budgets of its own in the file gets the quick ones too.
    "tasks": {
        "pong": {name: _QUICK_SECTIONS[name] for name in ("collect", "vae", "mdnrnn", "training")},
        "lunarlander": {
            name: _QUICK_SECTIONS[name] for name in ("collect", "mdnrnn", "controller", "training")
        },
    },
}

FULL: dict[str, Any] = {
    "collect": {
        "num_random_rollouts": 64,
        "num_policy_rollouts": 32,
        "max_steps_per_rollout": 1000,
    },
    "vae": {"epochs": 10, "max_steps": 3000, "batch_size": 128, "beta_warmup_steps": 500},
    "mdnrnn": {"epochs": 20, "max_steps": 1500, "batch_size": 64},
    "controller": {
        "population_size": 16,
        "rollouts_per_candidate": 4,
        "generations": 100,
        "train_in_dream": False,
        "check_every": 10,
        "check_episodes": 16,
    },
    "training": {"num_envs": 64, "num_steps": 64, "total_steps": 1_000_000},
    "dream": {"max_steps": 300, "num_envs": 64},
    "evaluate": {"episodes": 100},
    "tasks": {
        "pong": {
            "collect": {"num_random_rollouts": 64, "max_steps_per_rollout": 400},
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
    },
}

PRESETS: dict[str, dict[str, Any]] = {"quick": QUICK, "full": FULL}
