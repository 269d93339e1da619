"""What all commands that probe have in common: the limit they take, and what they say meanwhile."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from curriculum.config.schema import Config
from curriculum.errors import ConfigError
from curriculum.progress import say
from curriculum.tasks import load_config

FREE = ("curriculum", "evaluate", "env", "seed")
"""Sections that may differ from those that an agent was learned with."""

FREE_OF_TASK = ("evaluate", "env", "env_id", "target", "simulation_target")


def tell(text: str) -> None:
    """Says on stderr what is being probed: stdout may be somebody's JSON."""
    say(text)


def probe_limit(args: argparse.Namespace) -> list[str]:
    """Returns what `--probe-timeout` stands for, as `--set` would have it."""
    seconds = getattr(args, "probe_timeout", None)
    return [] if seconds is None else [f"curriculum.timeout_seconds={seconds}"]


def learned_config(path: Path, args: argparse.Namespace) -> Config:
    """Reads the configuration of something learned, with what the command line lays over it.

    Raises:
        ConfigError: it is not valid, or a key is to be changed that shaped what was learned.
    """
    sets: Sequence[str] = getattr(args, "sets", ())
    for text in sets:
        _require_free(text)
    return load_config(path, sets=[*probe_limit(args), *sets])


def _require_free(text: str) -> None:
    key = text.partition("=")[0]
    parts = [part.strip() for part in key.split(".")]
    free = parts[2] in FREE_OF_TASK if parts[0] == "tasks" and len(parts) > 2 else parts[0] in FREE
    if not free or parts[:2] == ["curriculum", "mode"]:
        raise ConfigError(
            f"--set {text}: {key.strip()} shaped what was learned and cannot be changed "
            f"afterwards; what can be: {', '.join(FREE)}, and of a task "
            f"{', '.join(f'tasks.NAME.{name}' for name in FREE_OF_TASK)}"
        )
