"""Episodes from start to end: the one loop in which policies meet environments.

Episodes are numbered; each has its own seed and its own random stream, so a result depends on the
list of episodes and never on what else ran. Rows of finished episodes are left out of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from curriculum.envs.interface import Step, VectorEnv


@dataclass(frozen=True)
class Episode:
    """One finished episode.

    Attributes:
        seed: it began with.
        score: true and undiscounted.
        steps: it took.
        terminated: whether it came to its end; else its limit of frames or steps cut it.
        lives_lost: while the game went on; the loss that ended it is none of them.
        barren_steps: the longest stretch without a reward.
    """

    seed: int
    score: float
    steps: int
    terminated: bool
    lives_lost: int = 0
    barren_steps: int = 0


class Policy(Protocol):
    """Chooses actions for the live slots of a batch."""

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        """New episodes (their numbers in the list) start in these slots."""
        ...

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Returns actions `[L]` or `[L, A]` for observations `[L, ...]` of the live slots `[L]`."""
        ...

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        """Is told the actions really taken, which another policy may have replaced."""
        ...


Recorder = Callable[[np.ndarray, np.ndarray, np.ndarray, Step], None]
"""Is told each step: live slots `[L]`, observations `[N, ...]` before, actions `[L, ...]`, it."""


def run_episodes(
    env: VectorEnv,
    policy: Policy,
    seeds: Sequence[int],
    *,
    max_steps: int = 0,
    idle_steps: int = 0,
    recorder: Recorder | None = None,
) -> list[Episode]:
    """Plays one episode per seed and returns them in the order of the seeds.

    Args:
        env: a batch of environments; if there are fewer seeds than environments, the rest stay
            parked, and if there are more, a slot takes the next seed when its episode ends.
        policy: chooses the actions.
        seeds: one per episode.
        max_steps: steps after which an episode is cut; 0 is no cut.
        idle_steps: steps without a reward after which it is cut; 0 is no cut.
        recorder: is told every step.
    """
    count = len(seeds)
    slots = np.arange(min(env.num_envs, count))
    playing = np.full(env.num_envs, -1)
    playing[slots] = slots
    following = len(slots)
    tally = _Tally(count)
    observations = env.reset(seeds[: len(slots)], slots.tolist())
    policy.begin(slots, slots.copy())
    actions = _still(env)
    while (live := np.flatnonzero(playing >= 0)).size:
        actions[live] = policy.act(observations[live], live)
        taken = env.send(actions)[live]
        # While the environments work, so does M.
        policy.acted(taken, live)
        step = env.recv()
        episodes = playing[live]
        tally.add(episodes, step, live)
        enough = tally.past(episodes, max_steps, idle_steps)
        truncated = step.truncated[live] | (enough & ~step.terminated[live])
        if recorder is not None:
            recorder(live, observations, taken, _cut(step, live, truncated))
        observations = step.observations
        over = live[step.terminated[live] | truncated]
        if over.size:
            tally.terminated[playing[over]] = step.terminated[over]
            fresh = over[: count - following]
            playing[over] = -1
            playing[fresh] = np.arange(following, following + fresh.size)
            following += fresh.size
            if fresh.size:
                next_seeds = [seeds[i] for i in playing[fresh].tolist()]
                observations = env.reset(next_seeds, fresh.tolist())
                policy.begin(fresh, playing[fresh])
    return tally.episodes(seeds)


class _Tally:
    """What is counted of episodes while they are played, each at its place in the list."""

    def __init__(self, count: int) -> None:
        self.scores, self.terminated = np.zeros(count), np.zeros(count, np.bool_)
        self.steps, self._lives, self._waited, self._barren = np.zeros((4, count), np.int64)

    def add(self, episodes: np.ndarray, step: Step, live: np.ndarray) -> None:
        """Counts a step of the live slots, in which these episodes are played."""
        rewards = step.rewards[live]
        self.scores[episodes] += rewards
        self.steps[episodes] += 1
        self._lives[episodes] += step.life_lost[live]
        self._waited[episodes] = np.where(rewards == 0.0, self._waited[episodes] + 1, 0)
        self._barren[episodes] = np.maximum(self._barren[episodes], self._waited[episodes])

    def past(self, episodes: np.ndarray, max_steps: int, idle_steps: int) -> np.ndarray:
        """Returns which of these episodes have lasted, or waited, long enough; 0 is for ever."""
        lasted = self.steps[episodes] >= max_steps if max_steps else False
        waited = self._waited[episodes] >= idle_steps if idle_steps else False
        return np.full(len(episodes), False) | lasted | waited

    def episodes(self, seeds: Sequence[int]) -> list[Episode]:
        """Returns the episodes, all of them over."""
        columns = (self.scores, self.steps, self.terminated, self._lives, self._barren)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [Episode(int(seed), *row) for seed, row in zip(seeds, rows, strict=True)]


def _cut(step: Step, live: np.ndarray, truncated: np.ndarray) -> Step:
    """Returns a step in which the live slots are truncated as said."""
    ends = step.truncated.copy()
    ends[live] = truncated
    return step._replace(truncated=ends)


def _still(env: VectorEnv) -> np.ndarray:
    """Actions for parked slots: the first discrete action, or the middle of the bounds."""
    action = env.spec.action
    if action.kind == "discrete":
        return np.zeros(env.num_envs, np.int64)
    return action.decode(np.zeros((env.num_envs, action.size), np.float32))
