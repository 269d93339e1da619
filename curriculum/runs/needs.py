"""What a run will need of memory and disk, estimated before anything is written.

Collected data and replays are mapped from disk and leave memory whenever something else wants
it, so they do not count there. What counts is what cannot be given back: interpreters with their
libraries, environments, episodes on their way to the disk, models with their gradients and moments,
and the copies that commits are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import prod
from types import MappingProxyType

from curriculum.agent.action_trace import SPANS
from curriculum.config.schema import BY_GRADIENTS, OFF_POLICY, Config, TaskConfig
from curriculum.errors import ConfigError
from curriculum.mode import LADDER, Mode
from curriculum.resources import MIB, host_memory, in_words
from curriculum.runs.preflight import Look
from curriculum.tasks import without_key_points
from models import echo, normaliser, pca
from models.search.evolution import search_bytes
from models.settings.ppo import PPOSettings
from models.settings.sac import SACSettings

PROCESS_BYTES = dict(zip(LADDER, (240 * MIB, 70 * MIB, 20 * MIB), strict=True))
"""Memory that one process has for itself once it has imported a mode's libraries and worked a
little (unique set size, Linux, torch 2 on a CPU): 234, 50 to 70 and 17 MiB were measured."""

ENV_BYTES = {"LunarLander": MIB // 8, "CarRacing": 8 * MIB}
OTHER_ENV_BYTES, SIMULATION_BYTES = 2 * MIB, MIB // 3
"""Memory of one environment beyond its libraries; measured 0.1 (LunarLander), 1.4 (Atari) and
7.8 MiB (CarRacing), and 0.3 at most of a simulation."""

Seen = Mapping[str, Look]
NOTHING_SEEN: Seen = MappingProxyType({})

_SIDE = 64
_STATE_SIZE = 32
_ACTION_SIZE = 6
_COMMITS_ON_DISK = 3
_FLOAT, _DOUBLE = 4, 8
_COPIES = 4 + 3 + 3
"""Weights, gradient and two moments; the last good state and the commit hold three each."""


@dataclass(frozen=True)
class Need:
    """One thing that memory or disk is needed for, and the keys that decide how much."""

    what: str
    bytes: int
    keys: str


@dataclass(frozen=True)
class Sizes:
    """The sizes of a task that estimates are made of.

    Attributes:
        frame: H, W and C of what is seen; a state that was not looked at counts as 32 numbers.
        actions: how many there are, or their dimensions.
        latents: Z.
        vision, memory: bytes of the weights of V and M, or of what numpy learners gather instead.
        widths: of C's layers, from features to outputs.
        solver: bytes of the solver's distribution and its candidates.
        practice: bytes of learning by gradients: networks, what was played since the last update,
            and what brings environments back; 0 where nothing does.
        replay: bytes of the files that are learned from; 0 where none are.
    """

    frame: tuple[int, int, int]
    actions: int
    latents: int
    vision: int
    memory: int
    widths: tuple[int, ...]
    solver: int
    practice: int
    replay: int

    @classmethod
    def of(cls, task: TaskConfig, mode: str, seen: Look | None = None) -> Sizes:
        """Returns the sizes of a task in a mode."""
        torch = Mode(mode).uses_torch
        state, actions = (seen.shape[0], seen.actions) if seen else (_STATE_SIZE, _ACTION_SIZE)
        pixels = task.observation == "pixels"
        frame = (_SIDE, _SIDE, task.env.channels) if pixels else (1, 1, state)
        latents = task.vae.model.z_dim if pixels else state
        by_gradients = task.controller.solver in BY_GRADIENTS and torch
        off_policy = task.controller.solver in OFF_POLICY and torch
        widths = _widths(task, latents, actions, by_gradients=by_gradients, torch=torch)
        return cls(
            frame=frame,
            actions=actions,
            latents=latents,
            vision=_vision(task, frame, torch and pixels),
            memory=_memory(task, latents, actions, torch),
            widths=widths,
            solver=_solver(task, widths, by_gradients),
            practice=_practice(task, latents, widths) if by_gradients else 0,
            replay=(_replay(task, widths) if off_policy else 0)
            + (_frames(task, frame) if pixels and by_gradients else 0),
        )

    @property
    def observation(self) -> int:
        """Bytes of one observation: bytes of a frame, or float32 numbers of a state."""
        return prod(self.frame) * (_FLOAT if self.frame[0] == 1 else 1)

    @property
    def controller(self) -> int:
        """Parameters of C."""
        return sum((a + 1) * b for a, b in pairwise(self.widths))


def memory_needs(
    config: Config, modes: Mapping[str, str], workers: int, seen: Seen = NOTHING_SEEN
) -> list[Need]:
    """Returns what the hungriest moment of a run needs memory for.

    Args:
        config: of the run.
        modes: of the tasks, by name; a task without a mode is not run.
        workers: processes that play episodes.
        seen: what environments look like, of the tasks whose were looked at.
    """
    moments: list[Sequence[Need]] = [()]
    for task in config.tasks:
        if task.name in modes:
            looked_at = seen.get(task.name)
            moments += moments_of(task, modes[task.name], workers, looked_at).values()
    return list(max(moments, key=lambda needs: sum(n.bytes for n in needs)))


def moments_of(
    task: TaskConfig, mode: str, workers: int, seen: Look | None = None
) -> dict[str, Sequence[Need]]:
    """Returns what a task needs memory for while it collects, while V and M learn and C does."""
    sizes = Sizes.of(task, mode, seen)
    always = (_processes(task, mode, workers), _environments(task, mode, workers))
    return {
        "collect": (*always, _collecting(task, sizes, workers)),
        "vision": (*always, _seeing(task, sizes, mode)),
        "memory": (*always, _remembering(task, sizes, mode)),
        "controller": (*always, _searching(task, sizes, workers)),
    }


def disk_needs(config: Config, modes: Mapping[str, str], seen: Seen = NOTHING_SEEN) -> list[Need]:
    """Returns what a run will write at most, if every collected episode is as long as it may be,
    and no attempt at a task but the last one reaches its target."""
    rounds, attempts = config.curriculum.rounds, config.curriculum.attempts
    each = "curriculum.attempts, " if attempts > 1 else ""
    return [
        replace(need, bytes=attempts * need.bytes, keys=each + need.keys)
        for task in config.tasks
        if task.name in modes
        for need in _written(task, rounds, Sizes.of(task, modes[task.name], seen.get(task.name)))
    ]


def _written(task: TaskConfig, rounds: int, sizes: Sizes) -> Iterator[Need]:
    collect = task.collect
    steps = collect.max_steps_per_rollout + 1
    if task.env.max_episode_steps:
        steps = min(steps, task.env.max_episode_steps + 1)
    per_round = [collect.num_random_rollouts, *[collect.num_policy_rollouts] * (rounds - 1)]
    row = sizes.observation + _FLOAT * (_ACTION_SIZE + 1) + 1
    keys = "collect.num_random_rollouts, collect.num_policy_rollouts"
    keys += " or collect.max_steps_per_rollout"
    yield Need(f"{task.name}: collected episodes", sum(per_round) * steps * row, keys)
    # Every round encodes all rows there are by then, a mean and a log variance each.
    encoded = sum(accumulate(per_round)) * steps
    latents = 2 * _FLOAT * sizes.latents
    yield Need(f"{task.name}: latents", encoded * latents, f"{keys} or vae.z_dim")
    if sizes.replay:
        keys_of_replay = "training.total_steps, mdnrnn.rnn_size or vae.z_dim"
        yield Need(f"{task.name}: replays", rounds * sizes.replay, keys_of_replay)
    saved = 3 * (sizes.vision + sizes.memory) + sizes.solver + sizes.practice // 3
    commits = rounds * _COMMITS_ON_DISK * (saved + 2 * _FLOAT * sizes.controller)
    yield Need(f"{task.name}: commits", commits, "mdnrnn.rnn_size or vae.z_dim")


def require_memory(
    config: Config, modes: Mapping[str, str], workers: int, seen: Seen = NOTHING_SEEN
) -> None:
    """Refuses a run that would not fit into memory.

    Raises:
        ConfigError: with what it needs, what there is, and the keys to lower.
    """
    needs = memory_needs(config, modes, workers, seen)
    needed, memory = sum(n.bytes for n in needs), host_memory()
    if needed > memory.available:
        raise ConfigError(
            f"this run needs about {in_words(needed)} of memory, but {memory.describe()} are "
            f"available:\n{_listed(needs)}"
        )


def lower_disk(needs: Iterable[Need]) -> str:
    """Returns the advice for a disk that is too small."""
    return f"free space, choose another --run-dir, or lower what asks for most:\n{_listed(needs)}"


def _listed(needs: Iterable[Need]) -> str:
    largest = sorted(needs, key=lambda n: -n.bytes)[:4]
    return "\n".join(f"  {n.what}: {in_words(n.bytes)}; lower {n.keys}" for n in largest)


def _processes(task: TaskConfig, mode: str, workers: int) -> Need:
    size = (1 + workers) * PROCESS_BYTES[Mode(mode)]
    what = f"{task.name}: {workers} worker processes and this one in mode {mode}"
    return Need(what, size, "curriculum.workers")


def _environments(task: TaskConfig, mode: str, workers: int) -> Need:
    kind = (size for name, size in ENV_BYTES.items() if task.env_id.startswith(name))
    each = SIMULATION_BYTES if Mode(mode).simulates else next(kind, OTHER_ENV_BYTES)
    # A process keeps its batches, of which the last one of a round of units may be smaller.
    count = max(1, workers) * 2 * task.env.num_envs + 1
    return Need(
        f"{task.name}: {count} environments", count * each, "env.num_envs or curriculum.workers"
    )


def _collecting(task: TaskConfig, sizes: Sizes, workers: int) -> Need:
    collect = task.collect
    episodes = max(collect.num_random_rollouts, collect.num_policy_rollouts)
    together = min(task.env.num_envs, episodes)
    unit = together * (collect.max_steps_per_rollout + 1) * sizes.observation
    units = min(max(1, workers), -(-episodes // together))
    # While a unit crosses over it is there as frames, as a message and as what the message held.
    size = units * 3 * unit
    return Need(
        f"{task.name}: episodes being collected",
        size,
        "env.num_envs or collect.max_steps_per_rollout",
    )


def _seeing(task: TaskConfig, sizes: Sizes, mode: str) -> Need:
    batch = task.vae.batch_size
    if task.observation != "pixels":
        numbers = batch * 4 * sizes.latents
    elif Mode(mode).uses_torch:
        numbers = task.vae.model.update_numbers(sizes.frame, batch)
    else:
        numbers = batch * 5 * sizes.observation
    keys = "vae.batch_size or vae.z_dim"
    return _learning(task, "V", sizes.vision, numbers * _FLOAT, keys)


def _remembering(task: TaskConfig, sizes: Sizes, mode: str) -> Need:
    rnn = task.mdnrnn
    numbers = rnn.batch_size * rnn.sequence_length * 8 * rnn.model.rnn_size
    if Mode(mode).uses_torch:
        lengths = (rnn.batch_size, rnn.sequence_length)
        numbers = rnn.model.update_numbers(sizes.latents, *lengths)
    keys = "mdnrnn.batch_size, mdnrnn.sequence_length, mdnrnn.num_mixtures or mdnrnn.rnn_size"
    if task.observation == "state":
        keys = f"the {sizes.latents:,} numbers of a state, by a wrapper, or {keys}"
    return _learning(task, "M", sizes.memory, numbers * _FLOAT, keys)


def _learning(task: TaskConfig, name: str, learner: int, batch: int, keys: str) -> Need:
    what = f"{task.name}: {name} learning, {learner // _FLOAT:,} parameters"
    return Need(what, _COPIES * learner + batch, keys)


def _searching(task: TaskConfig, sizes: Sizes, workers: int) -> Need:
    chosen, dream = task.controller, task.dream
    together = dream.num_envs if chosen.train_in_dream else task.env.num_envs
    remembered = 2 * task.mdnrnn.model.rnn_size + sizes.latents
    states = max(1, workers) * together * remembered * _FLOAT
    shared = max(1, workers) * (sizes.vision + sizes.memory) * 3
    return Need(
        f"{task.name}: the search over {sizes.controller:,} parameters of C",
        2 * sizes.solver + states + shared + sizes.practice,
        "controller.hidden_sizes, controller.population_size, mdnrnn.rnn_size or vae.z_dim",
    )


def _widths(
    task: TaskConfig, latents: int, actions: int, *, by_gradients: bool, torch: bool
) -> tuple[int, ...]:
    """Returns the widths of C's layers; what gradients cannot learn is searched for, and linear.

    A V without key points gives all latents in their place.
    """
    chosen, places = task.controller, 2 * task.vae.model.key_points
    hidden, placed = task.mdnrnn.model.rnn_size, places if torch else latents
    vector = len(task.env.actions[0]) if task.env.actions else actions
    sizes = {"z": latents, "dz": latents, "k": placed, "dk": placed}
    sizes |= {"a": len(SPANS) * vector, "h": hidden}
    names = chosen.features if torch else without_key_points(chosen.features)
    features = sum(sizes[name] for name in names)
    linear = chosen.solver in BY_GRADIENTS and not by_gradients
    return (features, *(() if linear else chosen.hidden_sizes), actions)


def _solver(task: TaskConfig, widths: tuple[int, ...], by_gradients: bool) -> int:
    """Returns the bytes of what is searched with: all of C, or its last layer after gradients."""
    chosen = task.controller
    moving = widths[-2:] if by_gradients else widths
    if by_gradients and not chosen.polish_generations:
        return 0
    searched, whole = (sum((a + 1) * b for a, b in pairwise(w)) for w in (moving, widths))
    return search_bytes(searched) + 3 * chosen.population_size * whole * _DOUBLE


def _practice(task: TaskConfig, latents: int, widths: tuple[int, ...]) -> int:
    loop, drawn = task.training, 0
    if task.controller.solver in OFF_POLICY:
        widths, drawn = _drawn(task, widths)
    learner = _COPIES * task.learner.num_parameters(widths) * _FLOAT
    # Each step is held as it was played, as a tensor, and once more in the order of an epoch.
    reuse = 1 if drawn else loop.reuse
    played = 3 * reuse * loop.num_steps * loop.num_envs * (widths[0] + 8) + drawn
    states = 3 * loop.num_envs * (2 * task.mdnrnn.model.rnn_size + 3 * latents)
    tape = 2 * 2 * loop.num_envs * 2 * loop.reseed_steps
    return learner + (played + states) * _FLOAT + tape


def _drawn(task: TaskConfig, widths: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Returns the widths of a policy that learns from a replay, and the numbers of an update.

    The scale of features is taken from all that was read before the first one.
    """
    learner = task.learner
    assert not isinstance(learner, PPOSettings)
    if isinstance(learner, SACSettings):
        widths = (*widths[:-1], 2 * widths[-1])  # means and deviations
    batch = task.replay.batch_size
    numbers = learner.update_numbers(widths, batch) + 2 * batch * (widths[0] + 2)
    return widths, numbers + 2 * task.replay.learning_starts * widths[0]


def _replay(task: TaskConfig, widths: tuple[int, ...]) -> int:
    """Returns the bytes of the columns of all steps; the few where a limit cuts do not count."""
    actions = _FLOAT * widths[-1] if task.controller.solver == "sac" else _DOUBLE
    return task.training.total_steps * (_FLOAT * (widths[0] + 1) + actions + 1)


def _frames(task: TaskConfig, frame: tuple[int, int, int]) -> int:
    """Returns the bytes of the frames that V goes on learning from while C learns, if it does."""
    loop, vae = task.training, task.vae
    if not vae.joint_updates or task.controller.train_in_dream:
        return 0
    steps = loop.total_steps // loop.num_envs
    return steps * min(vae.joint_envs, loop.num_envs) * (prod(frame) // task.env.frame_stack + 1)


def _vision(task: TaskConfig, frame: tuple[int, int, int], convolves: bool) -> int:
    settings = task.vae.model
    if convolves:
        return settings.num_parameters(frame) * _FLOAT
    if task.observation == "pixels":
        return pca.state_bytes(frame, settings.z_dim, settings.motion_weight)
    return normaliser.state_bytes(frame[2])


def _memory(task: TaskConfig, latents: int, actions: int, torch: bool) -> int:
    settings = task.mdnrnn.model
    if torch:
        return settings.num_parameters(latents, actions) * _FLOAT
    return echo.state_bytes(latents, actions, settings.rnn_size)
