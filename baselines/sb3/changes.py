"""Hyper-parameters that a user changes: named as Stable-Baselines3 and its zoo name them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from baselines.sb3.recipes import Linear, Recipe
from curriculum.errors import ConfigError

_OURS = ("gamma", "num_envs")
"""What a recipe holds beside the learner's arguments."""

_NOT_CHANGED = frozenset(
    {
        *("self", "policy", "env", "seed", "device", "policy_kwargs", "verbose"),
        *("tensorboard_log", "stats_window_size", "monitor_wrapper", "_init_setup_model"),
        *("rollout_buffer_class", "rollout_buffer_kwargs", "replay_buffer_class"),
        *("replay_buffer_kwargs", "optimize_memory_usage", "action_noise"),
    }
)
"""Arguments that are this program's own to give, or no numbers or words."""

_LINEAR = "lin_"
"""The zoo's word for a value that falls in a straight line to zero."""


def changed(recipe: Recipe, learner: type[BaseAlgorithm], params: Sequence[str]) -> Recipe:
    """Returns a recipe with some of its hyper-parameters changed, which its source then says.

    Args:
        recipe: to begin with.
        learner: whose arguments may be given.
        params: texts `name=value`; a value may be `lin_2.5e-4`, which falls to zero. Of two for
            one name the later one wins.

    Raises:
        ConfigError: a name is none of its hyper-parameters, or a text is no `name=value`.
    """
    if not params:
        return recipe
    arguments = inspect.signature(learner.__init__).parameters
    known: dict[str, Any] = {
        name: recipe.settings.get(name, argument.default)
        for name, argument in arguments.items()
        if name not in _NOT_CHANGED
    }
    known |= {name: getattr(recipe, name) for name in _OURS}
    given = dict(_parsed(text, known, learner.__name__) for text in params)
    own = {name: given.pop(name) for name in _OURS if name in given}
    source = f"{recipe.source}; changed: {', '.join(dict.fromkeys(params))}"
    return replace(recipe, source=source, settings={**recipe.settings, **given}, **own)


def _parsed(text: str, known: Mapping[str, Any], learner: str) -> tuple[str, Any]:
    name, equals, told = (part.strip() for part in text.partition("="))
    if not (name and equals and told):
        raise ConfigError(f"--param {text}: expected NAME=VALUE, e.g. learning_rate=1e-4")
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
        raise ConfigError(f"{learner} has no hyper-parameter {name!r}: {hint}")
    value = _value(told)
    expected = _unlike(value, known[name])
    if expected:
        raise ConfigError(f"--param {text}: expected {expected}")
    return name, value


def _unlike(value: Any, usual: Any) -> str:
    """Returns what was expected instead of a value, by what is usual; empty if it will do."""
    if isinstance(usual, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(usual, int):
        return "" if type(value) is int else "a whole number"
    if isinstance(usual, float) or callable(usual):
        fits = type(value) in (int, float) or callable(value)
        return "" if fits else "a number"
    return ""


def _value(text: str) -> Any:
    words = {"true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text.startswith(_LINEAR):
        try:
            return Linear(float(text.removeprefix(_LINEAR)))
        except ValueError:
            pass
    return text
