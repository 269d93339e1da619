"""A screen shows the game that is played: equal scores all along, in colours, at full size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curriculum.agent.episodes import run_episodes
from curriculum.agent.policies import RandomPolicy
from curriculum.backends import gym_only, simulation
from curriculum.backends.backend import Backend
from curriculum.config.schema import TaskConfig
from curriculum.envs.framing import Framing
from curriculum.envs.interface import Screen, Step
from curriculum.errors import ConfigError
from curriculum.films.camera import Camera, opened
from curriculum.films.reels import Pictures
from curriculum.insight.drawing import drawer
from curriculum.tasks import load_config

TASKS = {task.name: task for task in load_config(Path("default")).tasks}
SIZES = {
    "pong": (210, 160, 3),
    "breakout": (210, 160, 3),
    "lunarlander": (400, 600, 3),
    "carracing": (400, 600, 3),
}
RATES = {"pong": 15.0, "breakout": 15.0, "lunarlander": 50.0, "carracing": 50.0 / 3.0}


def film(
    backend: Backend, task: TaskConfig, screen: Screen | None, steps: int, seed: int = 5
) -> tuple[list[np.ndarray], list[str]]:
    env = backend.make_env(task, 1, lambda text: None)
    pictures, told = Pictures(), []
    camera = Camera(pictures, drawer(env.spec), seed, screen, told.append)
    policy = RandomPolicy(env.spec.action, 0.75, [np.random.default_rng(1)])
    run_episodes(env, policy, [seed], max_steps=steps, recorder=camera.record)
    env.close()
    return pictures.taken, told


@pytest.mark.parametrize("name", SIZES)
def test_the_real_games_show_themselves_and_play_alike(name: str) -> None:
    task, backend = TASKS[name], gym_only.build({}, "cpu")
    with opened(lambda: backend.make_screen(task)) as screen:
        assert screen is not None
        pictures, told = film(backend, task, screen, 150)
        assert 1.0 / screen.step_seconds == pytest.approx(RATES[name])
    assert not told
    assert {picture.shape for picture in pictures} == {SIZES[name]}
    colours = np.concatenate([picture.reshape(-1, 3) for picture in pictures[::10]])
    assert (colours.max(axis=1) > colours.min(axis=1)).any()
    assert len({picture.tobytes() for picture in pictures}) > 40


@pytest.mark.parametrize("name", ["pong", "breakout"])
def test_what_the_agent_sees_is_what_the_screen_shows(name: str) -> None:
    """Made small and grey as the agent's frames are, the pictures are these."""
    task = replace(TASKS[name], env=replace(TASKS[name].env, crop=(), pooling="max", frame_stack=1))
    backend = gym_only.build({}, "cpu")
    seen: list[np.ndarray] = []
    env = backend.make_env(task, 1, lambda text: None)
    policy = RandomPolicy(env.spec.action, 0.5, [np.random.default_rng(2)])
    with opened(lambda: backend.make_screen(task)) as screen:
        pictures = Pictures()
        camera = Camera(pictures, drawer(env.spec), 3, screen)

        def record(live, observations, actions, step: Step) -> None:
            camera.record(live, observations, actions, step)
            seen.append(step.observations[0])

        run_episodes(env, policy, [3], max_steps=60, recorder=record)
    env.close()
    shrink = Framing(pooling="max").shrinking(task.env_id, 210, 160)
    for frame, picture in zip(seen, pictures.taken[1:], strict=True):
        luma = np.rint(picture @ np.array([0.299, 0.587, 0.114]))[..., None].astype(np.uint8)
        apart = np.abs(shrink(luma[None])[0].astype(int) - frame)
        # The brighter of two frames is taken by colour there and by grey here.
        assert (apart > 2).mean() < 0.02 and apart.max() < 40


@pytest.mark.parametrize("name", ["pong", "breakout", "carracing"])
def test_simulated_games_show_themselves_in_colours(name: str) -> None:
    task, backend = TASKS[name], simulation.build({}, "cpu")
    with opened(lambda: backend.make_screen(task)) as screen:
        pictures, told = film(backend, task, screen, 60)
    assert not told and {picture.shape for picture in pictures} == {(64, 64, 3)}


def test_a_game_without_pictures_is_drawn_from_its_state() -> None:
    backend = simulation.build({}, "cpu")
    with opened(lambda: backend.make_screen(TASKS["lunarlander"])) as screen:
        assert screen is None
        pictures, _ = film(backend, TASKS["lunarlander"], screen, 30)
    assert {picture.shape for picture in pictures} == {(256, 256, 3)}


def test_a_screen_that_cannot_be_had_is_told_and_not_needed() -> None:
    told: list[str] = []

    def broken() -> Screen:
        raise ConfigError("it draws nothing")

    with opened(broken, told.append) as screen:
        assert screen is None
    assert "it draws nothing" in told[0]


def test_a_screen_that_shows_another_game_is_told_once() -> None:
    task, backend = TASKS["pong"], simulation.build({}, "cpu")
    with opened(lambda: backend.make_screen(task)) as screen:
        assert screen is not None

        class Other:
            """Begins with another seed."""

            spec, num_envs = screen.env.spec, 1
            step, close = screen.env.step, screen.env.close

            def reset(self, seeds, indices=None):
                return screen.env.reset([seeds[0] + 1], indices)

        _, told = film(backend, task, Screen(Other(), 60.0), 400)
    assert len(told) == 1 and "another game" in told[0]
