"""Episodes with what their environment told of each step beside its reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curriculum.agent.agent import Player
from curriculum.agent.episodes import Episode, run_episodes
from curriculum.agent.work import EpisodesUnit, Workbench
from curriculum.envs.interface import Step
from curriculum.seeds import generator
from models.shapes import Float32


@dataclass(frozen=True)
class ToldEpisode:
    """A finished episode.

    Attributes:
        episode: its seed and its true score.
        actions: that were taken, `[T]` int64 or `[T, A]` float32.
        facts: `[T, K]` float32, after each step, by the names in `EnvSpec.facts`.
        features: `[T, F]` float32, what C read before each step.
    """

    episode: Episode
    actions: np.ndarray
    facts: Float32[np.ndarray, "T K"]
    features: Float32[np.ndarray, "T F"]


def tell_episodes(bench: Workbench, unit: EpisodesUnit) -> list[ToldEpisode]:
    """Plays full episodes and keeps what is told of them, in the order of their seeds.

    The environments have to tell facts (`EnvSpec.facts`).
    """
    env = bench.env(min(bench.spec.task.env.num_envs, len(unit.seeds)))
    bench.agent.load(unit.learned)
    rng = generator(bench.spec.seed, "actions", *unit.seeds) if unit.sampled else None
    player = bench.agent.player(env.num_envs, rng)
    recorder = _Recorder(player, env.num_envs, len(unit.seeds))
    played = run_episodes(
        env, player, unit.seeds, max_steps=unit.max_steps, recorder=recorder.record
    )
    return [
        ToldEpisode(episode, *map(np.stack, told))
        for episode, *told in zip(
            played, recorder.actions, recorder.facts, recorder.features, strict=True
        )
    ]


class _Recorder:
    """Sorts the steps of a batch by episode, numbered as the seeds are."""

    def __init__(self, player: Player, num_envs: int, episodes: int) -> None:
        self._player = player
        self.actions: list[list[np.ndarray]] = [[] for _ in range(episodes)]
        self.facts: list[list[np.ndarray]] = [[] for _ in range(episodes)]
        self.features: list[list[np.ndarray]] = [[] for _ in range(episodes)]
        self._playing = list(range(num_envs))
        self._following = num_envs

    def record(
        self, live: np.ndarray, observations: np.ndarray, actions: np.ndarray, step: Step
    ) -> None:
        assert step.facts is not None, "these environments tell nothing"
        over = step.terminated | step.truncated
        for row, slot in enumerate(live.tolist()):
            number = self._playing[slot]
            self.actions[number].append(np.asarray(actions[row]))
            self.facts[number].append(step.facts[slot])
            self.features[number].append(self._player.read[row])
            if over[slot]:
                self._playing[slot], self._following = self._following, self._following + 1
