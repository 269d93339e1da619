"""What is measured of the learners: controllers, V, M and dreams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import numpy as np

from curriculum.envs.interface import ActionSpec, VectorEnv
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from curriculum.world.world_model import WorldModel
from diagnostics.bench.measuring import Case
from models.controller_cpu import CPUController
from models.echo import EchoMemory
from models.interfaces import Controller, Memory, SequenceBatch, Vision
from models.pca import PCAVision
from models.settings.vae import VAESettings

FEATURES, ACTIONS, LATENTS = 288, 3, 32


def controller_cases() -> Iterator[Case]:
    """Controllers on 288 features and 3 continuous actions, numpy and torch side by side."""
    rng = np.random.default_rng(0)
    low, high = (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    targets = {"linear": 3.3e6, "MLP-32": 2.3e6, "MLP-128": 1.5e6}
    for name, hidden in (("linear", ()), ("MLP-32", (32,)), ("MLP-128", (128,))):
        shape = (FEATURES, "continuous", ACTIONS, hidden)
        made: dict[str, Controller] = {
            "numpy": CPUController(*shape, action_low=low, action_high=high, rng=rng)
        }
        with suppress(ImportError):
            from models.controller import TorchController

            for name_there, device in _torch_devices():
                made[name_there] = TorchController(
                    *shape, action_low=low, action_high=high, rng=rng, device=device
                )
        for batch in (1, 32768):
            features = rng.standard_normal((batch, FEATURES), np.float32)
            for implementation, controller in made.items():
                parameters = f"{controller.num_parameters:,} parameters"
                target = targets[name] if batch > 1 and implementation == "numpy" else 0.0
                yield Case(
                    "controller",
                    f"{name} ({parameters}), batch {batch}",
                    implementation,
                    "samples",
                    batch,
                    partial(controller.act, features),
                    target,
                )


def vision_cases() -> Iterator[Case]:
    """Encoding 256 frames 64x64x1, and one update on 128."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (256, 64, 64, 1), np.uint8)
    for implementation, vision in _visions(frames, rng):
        encode = partial(vision.encode, frames)
        yield Case("vision", "encode, batch 256", implementation, "frames", 256, encode)
        half = (frames[:128], frames[128:])
        update = partial(vision.update, *half, rng)
        yield Case("vision", "update, batch 128", implementation, "frames", 128, update)


def memory_cases() -> Iterator[Case]:
    """Single steps for 1 and 64 environments, and one update on 64 sequences of 32."""
    rng = np.random.default_rng(0)
    batch = _sequences(rng)
    for implementation, memory in _memories(batch, rng):
        for n in (1, 64):
            state = memory.initial_state(n)
            latents = rng.standard_normal((n, LATENTS), np.float32)
            actions = np.zeros((n, ACTIONS), np.float32)
            step = partial(memory.step, state, latents, actions)
            yield Case("memory", f"step, batch {n}", implementation, "steps", n, step)
        update = partial(memory.update, batch, rng)
        steps = batch.rewards.size
        yield Case("memory", "update, 64 sequences of 32", implementation, "steps", steps, update)


def dream_cases() -> Iterator[Case]:
    """Dreams of 16, 256 and 1024 environments, step by step."""
    rng = np.random.default_rng(0)
    for implementation, memory in _memories(_sequences(rng), rng):
        starts = DreamStarts(
            rng.standard_normal((64, LATENTS), np.float32), memory.initial_state(64)
        )
        action = ActionSpec("continuous", ACTIONS, (-1.0,) * ACTIONS, (1.0,) * ACTIONS)
        for n in (16, 256, 1024):
            dream = DreamVectorEnv(WorldModel(None, memory), starts, action, n, max_steps=10**9)
            yield Case(
                "dream", f"step, {n} dreams", implementation, "steps", n, _stepper(dream, rng)
            )


def _visions(frames: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, Vision]]:
    fitted = PCAVision((64, 64, 1), LATENTS)
    fitted.update(frames[:128], frames[128:], rng)
    fitted.finish()
    yield "numpy", fitted
    with suppress(ImportError):
        from models.vae import ConvVAE

        for name, device in _torch_devices():
            yield name, ConvVAE((64, 64, 1), VAESettings(z_dim=LATENTS), device=device)


def _memories(batch: SequenceBatch, rng: np.random.Generator) -> Iterator[tuple[str, Memory]]:
    fitted = EchoMemory(LATENTS, ACTIONS)
    fitted.update(batch, rng)
    fitted.finish()
    yield "numpy", fitted
    with suppress(ImportError):
        from models.mdnrnn import MDNRNN

        for name, device in _torch_devices():
            yield name, MDNRNN(LATENTS, ACTIONS, device=device)


def _torch_devices() -> list[tuple[str, str]]:
    """Returns what torch computes on here: how the table calls it, and what torch does.

    All that is measured comes back to the host, so that none of it is still on its way.

    Raises:
        ImportError: there is no torch.
    """
    import torch

    cuda = [("torch, cuda", "cuda")] if torch.cuda.is_available() else []
    return [("torch", "cpu"), *cuda]


def _sequences(rng: np.random.Generator, b: int = 64, t: int = 32) -> SequenceBatch:
    latents = rng.standard_normal((b, t + 1, LATENTS), np.float32)
    actions = rng.uniform(-1.0, 1.0, (b, t, ACTIONS)).astype(np.float32)
    flat = np.zeros((b, t), np.float32)
    return SequenceBatch(latents, actions, flat, flat, np.ones((b, t), np.float32))


def _stepper(env: VectorEnv, rng: np.random.Generator) -> Callable[[], None]:
    """Returns a function that takes one random step and starts finished episodes again."""
    env.reset(range(env.num_envs))
    seeds = iter(range(env.num_envs, 2**31))

    def step() -> None:
        actions = np.stack([env.spec.action.sample(rng) for _ in range(env.num_envs)])
        taken = env.step(actions)
        over = np.flatnonzero(taken.terminated | taken.truncated).tolist()
        if over:
            env.reset([next(seeds) for _ in over], over)

    return step
