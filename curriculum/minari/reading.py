"""Reads the episodes of a Minari dataset as what an environment of ours would have shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.agent.work import Recording
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.errors import ConfigError
from curriculum.minari.library import ENVIRONMENT, folder, require


class MinariEpisodes:
    """The episodes of a dataset on this machine; nothing is downloaded.

    Args:
        source: its id, or the directory that it is in.

    Raises:
        ComponentMissing: Minari is not installed.
        ConfigError: there is no such dataset, or it cannot be read.
    """

    def __init__(self, source: str) -> None:
        require()
        from minari.dataset.minari_storage import MinariStorage

        self.source = source
        directory = _data_of(source)
        try:
            self._storage = MinariStorage.read(directory)
            self._about = MinariStorage.read_raw_metadata(self._storage.data_path)
            self.num_episodes = int(self._about["total_episodes"])
        except Exception as e:
            raise ConfigError(
                f"the dataset {source} cannot be read: {type(e).__name__}: {e}"
            ) from e

    @property
    def identity(self) -> str:
        """Names the dataset and its size, to notice that it became another one."""
        steps = self._about.get("total_steps")
        return f"{self._about.get('dataset_id')}, {self.num_episodes} episodes, {steps} steps"

    def require_of(self, spec: EnvSpec) -> None:
        """Compares the dataset with an environment.

        Raises:
            ConfigError: it is of another environment, or its observations or actions are others.
        """
        problems = [*self._other_environment(spec), *self._other_spaces(spec)]
        if not self.num_episodes:
            problems.append("it holds no episode")
        if problems:
            raise ConfigError(
                f"the dataset {self.source} is not of {spec.env_id} as this task plays it: "
                + "; ".join(problems)
            )

    def recordings(
        self, spec: EnvSpec, first: int, limit: int, max_steps: int
    ) -> Iterator[Recording]:
        """Yields episodes in their order, as a `Recording` each.

        Args:
            spec: see `require_of`.
            first: number of the first one.
            limit: number of the one after the last.
            max_steps: after so many steps an episode is cut.

        Raises:
            ConfigError: an episode is damaged, or is none.
        """
        for number in range(first, min(limit, self.num_episodes)):
            try:
                (given,) = self._storage.get_episodes([number])
                (about,) = self._storage.get_episode_metadata([number])
                recording = _recording(given, about.get("seed"), spec, number, max_steps)
            except Exception as e:
                raise ConfigError(
                    f"episode {number} of the dataset {self.source} cannot be read: "
                    f"{type(e).__name__}: {e}"
                ) from e
            yield recording

    def _other_environment(self, spec: EnvSpec) -> list[str]:
        told = self._about.get(ENVIRONMENT, spec.env_id)
        return [] if told == spec.env_id else [f"it was played in {told}"]

    def _other_spaces(self, spec: EnvSpec) -> list[str]:
        from gymnasium.spaces import Box

        seen, action = self._storage.observation_space, self._storage.action_space
        problems = []
        kind = "u" if spec.observation == "pixels" else "f"
        if not isinstance(seen, Box) or seen.shape != spec.shape or seen.dtype.kind != kind:
            wanted = "uint8" if kind == "u" else "float32"
            problems.append(f"it shows {seen}, expected {wanted} of shape {spec.shape}")
        if not _same_actions(action, spec.action):
            problems.append(f"its actions are {action}, expected {_words(spec.action)}")
        return problems


def _data_of(source: str) -> Path:
    for directory in (Path(source), Path(source) / "data"):
        if (directory / "metadata.json").is_file():
            return directory
    directory = folder(source)
    if not directory.is_dir():
        raise ConfigError(
            f"there is no dataset {source} on this machine, neither as a directory nor in "
            f"{directory.parent}: minari list local shows those that are here, and "
            f"minari download {source} fetches a public one"
        )
    return directory / "data"


def _same_actions(space: Any, action: ActionSpec) -> bool:
    from gymnasium.spaces import Box, Discrete

    if action.kind == "discrete":
        return isinstance(space, Discrete) and int(space.n) == action.size
    if not isinstance(space, Box) or space.shape != (action.size,):
        return False
    low, high = action.bounds
    return np.allclose(space.low, low) and np.allclose(space.high, high)


def _words(action: ActionSpec) -> str:
    if action.kind == "discrete":
        return f"{action.size} discrete ones"
    return f"{action.size} numbers from {list(action.low)} to {list(action.high)}"


def _recording(
    given: dict[str, Any], seed: Any, spec: EnvSpec, number: int, max_steps: int
) -> Recording:
    steps = min(len(given["rewards"]), max_steps)
    observations = np.asarray(given["observations"])[: steps + 1]
    actions = np.asarray(given["actions"])[:steps]
    rewards = np.asarray(given["rewards"], np.float32)[:steps]
    terminated = np.flatnonzero(np.asarray(given["terminations"], bool)[:steps])
    if steps == 0 or len(observations) != steps + 1 or len(actions) != steps:
        raise ValueError(
            f"it has {len(observations)} observations and {len(actions)} actions for {steps} "
            "rewards, expected one observation more, and at least one reward"
        )
    if terminated.size and terminated[0] != steps - 1:
        raise ValueError(f"it goes on after it ended at step {terminated[0]}")
    if not (np.isfinite(observations).all() and np.isfinite(rewards).all()):
        raise ValueError("its observations and rewards are not all finite")
    return Recording(
        seed=number if seed is None else int(seed),
        observations=observations.astype(
            np.uint8 if spec.observation == "pixels" else np.float32, copy=False
        ),
        actions=_actions(actions, spec.action),
        rewards=rewards,
        terminated=bool(terminated.size),
    )


def _actions(actions: np.ndarray, action: ActionSpec) -> np.ndarray:
    if action.kind == "continuous":
        if not np.isfinite(actions).all():
            raise ValueError("its actions are not all finite")
        return np.clip(actions.astype(np.float32), *action.bounds)
    if actions.size and (actions.min() < 0 or actions.max() >= action.size):
        raise ValueError(f"it has actions from {actions.min()} to {actions.max()}")
    return actions.astype(np.int64)
