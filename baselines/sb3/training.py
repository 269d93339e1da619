"""A learner of Stable-Baselines3 in our environments: trained, examined, judged like our agents."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from baselines.results import (
    Algorithm,
    BaselineHome,
    BaselineResult,
    Setting,
    describe,
    finish,
)
from baselines.sb3.arena import Arena
from baselines.sb3.barriers import Barriers
from baselines.sb3.changes import changed
from baselines.sb3.examining import EVALUATION_ENVS, Examiner, LearningCurve
from baselines.sb3.recipes import Recipe, off_policy_recipe, recipe_for
from baselines.sb3.state import load_model_state
from curriculum.collecting.lessons import Ended
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ConfigError
from curriculum.records.files import write_bytes
from curriculum.records.ledger import Ledger
from curriculum.seeds import env_seed

LEARNERS: Mapping[str, type[BaseAlgorithm]] = {"ppo": PPO, "dqn": DQN, "sac": SAC}
CURVE_EPISODES = 5
"""Episodes behind a point of the learning curve, at least."""

WEIGHTS = "policy.safetensors"


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        steps: of training, rounded up to whole rollouts: see `whole_steps`.
        episodes: of the final evaluation.
        seed: root of all randomness; SB3 seeds the global generators with it.
        sampled: judge by drawn actions instead of the most likely ones.
        evaluations: points of the learning curve.
        device: where torch computes.
        recipe: hyper-parameters; those of `recipe_of` if None.
        params: changes of those, as `changed` reads them.
        commit_steps: steps between two commits, at which environments begin anew; rounded up to
            whole rollouts.
    """

    steps: int
    episodes: int = 20
    seed: int = 0
    sampled: bool = False
    evaluations: int = 10
    device: str = "cpu"
    recipe: Recipe | None = None
    params: tuple[str, ...] = ()
    commit_steps: int = 100_000


def recipe_of(algo: Algorithm, spec: EnvSpec, params: Sequence[str] = ()) -> Recipe:
    """Returns the recipe of a learner for what an agent sees and does.

    Args:
        algo: which learner.
        spec: of the environments.
        params: changes of it, `name=value` each.

    Raises:
        ConfigError: it cannot learn that, or not so that it could be gone on with, or has no
            hyper-parameter of such a name.
    """
    if algo == "ppo":
        return changed(recipe_for(spec), LEARNERS[algo], params)
    wanted = "dqn" if spec.action.kind == "discrete" else "sac"
    if algo != wanted:
        raise ConfigError(
            f"{algo} does not learn {spec.action.kind} actions such as those of {spec.env_id}: "
            f"take --algo {wanted} or ppo"
        )
    if spec.observation == "pixels":
        raise ConfigError(
            f"the replay of {algo} on the pixels of {spec.env_id} would be gigabytes at each "
            f"commit, and is not kept: take --algo ppo"
        )
    return changed(off_policy_recipe(spec), LEARNERS[algo], params)


def whole_steps(recipe: Recipe, steps: int) -> int:
    """Returns how many steps are taken where so many are asked for: rollouts are not cut."""
    per_rollout = recipe.num_envs * int(recipe.steps_per_rollout)
    return -(-steps // per_rollout) * per_rollout


def train(
    algo: Algorithm,
    task: TaskConfig,
    arena: Arena,
    home: BaselineHome,
    training: Training,
    machine: Mapping[str, Any] | None = None,
) -> BaselineResult:
    """Trains a learner, or goes on with it, and judges it on full episodes with true scores.

    Beside the ledger, it leaves the network's weights as `policy.safetensors`.

    Args:
        algo: which learner.
        task: what is played.
        arena: builds its environments, for training and for examination.
        home: where this baseline is kept, locked.
        training: how long, how judged, with which hyper-parameters.
        machine: hardware and versions, for the record.

    Raises:
        ConfigError: the learner cannot learn this task, or was begun with other settings.
        RunIOError: the disk refused.
    """
    env = arena.to_play(EVALUATION_ENVS)
    with closing(env):
        spec, place = env.spec, (task.name, algo)
        recipe = training.recipe or recipe_of(algo, spec, training.params)
        known = describe(algo, task, spec.env_id, training.seed)
        settings = settings_of(recipe, training, arena.setting)
        known |= {"settings": settings, "machine": dict(machine or {})}
        known |= {"setting": arena.setting, "env": arena.rules}
        stack, sampled = recipe.frame_stack, training.sampled
        examiner = Examiner(env, place, training.seed, stack, sampled)
        model, seconds = _trained(algo, place, arena, home, training, recipe, examiner, known)
        played = examiner.examine(model, training.episodes, "final")
    save_weights(model, home.path / WEIGHTS)
    policy, scores = "sampled" if sampled else "greedy", tuple(e.score for e in played)
    used = {"env_steps": model.num_timesteps, "seconds": seconds}
    result = BaselineResult(**known, policy=policy, scores=scores, **used)
    finish(home.ledger, result)
    return result


def _trained(
    algo: Algorithm,
    place: tuple[str, ...],
    arena: Arena,
    home: BaselineHome,
    training: Training,
    recipe: Recipe,
    examiner: Examiner,
    known: Mapping[str, Any],
) -> tuple[BaseAlgorithm, float]:
    """Returns the model after all its steps, and the seconds they took."""
    kept, ledger = home.begin(known), home.ledger
    before, began = float(kept.meta["seconds"]) if kept else 0.0, time.monotonic()

    def seconds() -> float:
        return before + time.monotonic() - began - examiner.seconds

    total = whole_steps(recipe, training.steps)
    raw = arena.to_train(
        recipe, lambda slot: env_seed(training.seed, *place, "train", slot), _teller(ledger)
    )
    try:
        model = build(algo, recipe, _wrapped(raw, recipe), training)
        if kept:
            load_model_state(model, kept.arrays)
        barriers = Barriers(
            raw,
            home.store,
            ledger,
            every=training.commit_steps,
            place=place,
            seed=training.seed,
            seconds=seconds,
        )
        curve = LearningCurve(
            examiner,
            ledger,
            max(training.steps // training.evaluations, 1),
            max(training.episodes // 4, CURVE_EPISODES),
            seconds,
        )
        if model.num_timesteps < total:
            left = total - model.num_timesteps
            model.learn(left, [barriers, curve], reset_num_timesteps=False)
            barriers.commit(complete=True)
    finally:
        raw.close()
    return model, seconds()


def _teller(ledger: Ledger) -> Callable[[Ended], None]:
    """Returns what writes finished episodes down, and the steps that they took together."""
    steps = sum(int(event["steps"]) for event in ledger.events("episode"))

    def on_episode(episode: Ended) -> None:
        nonlocal steps
        steps += episode.steps
        ledger.append("episode", steps_in_episodes=steps, score=episode.score, steps=episode.steps)

    return on_episode


def _wrapped(env: VecEnv, recipe: Recipe) -> VecEnv:
    if recipe.normalise_rewards:
        return VecNormalize(env, norm_obs=False, norm_reward=True, gamma=recipe.gamma)
    return env


def save_weights(model: BaseAlgorithm, path: Path) -> None:
    """Writes a model's network as safetensors, atomically.

    Raises:
        RunIOError: the disk refused.
    """
    # Networks that share layers share their memory too, which the format refuses.
    weights = {name: value.clone() for name, value in model.policy.state_dict().items()}
    write_bytes(path, save(weights))


def settings_of(recipe: Recipe, training: Training, setting: Setting) -> dict[str, Any]:
    """Returns all that shaped a training, for the record."""
    where = {
        "device": training.device,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    steps = {"steps": whole_steps(recipe, training.steps), "commit_steps": training.commit_steps}
    return {**recipe.facts(setting), **steps, **where}


def build(algo: str, recipe: Recipe, env: VecEnv, training: Training) -> BaseAlgorithm:
    """Returns an untrained model with a recipe's hyper-parameters; it logs nothing.

    Args:
        algo: which learner, of `LEARNERS`.
        recipe: the hyper-parameters.
        env: what it will learn in.
        training: seed and device.
    """
    network = dict(recipe.network)
    activation = network.pop("activation", None)
    if activation is not None:
        network["activation_fn"] = getattr(torch.nn, activation)
    settings: dict[str, Any] = {**recipe.settings, "gamma": recipe.gamma, "policy_kwargs": network}
    kind: Any = LEARNERS[algo]
    try:
        model = kind(recipe.policy, env, seed=training.seed, device=training.device, **settings)
    except (TypeError, ValueError, AssertionError) as e:
        if not training.params:
            raise
        raise ConfigError(f"{algo} refuses {', '.join(training.params)}: {e}") from e
    # Its own logger would leave a directory in the system's temporary one; the ledger is ours.
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model
