"""Throughput of this machine: controllers, V, M, dreams and environments, with medians.

Every figure is a rate, the median of several timed runs after a warm-up. What is compared is
measured side by side, in turns, so that a noisy neighbour slows both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from curriculum.envs.dream import DreamStarts, DreamVectorEnv
from curriculum.envs.interface import ActionSpec, VectorEnv
from curriculum.envs.simulation import SIMULATIONS, make_simulation
from curriculum.errors import ComponentMissing, ConfigError
from diagnostics.json_report import write_json
from models.controller_cpu import CPUController
from models.echo import EchoMemory
from models.interfaces import Controller, Memory, SequenceBatch, Vision
from models.pca import PCAVision

FEATURES, ACTIONS, LATENTS = 288, 3, 32
MIN_SECONDS = 0.2


@dataclass(frozen=True)
class Case:
    """One thing to measure: `work()` does `items` of `unit`."""

    suite: str
    name: str
    implementation: str
    unit: str
    items: int
    work: Callable[[], object]
    target: float = 0.0


@dataclass(frozen=True)
class Figure:
    """One measured rate: median, lowest and highest of the runs, in `unit` per second."""

    suite: str
    name: str
    implementation: str
    unit: str
    median: float
    lowest: float
    highest: float
    runs: int
    target: float


def main(args: argparse.Namespace) -> int:
    """Runs `python -m diagnostics bench`."""
    if args.repeats < 1:
        raise ConfigError(f"--repeats {args.repeats}: expected at least 1")
    unknown = [name for name in args.suites if name not in SUITES]
    if unknown:
        raise ConfigError(f"there is no suite {unknown[0]}: expected some of {', '.join(SUITES)}")
    chosen = args.suites or list(SUITES)
    figures: list[Figure] = []
    skipped: list[str] = []
    for suite in chosen:
        try:
            figures += measure(list(SUITES[suite]()), args.repeats)
        except ComponentMissing as e:
            skipped.append(f"{suite}: {e}")
    _show(figures, skipped, args.json)
    return 0


def measure(cases: Sequence[Case], repeats: int) -> list[Figure]:
    """Times the cases in turns: each has a warm-up, then `repeats` runs of at least 0.2 s."""
    calls = [_calls_for(case) for case in cases]
    rates: list[list[float]] = [[] for _ in cases]
    for _ in range(repeats):
        for case, count, found in zip(cases, calls, rates, strict=True):
            started = time.perf_counter()
            for _ in range(count):
                case.work()
            found.append(count * case.items / (time.perf_counter() - started))
    return [
        Figure(
            case.suite,
            case.name,
            case.implementation,
            case.unit,
            statistics.median(found),
            min(found),
            max(found),
            repeats,
            case.target,
        )
        for case, found in zip(cases, rates, strict=True)
    ]


def _calls_for(case: Case) -> int:
    """Warms up, and finds how many calls last long enough to be timed."""
    case.work()
    started = time.perf_counter()
    case.work()
    seconds = max(time.perf_counter() - started, 1e-7)
    return max(1, round(MIN_SECONDS / seconds))


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

            made["torch"] = TorchController(*shape, action_low=low, action_high=high, rng=rng)
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
            dream = DreamVectorEnv(memory, starts, action, n, max_steps=10**9)
            yield Case(
                "dream", f"step, {n} dreams", implementation, "steps", n, _stepper(dream, rng)
            )


def env_cases() -> Iterator[Case]:
    """Environments at 16 in a batch, real ones where they can be made, simulations always."""
    rng = np.random.default_rng(0)
    for name in SIMULATIONS:
        kind = "state" if name == "lunarlander" else "pixels"
        env = make_simulation(name, 16, observation=kind, grayscale=name != "carracing")
        yield Case("env", env.spec.env_id, "simulation", "steps", 16, _stepper(env, rng))
    with suppress(ImportError, ComponentMissing):
        yield from _real_env_cases(rng)


SUITES: dict[str, Callable[[], Iterator[Case]]] = {
    "controller": controller_cases,
    "vision": vision_cases,
    "memory": memory_cases,
    "dream": dream_cases,
    "env": env_cases,
}


def _real_env_cases(rng: np.random.Generator) -> Iterator[Case]:
    from curriculum.envs.registry import make_env
    from curriculum.tasks import builtin_tasks

    for task in builtin_tasks():
        env = make_env(
            task.env_id,
            task.observation,
            16,
            frame_skip=task.env.frame_skip,
            grayscale=task.env.grayscale,
        )
        yield Case("env", task.env_id, "real", "steps", 16, _stepper(env, rng))


def _visions(frames: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, Vision]]:
    fitted = PCAVision((64, 64, 1), LATENTS)
    fitted.update(frames[:128], frames[128:], rng)
    fitted.finish()
    yield "numpy", fitted
    with suppress(ImportError):
        from models.vae import ConvVAE

        yield "torch", ConvVAE((64, 64, 1), LATENTS)


def _memories(batch: SequenceBatch, rng: np.random.Generator) -> Iterator[tuple[str, Memory]]:
    fitted = EchoMemory(LATENTS, ACTIONS)
    fitted.update(batch, rng)
    fitted.finish()
    yield "numpy", fitted
    with suppress(ImportError):
        from models.mdnrnn import MDNRNN

        yield "torch", MDNRNN(LATENTS, ACTIONS)


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


def _show(figures: list[Figure], skipped: list[str], json_target: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="throughput, items per second: median [lowest, highest]")
    for heading in ("suite", "what", "by", "median", "range", "wanted"):
        table.add_column(heading, justify="right" if heading in ("median", "range") else "left")
    for figure in figures:
        wanted = ""
        if figure.target:
            reached = "reached" if figure.median >= figure.target else "missed"
            wanted = f"{figure.target:,.0f} {reached}"
        table.add_row(
            figure.suite,
            figure.name,
            figure.implementation,
            f"{figure.median:,.0f} {figure.unit}",
            f"[{figure.lowest:,.0f}, {figure.highest:,.0f}]",
            wanted,
        )
    console = Console(stderr=json_target == "-", highlight=False)
    console.print(table)
    for text in skipped:
        console.print(f"not measured: {text}", markup=False)
    if json_target:
        figures_json = [asdict(figure) for figure in figures]
        write_json(json_target, {"figures": figures_json, "not_measured": skipped})
