"""M as an environment: a batch of dreams with the reset and step of any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curriculum.envs.interface import ActionSpec, EnvSpec, Step
from models.interfaces import Float, Memory

TEMPERATURES = (0.5, 2.0)


@dataclass(frozen=True)
class DreamStarts:
    """Where dreams begin: real latents `[M, Z]` and M's states before them `[M, S]`."""

    latents: Float
    states: Float


class DreamVectorEnv:
    def __init__(self, memory: Memory, starts: DreamStarts, action: ActionSpec, num_envs: int, *, temperature: float = 1.0, max_steps: int = 300, env_id: str = "dream") -> None:
        self.num_envs = num_envs
        self.spec = EnvSpec(env_id, "state", (memory.latent_size,), action, 1, max_steps)
        self._memory, self._starts, self._temperature = memory, starts, temperature
        self._state = memory.initial_state(num_envs)
        self._latents = np.zeros((num_envs, memory.latent_size), np.float32)
        self._steps = np.zeros(num_envs, np.int64)
        self._playing = np.zeros(num_envs, np.bool_)
        self._rng = np.random.default_rng(0)

    def reset(self, seeds: Sequence[int], indices: Sequence[int] | None = None) -> np.ndarray:
        slots = list(range(self.num_envs)) if indices is None else list(indices)
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(seeds))))
        for slot, seed in zip(slots, seeds, strict=True):
            start = np.random.default_rng(seed).integers(len(self._starts.latents))
            self._latents[slot] = self._starts.latents[start]
            self._state[slot] = self._starts.states[start]
        self._steps[slots] = 0
        self._playing[slots] = True
        return self._latents.copy()

    def hidden(self) -> Float:
        return self._memory.hidden(self._state)

    def step(self, actions: np.ndarray) -> Step:
        live = np.flatnonzero(self._playing)
        rewards = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, np.bool_)
        truncated = np.zeros(self.num_envs, np.bool_)
        if live.size:
            encoded = self.spec.action.encode(actions[live])
            state = self._memory.step(self._state[live], self._latents[live], encoded)
            p = self._memory.predict(state, self._latents[live], self._temperature, self._rng)
            self._state[live], self._latents[live] = state, p.latents
            self._steps[live] += 1
            rewards[live] = p.rewards
            terminated[live] = self._rng.random(live.size) < p.terminated
            truncated[live] = (self._steps[live] >= self.spec.max_episode_steps) & ~terminated[live]
            self._playing &= ~(terminated | truncated)
        return Step(self._latents.copy(), rewards, terminated, truncated)

    def close(self) -> None:
        pass
