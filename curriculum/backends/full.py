"""FULL: real environments and the world model in torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial

import numpy as np

from curriculum.backends import parts
from curriculum.backends.backend import Backend
from curriculum.backends.unread import NOT_READ, UnreadMemory
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.mode import Mode
from models.controller import TorchController
from models.interfaces import Controller, Memory, OffPolicyLearner, PolicyLearner, Vision
from models.numeric.threads import one_torch_thread
from models.ppo import PPO


def build(states: Mapping[str, str], device: str) -> Backend:
    """Returns the backend of FULL on a torch device."""
    replacement = parts.solver_replacement(states)
    unread = states.get("mdnrnn") == NOT_READ
    return Backend(
        mode=Mode.FULL,
        environment="real",
        make_env=parts.real_env,
        make_screen=parts.real_screen,
        make_vision=partial(_vision, device),
        make_memory=_unread_memory if unread else partial(_memory, device),
        make_controller=partial(_controller, device),
        make_solver=parts.numpy_solver if replacement else parts.cma_solver,
        make_policy_learner=partial(_policy_learner, device),
        make_off_policy_learner=partial(_off_policy_learner, device),
        key_points=True,
        replacements=(replacement,) if replacement else (),
        practising=one_torch_thread if device == "cpu" else nullcontext,
    )


def _vision(device: str, task: TaskConfig, spec: EnvSpec, seed: int) -> Vision:
    if spec.observation == "state":
        return parts.numpy_vision(task, spec, seed)
    from models.vae import ConvVAE  # a task of states can do without

    return ConvVAE(spec.shape, task.vae.model, device=device, seed=seed, frames=spec.frames)


def _memory(device: str, task: TaskConfig, latents: int, actions: int, seed: int) -> Memory:
    from models.mdnrnn import MDNRNN  # an agent whose C does not read M can do without

    return MDNRNN(latents, actions, task.mdnrnn.model, device=device, seed=seed)


def _unread_memory(task: TaskConfig, latents: int, actions: int, seed: int) -> Memory:
    return UnreadMemory(latents, actions)


def _controller(
    device: str,
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
        action.low,
        action.high,
        rng=rng,
        device=device,
        units=task.controller.units,
    )


def _policy_learner(
    device: str, task: TaskConfig, action: ActionSpec, num_features: int, seed: int
) -> PolicyLearner:
    shape = parts.policy_shape(task, action, num_features)
    return PPO(shape, task.ppo, device=device, seed=seed)


def _off_policy_learner(
    device: str, task: TaskConfig, action: ActionSpec, num_features: int, seed: int
) -> OffPolicyLearner:
    from models.off_policy.qrdqn import QRDQN  # most tasks do without
    from models.off_policy.sac import SAC

    shape = parts.policy_shape(task, action, num_features)
    if task.controller.solver == "qrdqn":
        return QRDQN(shape, task.qrdqn, device=device, seed=seed)
    return SAC(shape, task.sac, device=device, seed=seed)
