"""Sinks by the names that a configuration gives them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from curriculum.config.loading import to_dict
from curriculum.config.schema import Config
from curriculum.errors import ComponentMissing
from curriculum.progress import say
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.sinks.following import Follower
from curriculum.sinks.sink import Sink, Told

Announce = Callable[[str], None]

SINKS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "tensorboard": ("tensorboard", "TensorBoardSink", "tensorboard"),
        "wandb": ("trackers", "WandbSink", "wandb"),
        "mlflow": ("trackers", "MlflowSink", "mlflow-skinny sqlalchemy alembic"),
        "trackio": ("trackers", "TrackioSink", "trackio"),
    }
)
"""Module and class of each, and what pip installs for it."""


def chosen(config: Config) -> list[str]:
    """Returns the names of a configuration's sinks; `curriculum.tensorboard: true` is one too."""
    limits = config.curriculum
    names = [*(["tensorboard"] if limits.tensorboard else []), *limits.sinks]
    return list(dict.fromkeys(names))


@contextmanager
def followed(
    names: list[str], config: Config, rundir: RunDir, ledger: Ledger, announce: Announce
) -> Iterator[None]:
    """Has sinks follow a run's ledger.

    Args:
        names: of the sinks.
        config, rundir, ledger: of the run.
        announce: is told the name of a sink before it is imported, and an empty text after.

    Raises:
        ComponentMissing: one is not installed or does not begin.
    """
    told = Told(config.name, rundir.id, rundir.path, to_dict(config))
    followers = []
    try:
        for name in names:
            announce(name)
            follower = Follower(name, _opened(name, told), rundir, say)
            announce("")
            followers.append(follower)
            ledger.subscribe(follower.on_event)
        yield
    finally:
        for follower in followers:
            follower.close()


def _opened(name: str, told: Told) -> Sink:
    module, kind, pip = SINKS[name]
    try:
        return getattr(importlib.import_module(f"curriculum.sinks.{module}"), kind)(told)
    except (Exception, SystemExit) as e:
        raise ComponentMissing(
            f"the run was to be told to {name}, which cannot begin ({type(e).__name__}: {e}): "
            f"install it with `pip install {pip}`, or take it out of curriculum.sinks"
            + (" and curriculum.tensorboard" if name == "tensorboard" else "")
        ) from e
