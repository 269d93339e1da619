"""Minari itself: whether it is here, and where its datasets lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curriculum.errors import ComponentMissing, ConfigError

_INSTALL = 'pip install "minari[hdf5]"'
ENVIRONMENT = "world_models_environment"
"""The entry of a dataset's metadata that names the environment which a run played."""


def require() -> Any:
    """Returns the module.

    Raises:
        ComponentMissing: it, or what stores its datasets, is not installed.
    """
    try:
        import h5py
        import minari
    except ImportError as e:
        raise ComponentMissing(f"Minari's datasets cannot be used: {e}; {_INSTALL}") from e
    del h5py
    return minari


def folder(dataset_id: str) -> Path:
    """Returns where a dataset of this machine lies, whether or not it is there.

    Raises:
        ConfigError: this is no id.
    """
    require()
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path

    try:
        _, _, version = parse_dataset_id(dataset_id)
    except (ValueError, TypeError):
        version = None
    if version is None or ".." in dataset_id.split("/"):
        raise ConfigError(
            f"{dataset_id!r} is no id of a dataset: expected letters, digits, _ and -, folders "
            "before it if you like, and a version behind it, e.g. pong/random-v0"
        )
    return Path(get_dataset_path()) / dataset_id
