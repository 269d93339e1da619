"""FULL: real environments and the world model in torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np

from curriculum.backends import parts
from curriculum.backends.backend import Backend
from curriculum.backends.unread import NOT_READ, UnreadMemory
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.mode import Mode
from models.controller import TorchController
from models.interfaces import Controller, Memory, PolicyLearner, Vision
from models.neural.device import one_thread
from models.ppo import PPO


def build(states: Mapping[str, str], device: str) -> Backend:
    """Returns the backend of FULL on a torch device."""
    replacement = parts.solver_replacement(states)

    def make_vision(task: TaskConfig, spec: EnvSpec, seed: int) -> Vision:
        if spec.observation == "state":
            return parts.numpy_vision(task, spec, seed)
        from models.vae import ConvVAE  # a task of states can do without

        return ConvVAE(spec.shape, task.vae.model, device=device, seed=seed)

    def make_memory(task: TaskConfig, latent_size: int, action_size: int, seed: int) -> Memory:
        if states.get("mdnrnn") == NOT_READ:
            return UnreadMemory(latent_size, action_size)
        from models.mdnrnn import MDNRNN  # an agent whose C does not read M can do without

        return MDNRNN(latent_size, action_size, task.mdnrnn.model, device=device, seed=seed)

    def make_controller(
        task: TaskConfig,
        action: ActionSpec,
        num_features: int,
        rng: np.random.Generator | None = None,
    ) -> Controller:
        if task.controller.type == "cpu":
            return parts.numpy_controller(task, action, num_features, rng)
        return TorchController(
            num_features,
            action.kind,
            action.size,
            task.controller.hidden_sizes,
            action_low=action.low,
            action_high=action.high,
            rng=rng,
            device=device,
        )

    def make_policy_learner(
        task: TaskConfig, action: ActionSpec, num_features: int, seed: int
    ) -> PolicyLearner:
        return PPO(
            parts.policy_shape(task, action, num_features), task.ppo, device=device, seed=seed
        )

    return Backend(
        mode=Mode.FULL,
        environment="real",
        make_env=parts.real_env,
        make_vision=make_vision,
        make_memory=make_memory,
        make_controller=make_controller,
        make_solver=parts.numpy_solver if replacement else parts.cma_solver,
        make_policy_learner=make_policy_learner,
        replacements=(replacement,) if replacement else (),
        practising=one_thread if device == "cpu" else nullcontext,
    )
