"""What the options of `run` mean: keys that they set, tasks and stages that they name, and which of
them can do nothing as things are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from curriculum.cli.arguments.running import NUMBERS, SHORTCUTS
from curriculum.cli.probing import probe_limit
from curriculum.config.schema import Config, TaskConfig
from curriculum.envs.aliases import atari_game, resolve
from curriculum.errors import ConfigError
from curriculum.progress import STAGES
from curriculum.records.rundir import RunDir
from curriculum.tasks import load_config

GOES_ON = ("auto", "never")
"""Values of `--resume` that are no directory."""

USUAL = "default"
"""The configuration of a run that names only its tasks."""

_SEARCHES = ("auto", "cma", "es")


def config_path(args: argparse.Namespace) -> Path:
    """Returns the configuration that is meant: the one named, a run's own, or the usual one.

    Raises:
        ConfigError: nothing says what to run.
    """
    if args.config is not None:
        return Path(args.config)
    if args.resume not in GOES_ON:
        return _named_run(args).config_path
    if args.tasks:
        return Path(USUAL)
    raise ConfigError(
        "nothing says what to run: name a configuration (default, quick, simulation, dreams or a "
        "YAML file), or tasks with --tasks or --env"
    )


def directory_of(args: argparse.Namespace, config: Config) -> Path:
    """Returns where a run is, or will be.

    Raises:
        ConfigError: two directories are named, or there is no run to go on with.
    """
    if args.resume not in GOES_ON:
        return _named_run(args).path
    return Path(args.run_dir) if args.run_dir else Path(config.run_dir) / config.name


def stages_of(args: argparse.Namespace) -> tuple[str, ...]:
    """Returns the stages that are named, in their order, without those left out."""
    wanted = set(args.stages or STAGES) - set(args.skipped)
    if not wanted:
        raise ConfigError("no stage is left: name others, or skip fewer")
    return tuple(stage for stage in STAGES if stage in wanted)


def sets_of(args: argparse.Namespace, say: Callable[[str], None]) -> list[str]:
    """Turns every option into the `--set` it stands for; `--set` itself comes last and wins.

    Args:
        args: of `run`.
        say: is told what a name was taken for.
    """
    sets = []
    if args.seed is not None:
        sets.append(f"seed={args.seed}")
    if args.tasks:
        named = task_names(args.tasks, load_config(config_path(args)).tasks, say)
        sets.append(f"curriculum.tasks=[{', '.join(named)}]")
    for option in ("mode", "device"):
        if getattr(args, option):
            sets.append(f"curriculum.{option}={getattr(args, option)}")
    for option, key in SHORTCUTS.items():
        value = getattr(args, option)
        if value is not None:
            sets.append(f"{key}={json.dumps(value)}")
    return [*sets, *probe_limit(args), *args.sets]


def task_names(
    given: Sequence[str], tasks: Sequence[TaskConfig], say: Callable[[str], None]
) -> list[str]:
    """Returns the tasks that are meant by their names, or by the ids of their games.

    Args:
        given: what was typed.
        tasks: of the configuration.
        say: is told where an id is played by other rules than its own.

    Raises:
        ConfigError: an id of a game is that of no task.
    """
    names = {task.name for task in tasks}
    return [name if name in names else _of_game(name, tasks, say) for name in given]


def _of_game(given: str, tasks: Sequence[TaskConfig], say: Callable[[str], None]) -> str:
    try:
        found, _ = resolve(given)
    except ConfigError:
        return given  # no id either: the configuration says which tasks there are
    if found == given and "-" not in given and "/" not in given:
        return given
    for task in tasks:
        same, game = resolve(task.env_id)[0], atari_game(found)
        if found == same or (game is not None and game.rom == _rom(same)):
            if found != same:
                say(
                    f"{given} is the task {task.name}, which is played as {task.env_id}; "
                    f"--set tasks.{task.name}.env_id={given} plays it by its own rules"
                )
            return task.name
    raise ConfigError(
        f"{given} is the game of no task: there are {', '.join(task.name for task in tasks)}. "
        f"Three lines in a YAML file make it one:\n"
        f"  tasks:\n    mine: {{env_id: {found}, observation: state, target: 475}}\n"
        "with pixels instead of state where it is seen, and the score that passes; --tasks mine "
        "then runs it alone"
    )


def _rom(env_id: str) -> str | None:
    game = atari_game(env_id)
    return None if game is None else game.rom


def idle(args: argparse.Namespace, config: Config) -> Iterator[str]:
    """Tells which of the options that were given can do nothing, or less than they say, and why."""
    for option in NUMBERS:
        value, reason = getattr(args, option), _REASONS.get(option)
        reasons: dict[str, list[str]] = {}
        if reason is None or value is None:
            continue
        for task in config.tasks:
            if why := reason(task):
                reasons.setdefault(why, []).append(task.name)
        for why, names in reasons.items():
            yield f"--{option.replace('_', '-')} {value}: {why} ({', '.join(names)})"


def _no_search(task: TaskConfig) -> str:
    solver = task.controller.solver
    if solver in _SEARCHES:
        return ""
    return f"it does nothing where C is learned by {solver}; --solver cma searches"


def _epochs_of_v(task: TaskConfig) -> str:
    if task.observation != "pixels":
        return "it does nothing where states are seen, which are normalised without epochs"
    return _capped("vae", task.vae.max_steps)


def _epochs_of_m(task: TaskConfig) -> str:
    return _capped("mdnrnn", task.mdnrnn.max_steps)


def _capped(section: str, updates: int) -> str:
    if not updates:
        return ""
    key = f"{section}.max_steps"
    return f"{key} ends it after {updates:,} updates; --set {key}=0 does not"


_REASONS: Mapping[str, Callable[[TaskConfig], str]] = {
    "cma_pop_size": _no_search,
    "cma_generations": _no_search,
    "rollouts_per_candidate": _no_search,
    "vae_epochs": _epochs_of_v,
    "mdnrnn_epochs": _epochs_of_m,
}


def _named_run(args: argparse.Namespace) -> RunDir:
    path = Path(args.resume)
    if not RunDir.exists(path):
        raise ConfigError(
            f"--resume {path}: there is no run; name the directory of one, or auto or never"
        )
    if args.run_dir and Path(args.run_dir).resolve() != path.resolve():
        raise ConfigError(f"--resume {path} and --run-dir {args.run_dir} name two runs: name one")
    return RunDir.open(path)
