"""Pictures: what is drawn is what was seen, and a picture that fails never stops a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curriculum.agent.agent import Agent
from curriculum.config.loading import dump
from curriculum.config.schema import (
    CollectConfig,
    Config,
    ControllerConfig,
    CurriculumConfig,
    EnvConfig,
    EvaluateConfig,
    MDNRNNConfig,
    TaskConfig,
)
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.films import media
from curriculum.films.camera import film_dream, film_episode
from curriculum.films.reels import Gif
from curriculum.insight import drawing
from curriculum.insight.drawing import draw_bars, draw_lander, drawer, enlarge, strip, write_gif
from curriculum.place import Place
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.runs.runner import Machine, Runner
from curriculum.stages.stage import StageContext
from curriculum.stops import Barrier
from curriculum.world.world_model import WorldModel
from models.echo import EchoMemory
from models.pca import PCAVision
from models.settings.mdnrnn import MDNRNNSettings

ACTION = ActionSpec("discrete", 4)


def test_frames_are_enlarged_without_smoothing() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
    picture = enlarge(frame)
    assert picture.shape == (256, 256, 3)
    np.testing.assert_array_equal(picture[::4, ::4], np.repeat(frame, 3, axis=2))
    np.testing.assert_array_equal(picture[3::4, 3::4], np.repeat(frame, 3, axis=2))


@pytest.mark.parametrize("state", [np.zeros(8), np.full(8, np.nan), np.full(8, 1e9)])
@pytest.mark.parametrize("draw", [draw_lander, draw_bars])
def test_any_state_can_be_drawn(draw: drawing.Draw, state: np.ndarray) -> None:
    picture = draw(state.astype(np.float32))
    assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8


def test_a_lander_is_where_its_state_says() -> None:
    left = draw_lander(np.array([-0.5, 0.8, 0, 0, 0, 0, 0, 0], np.float32))
    right = draw_lander(np.array([0.5, 0.2, 0, 0, 0, 0, 0, 0], np.float32))

    def centre(picture: np.ndarray) -> np.ndarray:
        return np.argwhere((picture == (128, 102, 230)).all(axis=-1)).mean(axis=0)

    (up, west), (down, east) = centre(left), centre(right)
    assert up < down and west < 100 < 156 < east


def test_the_drawer_fits_the_environment() -> None:
    pixels = EnvSpec("Pong", "pixels", (64, 64, 1), ACTION)
    seen = np.random.default_rng(0).integers(0, 256, (64, 64, 2), np.uint8)
    np.testing.assert_array_equal(drawer(pixels)(seen[..., :1]), enlarge(seen[..., :1]))
    stacked = replace(pixels, shape=(64, 64, 2), frames=2)
    np.testing.assert_array_equal(drawer(stacked)(seen), enlarge(seen[..., 1:]))
    lander = EnvSpec("simulation/lunarlander", "state", (8,), ACTION)
    assert drawer(lander) is draw_lander
    assert drawer(replace(lander, env_id="Acrobot-v1", shape=(6,))) is draw_bars


def test_strips_hold_their_pictures() -> None:
    rows = [(name, [np.full((8, 8, 3), n, np.uint8)] * 3) for n, name in ((50, "a"), (90, "b"))]
    picture = strip(rows)
    for value in (50, 90):
        assert (picture == value).all(axis=-1).sum() == 3 * 64


def test_gifs_keep_frames_and_time(tmp_path: Path) -> None:
    pictures = [np.full((8, 8, 3), 60 * n, np.uint8) for n in range(4)]
    write_gif(tmp_path / "a.gif", pictures, frame_ms=66.7)
    with Image.open(tmp_path / "a.gif") as image:
        assert getattr(image, "n_frames", 1) == 4
        assert image.info["duration"] in (60, 70) and image.info["loop"] == 0


def test_dreams_begin_in_reality_and_are_reproducible() -> None:
    rng = np.random.default_rng(0)
    frames = np.zeros((20, 16, 16, 1), np.uint8)
    frames[np.arange(20), np.arange(20) % 16, 5] = 255
    vision = PCAVision((16, 16, 1), 4)
    vision.update(frames, np.roll(frames, 1, axis=0), rng)
    vision.finish()
    memory = EchoMemory(4, 4, hidden_size=16, seed=0)
    world = WorldModel(vision, memory)
    actions = ACTION.encode(rng.integers(0, 4, 19))

    def dream(seed: int) -> np.ndarray:
        stream = np.random.default_rng(seed)
        return media.dream_strip(world, frames, actions, 4, stream, enlarge)

    np.testing.assert_array_equal(dream(1), dream(1))
    rebuilt = media.reconstruction_strip(world, frames[4:5], enlarge)
    height, width = 64 + drawing.GAP, drawing.LABEL_WIDTH + 64
    first_dreamed = dream(1)[height + drawing.GAP :, drawing.LABEL_WIDTH : width]
    first_rebuilt = rebuilt[height + drawing.GAP :, drawing.LABEL_WIDTH : width]
    np.testing.assert_array_equal(first_dreamed, first_rebuilt)


def tiny(name: str, observation: str) -> Config:
    task = TaskConfig(
        name=name,
        env_id="LunarLander-v3",
        observation=observation,
        simulation_target=-1e9,
        env=EnvConfig(num_envs=4, simulation=name, max_episode_steps=40),
        collect=CollectConfig(num_random_rollouts=4, max_steps_per_rollout=40),
        mdnrnn=MDNRNNConfig(MDNRNNSettings(rnn_size=16)),
        controller=ControllerConfig(population_size=4, generations=1, check_episodes=1),
        evaluate=EvaluateConfig(episodes=2),
    )
    return Config(tasks=(task,), curriculum=CurriculumConfig(mode="SIMULATION", workers=0))


@pytest.mark.parametrize(("name", "observation"), [("lunarlander", "state"), ("pong", "pixels")])
def test_a_run_leaves_its_pictures(tmp_path: Path, name: str, observation: str) -> None:
    config = tiny(name, observation)
    rundir = RunDir.create(tmp_path / "run", dump(config))
    ledger = Ledger(rundir.ledger_path)
    seen: list[StageContext] = []

    def after_task(ctx: StageContext) -> None:
        seen.append(ctx)
        media.save_media(ctx.place, lambda: ctx.agent(ctx.learned()))

    machine = Machine(states={"controller_cpu": "ok"})
    runner = Runner(config, rundir, ledger, machine, Barrier(60.0), after_task=after_task)
    try:
        runner.walk()
        agent = seen[0].agent(seen[0].learned())
        with Gif(tmp_path / "dream.gif", 0.05) as reel:
            dreamed = film_dream(agent, 3, reel, temperature=1.0, max_steps=30)
        with Gif(tmp_path / "play.gif", 0.05) as reel:
            played = film_episode(agent, 3, reel)
    finally:
        runner.close()
    assert dreamed.steps > 0 and 0 < played.steps <= 40
    (event,) = ledger.events("media")
    paths = [rundir.path / p for p in event["paths"]]
    assert [p.suffix for p in paths] == [".gif", ".mp4", ".png", ".png"]
    assert paths[1].stat().st_size > 1000
    for path in (
        *(p for p in paths if p.suffix != ".mp4"),
        tmp_path / "dream.gif",
        tmp_path / "play.gif",
    ):
        with Image.open(path) as image:
            image.verify()


def test_a_picture_that_fails_is_noted_and_nothing_else(tmp_path: Path) -> None:
    rundir = RunDir.create(tmp_path / "run", "")
    place = Place.to_look_at(rundir, "pong", "SIMULATION", 0, simulated=True)
    place = replace(place, ledger=Ledger(rundir.ledger_path))

    def broken() -> Agent:
        raise OSError(28, "No space left on device")

    media.save_media(place, broken)
    assert "No space left" in place.ledger.events("notice")[0]["text"]
