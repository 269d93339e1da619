"""Presets: budgets, or a whole recipe, laid over a configuration file, under `--set`.

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
            "controller": {"check_episodes": 40},
            "replay": {"learning_starts": 10_000, "epsilon_steps": 60_000},
            "training": {"num_envs": 32, "num_steps": 32, "total_steps": 800_000},
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

PAPER: Budgets = {
    "collect": {
        "num_random_rollouts": 10_000,
        "max_steps_per_rollout": 1000,
        "repeat_action_probability": 0.0,
    },
    "vae": {
        "z_dim": 32,
        "channels": [32, 64, 128, 256],
        "learning_rate": 1e-3,
        "beta": 1.0,
        "beta_warmup_steps": 0,
        "motion_weight": 0.0,
        "coarse_weight": 0.0,
        "reconstruction_scale": 1.0,
        "key_points": 0,
        "joint_updates": 0,
        "epochs": 10,
        "max_steps": 0,
        "batch_size": 100,
    },
    "mdnrnn": {
        "rnn_size": 256,
        "num_mixtures": 5,
        "sequence_length": 100,
        "learning_rate": 1e-3,
        "gradient_clip": 1.0,
        "dropout": 0.0,
        "epochs": 20,
        "max_steps": 0,
        "batch_size": 100,
    },
    "controller": {
        "features": ["z", "h"],
        "hidden_sizes": [],
        "layer_norm": False,
        "solver": "cma",
        "sigma": 0.1,
        "hidden_sigma": 1.0,
        "population_size": 64,
        "rollouts_per_candidate": 16,
        "generations": 800,
        "max_steps_per_rollout": 0,
        "polish_generations": 0,
        "check_every": 25,
        "check_episodes": 64,
        "stop_margin": 0.0,
    },
    "shaping": {"left_behind_cost": 0.0, "lap_bonus": 0.0, "frame_cost": 0.0},
    "dream": {"temperature": 1.0},
    "evaluate": {"episodes": 100, "sampled": False},
    "env": {"frame_stack": 1, "crop": [], "pooling": "area", "actions": []},
}
"""Ha & Schmidhuber 2018, section 2 and appendix A: V alone, then M alone, then a linear C on [z, h]
by CMA-ES in the environment. What it says of CarRacing goes for every task. `validate --preset
paper --full` shows the rest, and README what our defaults do otherwise."""

PRESETS: dict[str, Budgets] = {"quick": QUICK, "full": FULL, "paper": PAPER}
