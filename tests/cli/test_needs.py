"""What a run would need of memory and disk is estimated, and refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from curriculum.config.practice import TrainingConfig
from curriculum.config.schema import (
    CollectConfig,
    Config,
    ControllerConfig,
    CurriculumConfig,
    DreamConfig,
    EnvConfig,
    MDNRNNConfig,
    TaskConfig,
    VAEConfig,
)
from curriculum.errors import ConfigError
from curriculum.resources import GIB, MIB
from curriculum.runs.needs import disk_needs, memory_needs, moments_of, require_memory
from curriculum.runs.preflight import Look
from curriculum.tasks import load_config
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.ppo import PPOSettings
from models.settings.replay import ReplaySettings
from models.settings.vae import VAESettings
from tests.cli.conftest import ROOT


def config(name: str = "default") -> Config:
    return load_config(ROOT / "configs" / f"{name}.yaml")


def modes(config: Config, mode: str = "FULL") -> dict[str, str]:
    return {task.name: mode for task in config.tasks}


def memory_of(config: Config, mode: str = "FULL", workers: int = 2) -> int:
    return sum(n.bytes for n in memory_needs(config, modes(config, mode), workers))


def disk_of(config: Config, mode: str = "FULL") -> int:
    return sum(n.bytes for n in disk_needs(config, modes(config, mode)))


@pytest.mark.parametrize(
    ("name", "mode", "memory", "disk"),
    [
        ("default", "FULL", 4 * GIB, 2 * GIB),
        ("quick", "FULL", 2 * GIB, GIB),
        ("simulation", "SIMULATION", GIB, GIB),
    ],
)
def test_the_shipped_configurations_ask_for_what_small_machines_have(
    name: str, mode: str, memory: int, disk: int
) -> None:
    shipped = config(name)
    assert 100 * MIB < memory_of(shipped, mode) < memory
    assert 50 * MIB < disk_of(shipped, mode) < disk


def test_more_of_anything_needs_more() -> None:
    base = config()
    assert memory_of(base, workers=8) > memory_of(base, workers=2)
    assert memory_of(base, "FULL") > memory_of(base, "SIMULATION")
    longer = tuple(
        replace(t, collect=replace(t.collect, max_steps_per_rollout=5000)) for t in base.tasks
    )
    assert disk_of(replace(base, tasks=longer)) > 3 * disk_of(base)
    assert disk_of(replace(base, curriculum=replace(base.curriculum, rounds=3))) > disk_of(base)


def test_a_task_that_cannot_run_needs_nothing() -> None:
    assert memory_needs(config(), {}, 2) == []
    assert disk_needs(config(), {}) == []


SMALL: dict[str, Any] = {
    "name": "t",
    "collect": CollectConfig(num_random_rollouts=5, num_policy_rollouts=4, max_steps_per_rollout=9),
    "vae": VAEConfig(VAESettings(z_dim=2, channels=(3, 5)), batch_size=7),
    "mdnrnn": MDNRNNConfig(
        MDNRNNSettings(rnn_size=4, num_mixtures=2), sequence_length=6, batch_size=5
    ),
    "ppo": PPOSettings(value_sizes=(3,)),
    "training": TrainingConfig(num_envs=2, num_steps=8, reuse=2, reseed_steps=10),
    "dream": DreamConfig(num_envs=11),
}
TORCH = TaskConfig(
    **SMALL,
    env_id="CarRacing-v3",
    env=EnvConfig(num_envs=3, grayscale=False),
    controller=ControllerConfig(
        solver="ppo",
        hidden_sizes=(6,),
        features=("z", "dz", "h"),
        polish_generations=1,
        population_size=4,
    ),
)
STATES = TaskConfig(
    **SMALL,
    env_id="CartPole-v1",
    observation="state",
    env=EnvConfig(num_envs=3),
    controller=ControllerConfig(solver="es", population_size=4),
)
SIMULATED = TaskConfig(
    **SMALL,
    env_id="PongNoFrameskip-v4",
    env=EnvConfig(num_envs=3),
    controller=ControllerConfig(
        features=("z",), hidden_sizes=(6,), solver="ppo", population_size=4, train_in_dream=True
    ),
)
LOADED = replace(
    TORCH,
    controller=replace(TORCH.controller, solver="qrdqn", polish_generations=0),
    replay=ReplaySettings(batch_size=9, learning_starts=6),
    training=replace(TORCH.training, total_steps=1000),
)
V_WEIGHTS = (48 * 3 + 3) + (2 * 16 * 3 * 5 + 5 + 3) + (3 * 48 + 48) + 321 * 4 + 3 * 320
M_WEIGHTS = 4 * 4 * (2 + 6 + 4 + 2) + 5 * (3 * 2 * 2 + 2)
PRACTICE = (
    10 * (96 + 31) * 4 + (3 * 2 * 8 * 2 * (8 + 8) + 3 * 2 * (2 * 4 + 3 * 2)) * 4 + 4 * 2 * 2 * 10
)
QUANTILES = 2 * (9 * 6 + 7 * 7 * 32), 9 * (6 * 20 + 8 * 6 * 32 + 5 * 32**2)
"""Weights of C with six actions and a value, features z, dz and h, and the numbers of an update."""
OFF_POLICY = (
    10 * 4 * QUANTILES[0]
    + (3 * 8 * 2 * (8 + 8) + QUANTILES[1] + 2 * 9 * (8 + 2) + 2 * 6 * 8) * 4
    + 3 * 2 * (2 * 4 + 3 * 2) * 4
    + 4 * 2 * 2 * 10
)
PCA = 8 + 42 * 64 * 64 + 8 * 1024 * 1025 + 8 * 1024 * 2
ECHO_STATES = 84 + (8 * 13 * (13 + 4) + 8 * 4) + (4 * 13 * 5 + 4 * 3) + 16 + 4096 * (4 * 13 + 8)
ECHO_PIXELS = 64 + (8 * 15 * (15 + 3) + 8 * 3) + (4 * 15 * 4 + 4 * 2) + 16 + 4096 * (4 * 15 + 8)
MEMORY_NEEDED = [
    (TORCH, "FULL", 2, "processes", 3 * 240 * MIB),
    (TORCH, "FULL", 2, "environments", (2 * 2 * 3 + 1) * 8 * MIB),
    (TORCH, "FULL", 2, "collect", 2 * 3 * (3 * 10 * 64 * 64 * 3)),
    (TORCH, "FULL", 2, "vision", 10 * 4 * V_WEIGHTS + 4 * 7 * 64 * 64 * (30 + 10 * 3)),
    (TORCH, "FULL", 2, "memory", 10 * 4 * M_WEIGHTS + 4 * 5 * 6 * (40 * 2 * 2 + 11 * 4)),
    (
        TORCH,
        "FULL",
        2,
        "controller",
        2 * 8 * (4 * 42**2 + 3 * 4 * 96)
        + 2 * 3 * (2 * 4 + 2) * 4
        + 2 * 3 * 4 * (V_WEIGHTS + M_WEIGHTS)
        + PRACTICE,
    ),
    (
        LOADED,
        "FULL",
        2,
        "controller",
        2 * 3 * (2 * 4 + 2) * 4 + 2 * 3 * 4 * (V_WEIGHTS + M_WEIGHTS) + OFF_POLICY,
    ),
    (STATES, "GYM_ONLY", 0, "processes", 70 * MIB),
    (STATES, "GYM_ONLY", 0, "environments", (2 * 3 + 1) * 2 * MIB),
    (STATES, "GYM_ONLY", 0, "collect", 3 * (3 * 10 * 3 * 4)),
    (STATES, "GYM_ONLY", 0, "vision", 10 * (8 + 2 * 8 * 3) + 4 * 7 * 4 * 3),
    (STATES, "GYM_ONLY", 0, "memory", 10 * ECHO_STATES + 4 * 5 * 6 * 8 * 4),
    (
        STATES,
        "GYM_ONLY",
        0,
        "controller",
        2 * 8 * (4 * 16**2 + 3 * 4 * 16) + 3 * (2 * 4 + 3) * 4 + 3 * (8 + 2 * 8 * 3 + ECHO_STATES),
    ),
    (SIMULATED, "SIMULATION", 0, "processes", 20 * MIB),
    (SIMULATED, "SIMULATION", 0, "environments", (2 * 3 + 1) * (MIB // 3)),
    (SIMULATED, "SIMULATION", 0, "collect", 3 * (3 * 10 * 64 * 64)),
    (SIMULATED, "SIMULATION", 0, "vision", 10 * PCA + 4 * 7 * 5 * 64 * 64),
    (SIMULATED, "SIMULATION", 0, "memory", 10 * ECHO_PIXELS + 4 * 5 * 6 * 8 * 4),
    (
        SIMULATED,
        "SIMULATION",
        0,
        "controller",
        2 * 8 * (4 * 18**2 + 3 * 4 * 18) + 11 * (2 * 4 + 2) * 4 + 3 * (PCA + ECHO_PIXELS),
    ),
]
PLACES = {"processes": ("collect", 0), "environments": ("collect", 1)}


@pytest.mark.parametrize(("task", "mode", "workers", "what", "expected"), MEMORY_NEEDED)
def test_every_term_of_memory_is_what_is_reckoned_by_hand(
    task: TaskConfig, mode: str, workers: int, what: str, expected: int
) -> None:
    """No term of the estimate can be lost: each counts in one of these sums."""
    seen = Look((3,), 2) if task is STATES else None
    moment, number = PLACES.get(what, (what, 2))
    assert moments_of(task, mode, workers, seen)[moment][number].bytes == expected


DISK_NEEDED = [
    (
        TORCH,
        "FULL",
        9 * 10 * (64 * 64 * 3 + 4 * 7 + 1),
        (5 + 9) * 10 * 2 * 4 * 2,
        3 * 4 * (V_WEIGHTS + M_WEIGHTS) + 8 * (4 * 42**2 + 3 * 4 * 96) + PRACTICE // 3 + 2 * 4 * 96,
    ),
    (
        replace(STATES, env=EnvConfig(max_episode_steps=4)),
        "GYM_ONLY",
        9 * 5 * (3 * 4 + 4 * 7 + 1),
        (5 + 9) * 5 * 2 * 4 * 3,
        3 * (8 + 2 * 8 * 3 + ECHO_STATES) + 8 * (4 * 16**2 + 3 * 4 * 16) + 2 * 4 * 16,
    ),
    (
        SIMULATED,
        "SIMULATION",
        9 * 10 * (64 * 64 + 4 * 7 + 1),
        (5 + 9) * 10 * 2 * 4 * 2,
        3 * (PCA + ECHO_PIXELS) + 8 * (4 * 18**2 + 3 * 4 * 18) + 2 * 4 * 18,
    ),
]


@pytest.mark.parametrize(("task", "mode", "episodes", "latents", "commit"), DISK_NEEDED)
def test_every_term_of_the_disk_is_what_is_reckoned_by_hand(
    task: TaskConfig, mode: str, episodes: int, latents: int, commit: int
) -> None:
    run = Config(curriculum=CurriculumConfig(rounds=2), tasks=(task,))
    seen = {"t": Look((3,), 2)} if task.observation == "state" else {}
    found = [need.bytes for need in disk_needs(run, {"t": mode}, seen)]
    assert found == [episodes, latents, 2 * 3 * commit]


def test_a_replay_takes_room_on_the_disk_for_each_step_of_each_round() -> None:
    run = Config(curriculum=CurriculumConfig(rounds=2), tasks=(LOADED,))
    found = {need.what: need.bytes for need in disk_needs(run, {"t": "FULL"})}
    assert found["t: replays"] == 2 * 1000 * (4 * 8 + 8 + 4 + 1)
    sticks = replace(LOADED, controller=replace(LOADED.controller, solver="sac"))
    run = replace(run, tasks=(sticks,))
    found = {need.what: need.bytes for need in disk_needs(run, {"t": "FULL"}, {"t": Look((9,), 3)})}
    assert found["t: replays"] == 2 * 1000 * (4 * 8 + 4 * 3 + 4 + 1)
    assert "t: replays" not in {need.what for need in disk_needs(run, {"t": "GYM_ONLY"})}


def test_every_attempt_takes_the_room_of_one() -> None:
    once = Config(curriculum=CurriculumConfig(rounds=2), tasks=(LOADED,))
    often = replace(once, curriculum=replace(once.curriculum, attempts=3))
    one, many = (disk_needs(run, {"t": "FULL"}) for run in (once, often))
    assert [n.bytes for n in many] == [3 * n.bytes for n in one]
    assert all("curriculum.attempts" in need.keys for need in many)


def test_the_hungriest_moment_is_the_one_that_counts() -> None:
    run, (moment,) = Config(tasks=(TORCH,)), ["vision"]
    wider = replace(TORCH, mdnrnn=replace(TORCH.mdnrnn, batch_size=10_000))
    for task, expected in ((TORCH, moment), (wider, "memory")):
        needs = memory_needs(replace(run, tasks=(task,)), {"t": "FULL"}, 2)
        assert needs == list(moments_of(task, "FULL", 2)[expected])


def test_too_little_memory_is_refused_with_both_numbers_and_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = config()
    require_memory(base, modes(base, "SIMULATION"), 0)
    little = SimpleNamespace(available=90 * MIB, total=100 * MIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    with pytest.raises(ConfigError, match=r"needs about .*iB of memory, but 90 MiB of") as refused:
        require_memory(base, modes(base), 2)
    assert "curriculum.workers" in str(refused.value)


def test_a_huge_configuration_is_refused_before_anything_is_written(
    curriculum, tiny: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = curriculum("run", "tiny.yaml", "--set", "collect.max_steps_per_rollout=1000000000")
    assert done.code == 2, done.err
    assert "of memory, but" in done.err and "collect.max_steps_per_rollout" in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_too_large_for_the_disk_is_refused_before_anything_is_written(
    curriculum, tiny: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = curriculum("run", "tiny.yaml", "--set", "collect.num_random_rollouts=1000000000")
    assert done.code == 7, done.err
    assert "are free in" in done.err and "collect.num_random_rollouts" in done.err
    assert sorted(tmp_path.rglob("*")) == before
