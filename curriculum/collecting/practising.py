"""The collectors that C practises with: in its task's environments, or in dreams of them."""

from __future__ import annotations

from collections.abc import Callable

from curriculum.agent.agent import Agent
from curriculum.backends.backend import Backend
from curriculum.collecting.collector import Collector
from curriculum.collecting.disturbance import Disturbance
from curriculum.collecting.exploration import (
    Exploration,
    LastingNoise,
    RandomActions,
    RandomShare,
)
from curriculum.collecting.lessons import LessonRules
from curriculum.collecting.shaping import Shaping
from curriculum.collecting.tape import Snapshot, Tape
from curriculum.config.practice import TrainingConfig
from curriculum.config.schema import OFF_POLICY, Config, TaskConfig
from curriculum.envs.interface import ActionSpec
from curriculum.place import Place
from curriculum.world.dream import DreamStarts, DreamVectorEnv


def real_collector(
    place: Place, config: Config, task: TaskConfig, backend: Backend, agent: Agent
) -> Collector:
    """Builds a collector in a task's environments.

    Args:
        place: of the controller stage.
        config, task: as in the run.
        backend: builds the environments.
        agent: its C acts on what its V and M make of what is seen.
    """
    settings = task.training
    env = backend.make_env(
        task,
        settings.num_envs,
        lambda text: place.record("notice", text=text),
        workers=config.curriculum.env_workers,
        on_event=lambda event: place.record(**event),
    )
    return Collector(
        env,
        Tape(env, _seeds(place), settings.reseed_steps),
        agent.perceive(settings.num_envs),
        agent.controller,
        _rules(settings),
        exploration_of(task, agent.spec.action, first_round=place.fresh),
        shaping=Shaping(
            env.spec,
            settings.num_envs,
            task.shaping,
            idle_steps=settings.idle_steps,
            idle_penalty=settings.idle_penalty,
        ),
        disturbance=Disturbance(env.spec.action, settings.num_envs, settings.disturbance),
    )


def dreamed_collector(
    place: Place, task: TaskConfig, agent: Agent, starts: DreamStarts
) -> Collector:
    """Builds a collector in dreams of a task's environment, one after another.

    Args:
        place, task: as for `real_collector`.
        agent: its C acts in dreams of its M.
        starts: where dreams begin.
    """
    settings, dream = task.training, task.dream
    env = DreamVectorEnv(
        agent.world,
        starts,
        agent.spec.action,
        settings.num_envs,
        temperature=dream.temperature,
        max_steps=dream.max_steps,
    )
    return Collector(
        env,
        Snapshot(env, _seeds(place)),
        agent.perceive_dream(env),
        agent.controller,
        _rules(settings),
        exploration_of(task, agent.spec.action, first_round=place.fresh),
        dreamed=True,
    )


def exploration_of(task: TaskConfig, action: ActionSpec, *, first_round: bool) -> Exploration:
    """Builds what chooses actions while a task's C learns.

    Args:
        task: as in the run.
        action: the action space.
        first_round: whether nothing is known yet, so that what is played first is random.
    """
    lasting, solver = LastingNoise(task.training.noise_persistence), task.controller.solver
    if solver not in OFF_POLICY:
        return lasting
    replay, discrete = task.replay, action.kind == "discrete"
    share = RandomShare(
        all_until=replay.learning_starts if first_round else 0,
        final=replay.epsilon if discrete else 0.0,
        falling=replay.epsilon_steps if first_round and discrete else 0,
        persistence=task.collect.repeat_action_probability,
        persistence_later=task.training.noise_persistence,
    )
    greedy = solver == "qrdqn" and not task.qrdqn.temperature
    return RandomActions(action, share, None if greedy else lasting)


def _rules(settings: TrainingConfig) -> LessonRules:
    return LessonRules(
        clip_rewards=settings.clip_rewards,
        end_on_life_loss=settings.end_on_life_loss,
        end_on_reward=settings.end_on_reward,
        reward_scale=settings.reward_scale,
    )


def _seeds(place: Place) -> Callable[[int, int], int]:
    return lambda row, number: place.env_seed("practice", row, number)
