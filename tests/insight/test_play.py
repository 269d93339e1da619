"""`play` watches an agent where the score of every episode is known in advance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from curriculum.seeds import env_seed
from tests.cli.conftest import Command, Done, commands_in

pytestmark = [pytest.mark.gym, pytest.mark.slow]

PLUGIN = """
import gymnasium
import numpy as np
from curriculum.envs.registry import register_env


class Countdown(gymnasium.Env):
    render_mode = None
    observation_space = gymnasium.spaces.Box(0.0, 9.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.length = 2 + seed % 5
        self.left = self.length
        return np.array([self.left], np.float32), {}

    def step(self, action):
        self.left -= 1
        return np.array([self.left], np.float32), 1.5, self.left == 0, False, {}


register_env("Countdown", Countdown)
"""
CONFIG = """\
name: countdown
seed: 4
curriculum: {mode: GYM_ONLY, workers: 0, plugins: [countdown_plugin]}
env: {num_envs: 2}
collect: {num_random_rollouts: 20}
mdnrnn: {batch_size: 4, sequence_length: 2, rnn_size: 16}
controller: {population_size: 4, rollouts_per_candidate: 1, generations: 1, check_episodes: 1}
dream: {max_steps: 7}
evaluate: {episodes: 3}
tasks: {countdown: {env_id: Countdown, observation: state, target: 2}}
"""
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs commands where `run` is a finished run."""
    place = tmp_path_factory.mktemp("countdown")
    (place / "countdown_plugin.py").write_text(PLUGIN, encoding="utf-8")
    (place / "countdown.yaml").write_text(CONFIG, encoding="utf-8")
    done = commands_in(place)("run", "countdown.yaml", "--run-dir", "run", "--quiet")
    assert done.code == 0, done.err
    return commands_in(place)


def played(command: Command, *args: str) -> Done:
    done = command("play", "run", "--plugins", "countdown_plugin", *args)
    assert done.code == 0, done.err
    return done


def steps_of(seed: int) -> int:
    return 2 + env_seed(seed, "countdown", "play") % 5


def test_an_episode_is_the_one_of_its_seed(command: Command) -> None:
    assert len({steps_of(seed) for seed in SEEDS}) > 1, "seeds that tell each other apart"
    for seed in SEEDS:
        steps = steps_of(seed)
        told = played(command, "--seed", str(seed)).out
        score = f"score {1.5 * steps:.1f}, {steps} steps"
        assert told == f"countdown (GYM_ONLY) in Countdown: {score}\n"


def test_a_film_has_a_picture_of_every_step(command: Command, tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    told = played(command, "--gif", str(film), "--task", "countdown").out
    assert told.splitlines()[1] == f"written: {film}"
    with Image.open(film) as pictures:
        assert getattr(pictures, "n_frames", 1) == steps_of(1)


def test_a_dream_lasts_no_longer_than_it_may_and_is_the_same_again(
    command: Command, tmp_path: Path
) -> None:
    film = tmp_path / "dream.gif"
    told = played(command, "--dream", "--gif", str(film)).out
    found = re.match(r"countdown \(GYM_ONLY\) in its dream: score (-?[\d.]+), (\d+) steps\n", told)
    assert found is not None, told
    steps = int(found[2])
    assert 1 <= steps <= 7
    assert abs(float(found[1]) - 1.5 * steps) < 0.5 * steps, "M knows what a step pays"
    with Image.open(film) as pictures:
        assert getattr(pictures, "n_frames", 1) == steps
    assert played(command, "--dream").out == told.splitlines(keepends=True)[0]


def test_what_cannot_be_played_is_refused(command: Command, tmp_path: Path) -> None:
    for args, code, words in (
        (("run", "--task", "chess", "--plugins", "countdown_plugin"), 2, "no task 'chess'"),
        (("run",), 2, "--plugins countdown_plugin"),
        (("run", "--set", "dream.max_steps=1"), 2, "shaped what was learned"),
        (("nowhere",), 2, "nowhere"),
        (("run", "--gif", str(tmp_path)), 7, str(tmp_path)),
    ):
        done = command("play", *args)
        assert (done.code, words in done.err) == (code, True), (args, done)
