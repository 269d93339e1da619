"""Writes collected episodes as a Minari dataset."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.datasets.episodes import TERMINATED, Dataset
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ConfigError
from curriculum.minari.library import ENVIRONMENT, folder, require
from curriculum.records.files import refused


def write_minari(data: Dataset, spec: EnvSpec, dataset_id: str, description: str = "") -> Path:
    """Writes episodes where `minari.load_dataset(dataset_id)` finds them, whole or not at all.

    Observations are kept to the last bit, as the agent saw them; actions are in the environment's
    units, rewards the true ones.

    Args:
        data: the episodes.
        spec: of the environment they were played in.
        dataset_id: with a version at its end, e.g. `pong/random-v0`.
        description: for people.

    Returns:
        The dataset's directory.

    Raises:
        ComponentMissing: Minari is not installed.
        ConfigError: this is no id, or there is such a dataset.
        RunIOError: the disk refused.
    """
    minari = require()
    directory = folder(dataset_id)
    if directory.exists():
        raise ConfigError(
            f"there is a dataset {dataset_id} in {directory}: give another --id, or a version above"
        )
    new = directory.with_name(f".{directory.name}.tmp-{os.getpid()}")
    about = {
        "dataset_id": dataset_id,
        "minari_version": minari.__version__,
        "description": description,
        ENVIRONMENT: spec.env_id,
        "action_meanings": [list(vector) for vector in spec.action.meanings],
    }
    try:
        _make_namespace(dataset_id)
        (new / "data").mkdir(parents=True)
        _fill(new / "data", data, spec, about)
        new.rename(directory)
    except OSError as e:
        raise refused(e, f"write the dataset {dataset_id}", directory) from e
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return directory


def _make_namespace(dataset_id: str) -> None:
    from minari.namespace import create_namespace, list_local_namespaces

    namespace = dataset_id.rpartition("/")[0]
    if namespace and namespace not in list_local_namespaces():
        create_namespace(namespace)


def _fill(directory: Path, data: Dataset, spec: EnvSpec, about: dict[str, Any]) -> None:
    from minari.dataset.minari_storage import MinariStorage

    from curriculum.envs.export.vector import action_space, observation_space

    seen, action = observation_space(spec), action_space(spec.action)
    storage = MinariStorage.new(directory, seen, action, data_format="hdf5", jpeg_encoding=False)
    storage.update_metadata(about)
    storage.update_episodes(_episodes(data, spec))


def _episodes(data: Dataset, spec: EnvSpec) -> Iterator[Any]:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    for episode in data.episodes:
        rows = episode["start"] + np.arange(episode["rows"])
        steps, last = rows[:-1], len(rows) - 2
        ended = np.arange(len(steps)) == last
        terminated = data.ends(steps[-1:])[0] == TERMINATED
        yield EpisodeBuffer(
            seed=int(episode["seed"]),
            observations=data.observations(rows),  # pyright: ignore[reportArgumentType]
            actions=spec.action.decode(data.actions(steps)),  # pyright: ignore[reportArgumentType]
            rewards=data.rewards(steps),  # pyright: ignore[reportArgumentType]
            terminations=ended & terminated,  # pyright: ignore[reportArgumentType]
            truncations=ended & ~terminated,  # pyright: ignore[reportArgumentType]
        )
