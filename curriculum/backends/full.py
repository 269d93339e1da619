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

        height, width, channels = spec.shape
        vae = task.vae
        return ConvVAE(
            frame_shape=(height, width, channels),
            latent_size=vae.z_dim,
            learning_rate=vae.learning_rate,
            beta=vae.beta,
            beta_warmup_steps=vae.beta_warmup_steps,
            motion_weight=vae.motion_weight,
            background_weight=vae.background_weight,
            reconstruction_scale=vae.reconstruction_scale,
            coarse_weight=vae.coarse_weight,
            gradient_clip=vae.gradient_clip,
            channels=vae.channels,
            device=device,
            seed=seed,
        )

    def make_memory(task: TaskConfig, latent_size: int, action_size: int, seed: int) -> Memory:
        if states.get("mdnrnn") == NOT_READ:
            return UnreadMemory(latent_size, action_size)
        from models.mdnrnn import MDNRNN  # an agent whose C does not read M can do without

        rnn = task.mdnrnn
        return MDNRNN(
            latent_size,
            action_size,
            hidden_size=rnn.rnn_size,
            num_mixtures=rnn.num_mixtures,
            learning_rate=rnn.learning_rate,
            gradient_clip=rnn.gradient_clip,
            reward_weight=rnn.reward_weight,
            done_weight=rnn.done_weight,
            dropout=rnn.dropout,
            device=device,
            seed=seed,
        )

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
        ppo = task.ppo
        return PPO(
            num_features,
            action.kind,
            action.size,
            task.controller.hidden_sizes,
            action.low,
            action.high,
            value_sizes=ppo.value_sizes or None,
            learning_rate=ppo.learning_rate,
            gamma=ppo.gamma,
            gae_lambda=ppo.gae_lambda,
            epochs=ppo.epochs,
            minibatch_size=ppo.minibatch_size,
            clip_range=ppo.clip_range,
            ent_coef=ppo.ent_coef,
            vf_coef=ppo.vf_coef,
            max_grad_norm=ppo.max_grad_norm,
            target_kl=ppo.target_kl,
            device=device,
            seed=seed,
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
