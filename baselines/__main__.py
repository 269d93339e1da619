"""`python -m baselines`: random play, PPO, and our runs beside them."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curriculum.errors import ComponentMissing, ConfigError, CurriculumError, ExitCode

if TYPE_CHECKING:
    from baselines.results import BaselineResult
    from curriculum.config.schema import TaskConfig
    from curriculum.envs.interface import VectorEnv
    from curriculum.records.ledger import Ledger

EPILOG = """\
examples:
  python -m baselines random --task lunarlander
  python -m baselines ppo --task lunarlander --steps 500000 --episodes 100
  python -m baselines compare runs/default --baseline runs/baselines --out comparison.md

A baseline plays by the rules of the task's `env` section, true scores included, and leaves
events.jsonl and result.json in OUT/<algo>-<task>-seed<N>/ (PPO also policy.safetensors).
exit codes: 0 done, 2 usage, 4 component missing, 7 I/O error, 130 Ctrl-C
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    args = _parser().parse_args(argv)
    try:
        return int(COMMANDS[args.command](args))
    except CurriculumError as e:
        print(f"error: {e}", file=sys.stderr)
        return int(e.exit_code)
    except KeyboardInterrupt:
        print("interrupted: a baseline is not resumed, run it again", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; without this, Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)


def play_random(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines random`."""
    from baselines import random_agent
    from baselines.results import open_ledger

    task, workers = _task(args)
    ledger = open_ledger(args.out, "random", task.name, args.seed)
    result = random_agent.play_random(
        task,
        lambda n: _make_env(task, n, workers, ledger),
        ledger,
        episodes=args.episodes,
        seed=args.seed,
        machine=_machine("cpu"),
    )
    return _say(result, args.out)


def train_ppo(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines ppo`."""
    from baselines.results import open_ledger

    task, workers = _task(args)
    try:
        from baselines.ppo import Plan
        from baselines.ppo import train_ppo as train
    except ImportError as e:
        raise ComponentMissing(
            f"PPO needs stable-baselines3 and torch, which cannot be imported ({e}): "
            "install them with `pip install stable-baselines3 torch`"
        ) from e
    plan = Plan(
        steps=args.steps,
        episodes=args.episodes,
        seed=args.seed,
        sampled=args.sampled,
        evaluations=args.evaluations,
        device=args.device,
    )
    ledger = open_ledger(args.out, "ppo", task.name, args.seed)
    result = train(
        task,
        lambda n: _make_env(task, n, workers, ledger),
        ledger,
        plan,
        machine=_machine(args.device),
        tell=lambda step, score: print(f"{step:>10,} steps: {score:.1f}", flush=True),
    )
    return _say(result, args.out)


def compare_run(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines compare`."""
    from baselines.compare import compare
    from curriculum.records.files import write_bytes

    text = compare(args.run, args.baseline)
    if args.out is not None:
        write_bytes(args.out, text.encode())
    print(text)
    return ExitCode.OK


COMMANDS: Mapping[str, Callable[[argparse.Namespace], ExitCode]] = {
    "random": play_random,
    "ppo": train_ppo,
    "compare": compare_run,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m baselines",
        description="Baselines in the very environments that our agents are judged in.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    random = commands.add_parser("random", help="uniform random actions: the floor")
    _add_playing(random)
    ppo = commands.add_parser("ppo", help="Stable-Baselines3's PPO with rl-zoo hyper-parameters")
    _add_playing(ppo)
    ppo.add_argument("--steps", type=_positive, required=True, metavar="N", help="of training")
    ppo.add_argument("--evaluations", type=_positive, default=10, metavar="N", help="of the curve")
    ppo.add_argument("--sampled", action="store_true", help="judge by drawn actions, not the best")
    ppo.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where torch computes"
    )
    comparison = commands.add_parser("compare", help="a run beside its baselines, as Markdown")
    comparison.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    comparison.add_argument(
        "--baseline", type=Path, required=True, metavar="DIR", help="holds finished baselines"
    )
    comparison.add_argument("--out", type=Path, metavar="FILE", help="write the Markdown here too")
    return parser


def _add_playing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, metavar="T", help="e.g. lunarlander")
    parser.add_argument(
        "--config", type=Path, metavar="C", help="take the task from this YAML file"
    )
    parser.add_argument("--episodes", type=_positive, default=20, metavar="N", help="of the score")
    parser.add_argument("--seed", type=_natural, default=0, metavar="N", help="root of randomness")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/baselines"), metavar="DIR", help="parent directory"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def _task(args: argparse.Namespace) -> tuple[TaskConfig, int]:
    """Returns the task, and how many processes may hold its environments."""
    from curriculum.config.schema import CurriculumConfig
    from curriculum.tasks import builtin_tasks, load_config

    config = load_config(args.config) if args.config else None
    walk = config.curriculum if config else CurriculumConfig()
    tasks = {task.name: task for task in (config.tasks if config else builtin_tasks())}
    if args.task not in tasks:
        close = difflib.get_close_matches(args.task.lower(), tasks, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"there is no task {args.task!r}: there are {', '.join(tasks)}{meant}")
    return tasks[args.task], walk.env_workers


def _make_env(task: TaskConfig, num_envs: int, workers: int, ledger: Ledger) -> VectorEnv:
    from curriculum.backends.parts import real_env

    def on_event(facts: dict[str, Any]) -> None:
        ledger.append(facts["event"], **{k: v for k, v in facts.items() if k != "event"})

    def notice(text: str) -> None:
        print(text, file=sys.stderr)

    try:
        return real_env(task, num_envs, notice, workers=workers, on_event=on_event)
    except ImportError as e:
        raise ComponentMissing(
            f"{task.env_id} needs a package that cannot be imported ({e}): "
            "install it with `pip install 'gymnasium[box2d]' ale-py`"
        ) from e


def _machine(device: str) -> dict[str, Any]:
    from curriculum.cli.machine import hardware, versions

    return {"hardware": hardware(device), "versions": versions()}


def _say(result: BaselineResult, out: Path) -> ExitCode:
    directory = out / f"{result.algo}-{result.task}-seed{result.seed}"
    print(
        f"{result.task} ({result.playing}), {result.algo}: {result.score:.1f} over "
        f"{len(result.scores)} {result.policy} episodes, {result.env_steps:,} training steps; "
        f"written to {directory}"
    )
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
