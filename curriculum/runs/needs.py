"""What a run will need of memory and disk, estimated before anything is written.

Collected data are mapped from disk and leave memory whenever something else wants it, so they do
not count there. What counts is what cannot be given back: interpreters with their libraries,
environments, episodes on their way to the disk, models with their gradients and moments, and the
copies that commits are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ConfigError
from curriculum.records.resources import MIB, host_memory, in_words
from curriculum.runs.preflight import Look

PROCESS_BYTES = {"FULL": 240 * MIB, "GYM_ONLY": 70 * MIB, "SIMULATION": 20 * MIB}
"""Memory that one process has for itself once it has imported a mode's libraries and worked a
little (unique set size, Linux, torch 2 on a CPU): 234, 50 to 70 and 17 MiB were measured."""

ENV_BYTES = {"LunarLander": MIB // 8, "CarRacing": 8 * MIB}
OTHER_ENV_BYTES, SIMULATION_BYTES = 2 * MIB, MIB // 3
"""Memory of one environment beyond its libraries; measured 0.1 (LunarLander), 1.4 (Atari) and
7.8 MiB (CarRacing), and 0.3 at most of a simulation."""

Seen = Mapping[str, Look]
NOTHING_SEEN: Seen = MappingProxyType({})

_PIXELS = 64 * 64
_STATE_SIZE = 32
_ACTION_SIZE = 6
_FOLD = 4
_LARGEST_COVARIANCE = 500
_POOLED = 1024
_COMMITS_ON_DISK = 3
_FLOAT = 4


@dataclass(frozen=True)
class Need:
    """One thing that memory or disk is needed for, and the keys that decide how much."""

    what: str
    bytes: int
    keys: str


@dataclass(frozen=True)
class Sizes:
    """The sizes of a task that estimates are made of, in numbers and bytes.

    Attributes:
        observation: bytes of one.
        latents: numbers that V makes of one.
        vision, memory, controller: parameters of V, M and C, or what numpy learners gather instead.
        solver: numbers in the solver's state and its candidates.
        practice: bytes of learning by gradients: two networks, rollouts, and what brings
            environments back; 0 where nothing does.
    """

    observation: int
    latents: int
    vision: int
    memory: int
    controller: int
    solver: int
    practice: int

    @classmethod
    def of(cls, task: TaskConfig, mode: str, seen: Look | None = None) -> Sizes:
        """Returns the sizes of a task in a mode; a state that was not seen counts as 32 numbers."""
        pixels = task.observation == "pixels"
        colours = 1 if task.env.grayscale else 3
        state, actions = (seen.shape[0], seen.actions) if seen else (_STATE_SIZE, _ACTION_SIZE)
        latents = task.vae.z_dim if pixels else state
        hidden = task.mdnrnn.rnn_size
        chosen = task.controller
        read = ("z" in chosen.features) + ("dz" in chosen.features)
        features = latents * read + hidden * ("h" in chosen.features)
        by_gradients = chosen.solver == "ppo" and mode == "FULL"
        searched_linear = chosen.solver == "ppo" and not by_gradients
        hidden_sizes = () if searched_linear else chosen.hidden_sizes
        widths = (features, *hidden_sizes, actions)
        controller = sum(a * b + b for a, b in pairwise(widths))
        last_layer = (widths[-2] + 1) * widths[-1]
        polished = last_layer if chosen.polish_generations else 0
        moving = polished if by_gradients else controller
        searched = moving if moving > _LARGEST_COVARIANCE else moving**2
        return cls(
            observation=_PIXELS * colours if pixels else state * _FLOAT,
            latents=latents,
            vision=_vision_parameters(task, colours, mode) if pixels else latents,
            memory=_memory_parameters(task, latents, actions, mode),
            controller=controller,
            solver=4 * searched + 3 * chosen.population_size * controller * (moving > 0),
            practice=_practice(task, features, latents, widths) if by_gradients else 0,
        )


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
    moments: list[list[Need]] = [[]]
    for task in config.tasks:
        mode = modes.get(task.name)
        if mode is None:
            continue
        always = [_processes(task, mode, workers), _environments(task, mode, workers)]
        sizes = Sizes.of(task, mode, seen.get(task.name))
        moments += [
            [*always, _collecting(task, sizes, workers)],
            [*always, _seeing(task, sizes, mode)],
            [*always, _remembering(task, sizes, mode)],
            [*always, _searching(task, sizes, workers)],
        ]
    return max(moments, key=lambda needs: sum(n.bytes for n in needs))


def disk_needs(config: Config, modes: Mapping[str, str], seen: Seen = NOTHING_SEEN) -> list[Need]:
    """Returns what a run will write at most, if every collected episode is as long as it may be."""
    needs = []
    rounds = config.curriculum.rounds
    for task in config.tasks:
        mode = modes.get(task.name)
        if mode is None:
            continue
        sizes, collect = Sizes.of(task, mode, seen.get(task.name)), task.collect
        steps = collect.max_steps_per_rollout + 1
        if task.env.max_episode_steps:
            steps = min(steps, task.env.max_episode_steps + 1)
        per_round = [collect.num_random_rollouts, *[collect.num_policy_rollouts] * (rounds - 1)]
        rows = sum(per_round) * steps
        row = sizes.observation + _FLOAT * (_ACTION_SIZE + 1) + 1
        keys = "collect.num_random_rollouts, collect.num_policy_rollouts"
        keys += " or collect.max_steps_per_rollout"
        needs.append(Need(f"{task.name}: collected episodes", rows * row, keys))
        # Every round encodes all rows there are by then, a mean and a log variance each.
        encoded = sum(sum(per_round[: number + 1]) for number in range(rounds)) * steps
        latents = 2 * _FLOAT * sizes.latents
        needs.append(Need(f"{task.name}: latents", encoded * latents, f"{keys} or vae.z_dim"))
        saved = 3 * (sizes.vision + sizes.memory) + 2 * (sizes.solver + sizes.controller)
        saved += sizes.practice // (3 * _FLOAT)
        commits = rounds * _COMMITS_ON_DISK * _FLOAT * saved
        needs.append(Need(f"{task.name}: commits", commits, "mdnrnn.rnn_size or vae.z_dim"))
    return needs


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
    size = (1 + workers) * PROCESS_BYTES[mode]
    what = f"{task.name}: {workers} worker processes and this one in mode {mode}"
    return Need(what, size, "curriculum.workers")


def _environments(task: TaskConfig, mode: str, workers: int) -> Need:
    kind = (size for name, size in ENV_BYTES.items() if task.env_id.startswith(name))
    each = SIMULATION_BYTES if mode == "SIMULATION" else next(kind, OTHER_ENV_BYTES)
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
    if task.observation != "pixels":
        per_row = 4 * sizes.latents
    elif mode == "FULL":
        # Measured: 84 MiB with one colour and 123 with three, for 128 frames of 64 x 64.
        per_row = 30 * _PIXELS + 10 * sizes.observation
    else:
        per_row = 5 * sizes.observation
    batch = task.vae.batch_size * per_row * _FLOAT
    return _learning(task, "V", sizes.vision, batch, "vae.batch_size or vae.z_dim")


def _remembering(task: TaskConfig, sizes: Sizes, mode: str) -> Need:
    rnn = task.mdnrnn
    latents = sizes.latents
    per_step = 8 * rnn.rnn_size
    if mode == "FULL":
        # Measured: 70 MiB for 64 sequences of 32 steps with Z = 32, K = 5 and R = 256.
        per_step = 40 * rnn.num_mixtures * latents + 11 * rnn.rnn_size
    batch = rnn.batch_size * rnn.sequence_length * per_step * _FLOAT
    keys = "mdnrnn.batch_size, mdnrnn.sequence_length, mdnrnn.num_mixtures or mdnrnn.rnn_size"
    if task.observation == "state":
        keys = f"the {latents:,} numbers of a state, by a wrapper, or {keys}"
    return _learning(task, "M", sizes.memory, batch, keys)


def _learning(task: TaskConfig, name: str, parameters: int, batch: int, keys: str) -> Need:
    # Weights, gradient and two moments; the last good state and the commit hold three each.
    size = (4 + 3 + 3) * parameters * _FLOAT + batch
    return Need(f"{task.name}: {name} learning, {parameters:,} parameters", size, keys)


def _searching(task: TaskConfig, sizes: Sizes, workers: int) -> Need:
    chosen, dream = task.controller, task.dream
    together = dream.num_envs if chosen.train_in_dream else task.env.num_envs
    states = max(1, workers) * together * (2 * task.mdnrnn.rnn_size + sizes.latents) * _FLOAT
    shared = max(1, workers) * (sizes.vision + sizes.memory) * 3 * _FLOAT
    # Solvers compute in double precision.
    size = 2 * 2 * _FLOAT * sizes.solver + states + shared + sizes.practice
    return Need(
        f"{task.name}: the search over {sizes.controller:,} parameters of C",
        size,
        "controller.hidden_sizes, controller.population_size, mdnrnn.rnn_size or vae.z_dim",
    )


def _practice(task: TaskConfig, features: int, latents: int, widths: tuple[int, ...]) -> int:
    loop = task.training
    valued = (features, *(task.ppo.value_sizes or widths[1:-1]), 1)
    parameters = sum(a * b + b for sizes in (widths, valued) for a, b in pairwise(sizes))
    learner = (4 + 3 + 3) * parameters * _FLOAT
    if loop.branches and loop.memory_updates:
        learner += loop.recall_steps * loop.num_envs * (2 * latents + widths[-1] + 2) * _FLOAT
    # Each step is held as it was played, as a tensor, and once more in the order of an epoch.
    played = 3 * loop.reuse * loop.num_steps * loop.num_envs + 3 * loop.branches * loop.branch_steps
    states = 3 * (loop.num_envs + 2 * loop.branches) * (2 * task.mdnrnn.rnn_size + 3 * latents)
    tape = 2 * 2 * loop.num_envs * 2 * loop.reseed_steps
    return learner + (played * (features + 8) + states) * _FLOAT + tape


def _vision_parameters(task: TaskConfig, colours: int, mode: str) -> int:
    latents, channels = task.vae.z_dim, task.vae.channels
    if mode != "FULL":
        # Products of all pairs of pooled values, in double precision, and maps of moments.
        return 2 * _POOLED * (_POOLED + latents) + 12 * _PIXELS * colours
    folded, first = _FOLD**2 * colours, channels[0]
    outer = 2 * folded * first + first + folded
    inner = 2 * sum(16 * a * b + max(a, b) for a, b in pairwise(channels))
    flat = _PIXELS // (_FOLD**2 * 4 ** (len(channels) - 1)) * channels[-1]
    return outer + inner + 3 * flat * latents + flat + 2 * latents


def _memory_parameters(task: TaskConfig, latents: int, actions: int, mode: str) -> int:
    hidden = task.mdnrnn.rnn_size
    if mode != "FULL":
        features = hidden + 2 * latents + actions + 1
        return 2 * features * (features + latents)
    heads = 3 * task.mdnrnn.num_mixtures * latents + 2
    return 4 * hidden * (latents + actions + hidden + 2) + (hidden + 1) * heads
