"""Short dreams begun from real moments of a rollout, for the policy to learn from as well.

As in MBPO (Janner et al. 2019, algorithm 2): a branch is so short that M's errors cannot add up,
and what would follow its last step counts by its value. Its actions come from the present policy,
so the learner treats it like any rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from curriculum.agent.perception import WorldModelPerception, join_features
from curriculum.agent.rollouts import not_finite
from curriculum.envs.interface import ActionSpec
from curriculum.envs.learning import rewarded
from curriculum.stages.stage import StageContext
from models.interfaces import Controller, Float, Memory, Metrics, NonFiniteLoss, Rollout


class NonFiniteDream(ArithmeticError):
    """M imagined what is not finite; the update that met it was refused."""


class Learns(Protocol):
    """The part of a policy learner that dreams need."""

    def get_parameters(self) -> Float: ...

    def update(self, rollouts: Sequence[Rollout], rng: np.random.Generator) -> Metrics: ...


class Branches:
    """Chooses moments of a rollout and dreams on from them.

    Args:
        ctx: of the controller stage.
        memory: M, only read.
        action: the action space of the environment that M has learned.
        perception: of the rollout.
    """

    def __init__(
        self,
        ctx: StageContext,
        memory: Memory,
        action: ActionSpec,
        perception: WorldModelPerception,
    ) -> None:
        self._ctx = ctx
        self._settings = ctx.task.ppo
        self._names = ctx.task.controller.features
        self._memory = memory
        self._action = action
        self._perception = perception
        self._moments: list[tuple[Float, Float, Float]] = []
        self._places = np.zeros((0, 2), np.int64)
        self._active = False

    def clear(self, number: int) -> None:
        """Forgets the last rollout and chooses the moments of the next one, the `number`-th."""
        settings = self._settings
        steps = number * settings.num_envs * settings.num_steps
        self._active = steps >= settings.branch_after
        self._moments = []
        rng = self._ctx.rng("moments", number)
        count = settings.branches * settings.branch_updates
        places = rng.integers([settings.num_steps, settings.num_envs], size=(count, 2))
        self._places = places[np.argsort(places[:, 0], kind="stable")]

    def see(self, t: int) -> None:
        """Notes the chosen moments among those before step t."""
        if not self._active:
            return
        rows = self._places[self._places[:, 0] == t, 1]
        seen = self._perception
        self._moments.append((seen.latents[rows], seen.before[rows], seen.memory_state[rows]))

    def learn(self, learner: Learns, controller: Controller, number: int) -> Metrics:
        """Dreams on from the moments and updates the learner, `branch_updates` times.

        Returns:
            `dream_steps`, `dream_reward` (mean per step) and the learner's metrics of the last
            update, each with `dream_` before its name; nothing before `branch_after`.

        Raises:
            NonFiniteLoss: an update was refused.
            NonFiniteDream: it was, for what M imagined.
        """
        if not self._active:
            return {}
        latents, before, state = (
            np.concatenate(parts) for parts in zip(*self._moments, strict=True)
        )
        order = self._ctx.rng("order", number).permutation(len(latents))
        steps, metrics, reward = 0, {}, 0.0
        for turn, chosen in enumerate(np.array_split(order, self._settings.branch_updates)):
            controller.set_parameters(learner.get_parameters())
            rng = self._ctx.rng("branches", number, turn)
            rollout = self.dream(controller, latents[chosen], before[chosen], state[chosen], rng)
            try:
                metrics = learner.update([rollout], rng)
            except NonFiniteLoss as e:
                if found := not_finite(rollout):
                    raise NonFiniteDream(f"the {found} of a dream are not finite") from e
                raise
            assert rollout.mask is not None
            steps += int(rollout.mask.sum())
            reward = float(rollout.rewards[rollout.mask].mean())
        named = {f"dream_{name}": value for name, value in metrics.items()}
        return {**named, "dream_steps": float(steps), "dream_reward": reward}

    def dream(
        self,
        controller: Controller,
        latents: Float,
        before: Float,
        state: Float,
        rng: np.random.Generator,
    ) -> Rollout:
        """Dreams `branch_steps` steps of B branches.

        Args:
            controller: whose sampled actions are dreamed.
            latents: `[B, Z]`, z_t.
            before: `[B, Z]`, z_{t-1}.
            state: `[B, S]`, M's state before z_t.
            rng: the only source of noise.
        """
        memory, settings = self._memory, self._settings
        temperature = self._ctx.task.dream.temperature
        live = np.ones(len(latents), np.bool_)
        told: list[tuple[np.ndarray, ...]] = []
        for _ in range(settings.branch_steps):
            features = join_features(self._names, latents, before, memory.hidden(state))
            actions = controller.sample(features, rng)
            state = memory.step(state, latents, self._action.encode(actions))
            imagined = memory.predict(state, latents, temperature, rng)
            ended = rng.random(len(latents)) < imagined.terminated
            rewards = imagined.rewards
            if settings.end_on_reward:
                ended |= rewarded(rewards, dreamed=True)
            if settings.clip_rewards:
                rewards = np.clip(rewards, -1.0, 1.0)
            rewards = rewards * np.float32(settings.reward_scale)
            told.append((features, actions, rewards, ended & live, live))
            before, latents = latents, imagined.latents
            live = live & ~ended
        columns = [np.stack(column) for column in zip(*told, strict=True)]
        last = join_features(self._names, latents, before, memory.hidden(state))
        return Rollout(
            features=columns[0],
            actions=columns[1],
            rewards=np.where(columns[4], columns[2], 0.0).astype(np.float32),
            terminated=columns[3],
            truncated=np.zeros_like(columns[3]),
            last_features=last,
            cut_at=np.zeros((0, 2), np.int64),
            cut_features=last[:0],
            mask=columns[4],
        )
