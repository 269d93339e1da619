"""A claim's plan: everything that a comparison will be judged by, before any of it runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from baselines.sb3.arena import arena_of
from baselines.sb3.loading import MakeTaskEnv
from baselines.sb3.training import Training, recipe_of, settings_of
from baselines.study.claims import Plan, pinned
from curriculum.config.schema import Config, TaskConfig
from curriculum.config.writing import dump
from curriculum.records.files import to_json
from curriculum.runs.machine import versions


def plan_of(
    args: argparse.Namespace, config: Config, tasks: Sequence[TaskConfig], make_env: MakeTaskEnv
) -> Plan:
    """Returns the plan of a claim.

    Args:
        args: of `baselines claim`.
        config: ours.
        tasks: of it, that are claimed.
        make_env: builds environments, of which one each is looked at.

    Raises:
        ConfigError: the baseline cannot learn one of the tasks.
    """
    theirs: dict[str, dict[str, Any]] = {}
    rules: dict[str, dict[str, Any]] = {}
    for task in tasks:
        theirs[task.name], rules[task.name] = _pinned(args, task, make_env)
    return Plan(
        name=args.name,
        tasks=tuple(task.name for task in tasks),
        seeds=tuple(args.seeds),
        metric=args.metric,
        times=args.times,
        against=args.against,
        setting=args.setting,
        policy="sampled" if args.sampled else "greedy",
        episodes=args.episodes,
        steps=args.steps,
        evaluations=args.evaluations,
        ours=dump(config),
        theirs=theirs,
        rules=rules,
        versions=dict(versions()),
    )


def _pinned(
    args: argparse.Namespace, task: TaskConfig, make_env: MakeTaskEnv
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the baseline's settings on a task, and the rules it plays by."""
    arena = arena_of(args.setting, task, lambda num_envs: make_env(task, num_envs))
    with closing(arena.to_play(1)) as env:
        recipe = recipe_of(args.against, env.spec, args.params)
    training = Training(steps=args.steps, device=args.device, commit_steps=args.commit_steps)
    return pinned(settings_of(recipe, training, args.setting)), to_json(arena.rules)
