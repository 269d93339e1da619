"""A trained learner of Stable-Baselines3 opened again: scored on other episodes, and filmed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from safetensors.torch import load_file
from stable_baselines3.common.base_class import BaseAlgorithm

from baselines.results import CONFIDENCE, RESULT, BaselineResult, read_result
from baselines.sb3.arena import Arena, arena_of
from baselines.sb3.examining import EVALUATION_ENVS, ModelPolicy
from baselines.sb3.recipes import Recipe
from baselines.sb3.training import WEIGHTS, Training, build, recipe_of
from baselines.sb3.vec_env import TrainingVecEnv
from curriculum.agent.episodes import Episode, Recorder, run_episodes
from curriculum.backends.parts import real_screen
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import EnvSpec, Screen, VectorEnv
from curriculum.errors import ConfigError
from curriculum.films.camera import Camera, opened, step_seconds
from curriculum.films.reels import reel_for
from curriculum.insight.drawing import drawer
from curriculum.records.evaluation import Evaluation
from curriculum.seeds import env_seed, generator
from curriculum.tasks import builtin_tasks, load_config

STREAM = "evaluate a baseline"
MakeTaskEnv = Callable[[TaskConfig, int], VectorEnv]
"""Builds so many environments of a task."""


@dataclass(frozen=True)
class TrainedBaseline:
    """A baseline that can play.

    Attributes:
        result: what it came to when it was judged.
        task: that it plays, by the rules it learned with.
        spec: of its environments.
        model: with its learned weights.
        recipe: it was trained by.
        arena: builds environments of its task, in the setting it learned in.
    """

    result: BaselineResult
    task: TaskConfig
    spec: EnvSpec
    model: BaseAlgorithm
    recipe: Recipe
    arena: Arena

    def play(
        self, seeds: list[int], sampled: bool, recorder: Recorder | None = None
    ) -> list[Episode]:
        """Plays one full episode per seed, one after the other where they are recorded."""
        env = self.arena.to_play(1 if recorder else min(EVALUATION_ENVS, len(seeds)))
        try:
            depth = self.recipe.frame_stack
            policy = ModelPolicy(self.model, env.spec, env.num_envs, depth, sampled)
            return run_episodes(env, policy, seeds, recorder=recorder)
        finally:
            env.close()

    def evaluate(self, episodes: int, seed: int, sampled: bool) -> Evaluation:
        """Scores full episodes on seeds that neither its training nor its judgement used."""
        place = (self.task.name, self.result.algo, self.result.seed)
        seeds = [env_seed(seed, STREAM, *place, n) for n in range(episodes)]
        scores = np.array([episode.score for episode in self.play(seeds, sampled)])
        rng = generator(seed, STREAM, *place, "bootstrap")
        policy = "sampled" if sampled else "greedy"
        return Evaluation.of(scores, policy=policy, confidence=CONFIDENCE, rng=rng)

    def film(self, seed: int, sampled: bool, path: Path | None) -> Episode:
        """Plays one episode, and writes it as a film if a file is named.

        In our environments the game shows itself, in others what the learner sees is shown.
        """
        if path is None:
            return self.play([seed], sampled)[0]
        with ExitStack() as held:
            screen = held.enter_context(opened(self._make_screen))
            reel = held.enter_context(reel_for(path, step_seconds(self.spec, screen)))
            camera = Camera(reel, drawer(self.spec), seed, screen)
            return self.play([seed], sampled, camera.record)[0]

    def _make_screen(self) -> Screen | None:
        return real_screen(self.task) if self.arena.setting == "same" else None


def open_baseline(directory: Path, make_env: MakeTaskEnv, device: str = "cpu") -> TrainedBaseline:
    """Opens a finished training; no code of its files is run.

    Args:
        directory: of the baseline, `<out>/<algo>-<task>-seed<n>`.
        make_env: builds environments.
        device: where torch computes.

    Raises:
        ConfigError: there is no finished training, or this version builds another network.
    """
    result = read_result(directory / RESULT)
    if result.algo == "random" or not (directory / WEIGHTS).is_file():
        raise ConfigError(f"{directory} holds no trained policy: {WEIGHTS} is not there")
    task = _task_of(result)
    arena = arena_of(result.setting, task, lambda num_envs: make_env(task, num_envs))
    env = arena.to_play(1)
    try:
        recipe = recipe_of(result.algo, env.spec)
        wrapped = TrainingVecEnv(env, lambda slot: slot, frame_stack=recipe.frame_stack)
        model = build(result.algo, _to_play(recipe), wrapped, Training(steps=1, device=device))
        model.policy.load_state_dict(load_file(directory / WEIGHTS, device=device))
    except RuntimeError as e:
        raise ConfigError(f"{directory} holds weights of another network: {e}") from e
    finally:
        env.close()
    return TrainedBaseline(result, task, env.spec, model, recipe, arena)


def _to_play(recipe: Recipe) -> Recipe:
    """Returns the recipe without room for rollouts or a replay, which may be gigabytes."""
    small = {"n_steps": 2, "batch_size": 2, "buffer_size": 1}
    kept = {name: small.get(name, value) for name, value in recipe.settings.items()}
    return replace(recipe, settings=kept)


def _task_of(result: BaselineResult) -> TaskConfig:
    """Returns the task with the rules that a result was earned by."""
    seen = "state" if result.settings.get("policy") == "MlpPolicy" else "pixels"
    known = {task.name: task.target for task in builtin_tasks()}
    told = {
        "env_id": result.env_id,
        "observation": seen,
        "target": known.get(result.task, 0.0),
        # The words of the stock setting are rules to tell, not to build from.
        "env": result.env if result.setting == "same" else {},
    }
    with TemporaryDirectory(prefix="baseline-") as directory:
        path = Path(directory) / "task.yaml"
        path.write_text(yaml.safe_dump({"tasks": {result.task: told}}), encoding="utf-8")
        (task,) = load_config(path).tasks
    return task
