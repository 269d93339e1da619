"""Where C practises: the real environment, seen through V and M, or M alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from curriculum.agent.perception import DreamPerception, Perception, WorldModelPerception
from curriculum.collecting.tape import Snapshot, Tape, Unrepeatable
from curriculum.world.dream import DreamStarts, DreamVectorEnv
from curriculum.envs.interface import Step, VectorEnv
from curriculum.collecting.lessons import EpisodeStatistics
from curriculum.learning.branches import Branches
from curriculum.learning.recall import Recall
from curriculum.records.commit import Commit
from curriculum.seeds import env_seed
from curriculum.stages.stage import StageContext
from models.interfaces import Float, Memory, State, Vision


class Practising(Perception, Protocol):
    """A perception that can be saved between two steps."""

    @property
    def latents(self) -> Float:
        """z of what each slot saw last, `[N, Z]`."""
        ...

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


class Course(Protocol):
    """What steps a batch of environments and can bring it back to where it was."""

    def start(self) -> np.ndarray: ...

    def step(self, actions: np.ndarray, meanwhile: Callable[[np.ndarray], None]) -> Step: ...

    def begin(self, rows: np.ndarray) -> np.ndarray: ...

    def state(self) -> State: ...

    def restore(self, state: Mapping[str, np.ndarray]) -> np.ndarray: ...


@dataclass(frozen=True)
class Surroundings:
    """Environments to practise in.

    Attributes:
        env: `ppo.num_envs` of them.
        course: steps and saves them; nobody else may.
        perception: what makes features of what they show.
        dreaming: whether they are M.
        branches: begins short dreams at real moments; None for none.
        recall: what M needs to learn on from practice; None where it stays as it is.
        practising: around practice; see `Backend.practising`. Dreams have no threads of their own,
            and are large enough for all of torch's.
    """

    env: VectorEnv
    course: Course
    perception: Practising
    dreaming: bool = False
    branches: Branches | None = None
    recall: Recall | None = None
    practising: Callable[[], AbstractContextManager[None]] = nullcontext


def real_surroundings(ctx: StageContext, vision: Vision, memory: Memory) -> Surroundings:
    """Builds a task's environments.

    Args:
        ctx: of the controller stage.
        vision, memory: V and M.
    """
    settings = ctx.task.ppo
    env = ctx.backend.make_env(
        ctx.task,
        settings.num_envs,
        lambda text: ctx.record("notice", text=text),
        workers=ctx.config.curriculum.env_workers,
        on_event=lambda event: ctx.record(**event),
    )
    action, names = env.spec.action, ctx.task.controller.features
    perception = WorldModelPerception(
        vision, memory, action, names, settings.num_envs, always=settings.branches > 0
    )
    recall = None
    if settings.branches and settings.memory_updates:
        capacity, sizes = settings.recall_steps, (memory.latent_size, memory.action_size)
        recall = Recall(capacity, settings.num_envs, *sizes)
    return Surroundings(
        env,
        Tape(env, _seeds(ctx), settings.reseed_steps),
        perception,
        branches=Branches(ctx, memory, action, perception) if settings.branches else None,
        recall=recall,
        practising=ctx.backend.practising,
    )


def dreamed_surroundings(ctx: StageContext, memory: Memory, starts: DreamStarts) -> Surroundings:
    """Builds dreams of a task's environment, one after another from fresh places.

    Args:
        ctx: of the controller stage.
        memory: M.
        starts: where dreams begin.
    """
    settings, dream = ctx.task.ppo, ctx.task.dream
    env = DreamVectorEnv(
        memory,
        starts,
        ctx.spec.action,
        settings.num_envs,
        temperature=dream.temperature,
        max_steps=dream.max_steps,
    )
    perception = DreamPerception(env, ctx.task.controller.features)
    return Surroundings(env, Snapshot(env, _seeds(ctx)), perception, dreaming=True)


def brought_back(
    course: Course,
    commit: Commit,
    perception: Perception,
    statistics: EpisodeStatistics,
    record: Callable[..., None],
) -> Float:
    """Brings environments back to where a commit left them.

    Where they do not honour their seeds new episodes are begun, which is recorded.

    Args:
        course: of the environments.
        commit: its arrays hold `tape/...` and `features`.
        perception: of all environments; as in the commit.
        statistics: of their episodes; as in the commit.
        record: appends an event to the ledger.

    Returns:
        What C reads now, `[N, F]`.
    """
    try:
        course.restore(commit.part("tape"))
        return np.array(commit.arrays["features"], np.float32)
    except Unrepeatable as e:
        record("resume_inexact", differences=[f"{e}; so new episodes are begun"], **e.evidence)
    observations = course.start()
    slots = np.arange(len(observations))
    statistics.load_state(EpisodeStatistics(len(slots)).state())
    perception.begin(slots)
    return perception.features(observations, slots)


def _seeds(ctx: StageContext) -> Callable[[int, int], int]:
    def seed(row: int, number: int) -> int:
        place = (ctx.task.name, ctx.round, ctx.stage, "practice", row, number)
        return env_seed(ctx.config.seed, *place)

    return seed
