"""`python -m baselines`: random play, PPO, and our runs beside them."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from curriculum.errors import ComponentMissing, ConfigError, CurriculumError, ExitCode

if TYPE_CHECKING:
    from baselines.results import BaselineResult
    from curriculum.config.schema import Config, TaskConfig
    from curriculum.envs.interface import VectorEnv
    from curriculum.records.ledger import Ledger

EPILOG = """\
examples:
  python -m baselines random --task lunarlander
  python -m baselines ppo --task lunarlander --steps 500000 --episodes 100
  python -m baselines compare runs/default --baseline runs/baselines --out comparison.md
  python -m baselines throughput --pretrained pong
  python -m baselines ablate no-memory linear --task pong --seeds 0,1,2

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

    task, workers = _task(args)
    _probe(task, args)
    ledger = _ledger("random", task, args)
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
    task, workers = _task(args)
    _probe(task, args, "torch", "stable_baselines3")
    try:
        from baselines.ppo import Training
        from baselines.ppo import train_ppo as train
    except ImportError as e:
        raise ComponentMissing(
            f"PPO needs stable-baselines3 and torch, which cannot be imported ({e}): "
            "install them with `pip install stable-baselines3 torch`"
        ) from e
    training = Training(
        steps=args.steps,
        episodes=args.episodes,
        seed=args.seed,
        sampled=args.sampled,
        evaluations=args.evaluations,
        device=args.device,
    )
    ledger = _ledger("ppo", task, args)
    result = train(
        task,
        lambda n: _make_env(task, n, workers, ledger),
        ledger,
        training,
        machine=_machine(args.device),
    )
    return _say(result, args.out)


def compare_run(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines compare`."""
    from baselines.compare import compare
    from curriculum.records.files import output_path, write_bytes

    out = None if args.out is None else output_path(args.out)
    text = compare(args.run, args.baseline)
    if out is not None:
        write_bytes(out, text.encode())
    print(text)
    return ExitCode.OK


def measure_throughput(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines throughput`."""
    from curriculum.cli.agents import opened
    from curriculum.tasks import chosen
    from diagnostics.bench.table import show_figures
    from diagnostics.json_report import write_json

    with opened(args) as agents:
        try:
            from baselines.throughput import throughput
        except ImportError as e:
            raise ComponentMissing(
                f"the comparison needs stable-baselines3 with its Atari extras, which cannot be "
                f"imported ({e}): install them with `pip install stable-baselines3 ale-py "
                f"opencv-python-headless`"
            ) from e
        one = agents.open(chosen(agents.config, [args.task] if args.task else [])[0], args.dream)
        found = throughput(agents.config, one.task, one.backend, one.agent, args.repeats)
    show_figures(found.figures, (), args.out)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.shares.items())
    print(f"where ours spent its time: {shares}", file=sys.stderr if args.out == "-" else None)
    if args.out:
        write_json(args.out, asdict(found))
    return ExitCode.OK


def run_ablations(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines ablate`."""
    from baselines.ablate import ablate, ablation_text, run_curriculum, study_of
    from curriculum.records.files import write_bytes

    given = (args.config, args.task, args.names, args.seeds, args.steps, args.episodes, args.out)
    study = study_of(*given)
    limit = ["--probe-timeout", str(args.probe_timeout)] if args.probe_timeout else []
    code = ablate(study, lambda arguments: run_curriculum([*arguments, *limit]))
    if code != ExitCode.OK:
        print("stopped: the same command goes on", file=sys.stderr)
        return code
    text = ablation_text(study)
    write_bytes(study.out / f"ablations-{study.task}.md", text.encode())
    print(text)
    return ExitCode.OK


COMMANDS: Mapping[str, Callable[[argparse.Namespace], ExitCode]] = {
    "random": play_random,
    "ppo": train_ppo,
    "compare": compare_run,
    "throughput": measure_throughput,
    "ablate": run_ablations,
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
    _add_throughput(commands)
    _add_ablate(commands)
    return parser


def _add_throughput(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "throughput",
        help="how fast C learns here, beside PPO, DQN or SAC of Stable-Baselines3 in turns",
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run directory, or else:")
    parser.add_argument("--pretrained", metavar="A", help="a shipped agent, or a directory of one")
    parser.add_argument("--task", metavar="T", help="of the run; its first one if not given")
    parser.add_argument(
        "--repeats", type=_positive, default=5, metavar="N", help="runs of each; medians are shown"
    )
    parser.add_argument(
        "--json", dest="out", metavar="FILE", help="also write the figures; - is stdout"
    )
    parser.set_defaults(dream=True)  # C learns here, in dreams too
    _add_probing(parser)


def _add_ablate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "ablate",
        help="what each part of the agent is worth",
        description=(
            "Learns a task with one part of its agent changed at a time, at one step budget and on "
            "the same seeds, beside the full agent. Parts: no-coarse, plain-mse (V), no-memory, "
            "random-memory (M), linear, fresh-noise, no-reuse (C); all that fit the task if none "
            "is named."
        ),
    )
    parser.add_argument("names", nargs="*", metavar="PART", help="only these")
    parser.add_argument(
        "--config", type=Path, default=Path("configs/default.yaml"), metavar="C", help="YAML file"
    )
    parser.add_argument("--task", default="pong", metavar="T", help="default: pong")
    parser.add_argument(
        "--seeds", type=_numbers, default=(0, 1, 2), metavar="A,B", help="default: 0,1,2"
    )
    parser.add_argument(
        "--steps", type=_positive, default=250_000, metavar="N", help="of C's practice in each run"
    )
    parser.add_argument("--episodes", type=_positive, default=100, metavar="N", help="of the score")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/ablations"), metavar="DIR", help="parent directory"
    )
    _add_probe_timeout(parser)


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
    _add_probing(parser)


def _add_probe_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--probe-timeout", type=float, metavar="S", help="limit of one component probe, 5 to 60"
    )


def _add_probing(parser: argparse.ArgumentParser) -> None:
    _add_probe_timeout(parser)
    parser.add_argument(
        "--set", action="append", default=[], dest="sets", metavar="K=V", help="set any key"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_natural(part.strip()) for part in text.split(","))


def _task(args: argparse.Namespace) -> tuple[TaskConfig, int]:
    """Returns the task, and how many processes may hold its environments."""
    config = _config(args)
    tasks = {task.name: task for task in config.tasks}
    if args.task not in tasks:
        close = difflib.get_close_matches(args.task.lower(), tasks, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"there is no task {args.task!r}: there are {', '.join(tasks)}{meant}")
    return tasks[args.task], config.curriculum.env_workers


def _config(args: argparse.Namespace) -> Config:
    """Reads the file that is named, or none, with what the command line lays over it."""
    from curriculum.cli.probing import probe_limit
    from curriculum.progress import say
    from curriculum.tasks import load_config

    sets = [*probe_limit(args), *args.sets]
    if args.config:
        return load_config(args.config, sets, notice=say)
    with TemporaryDirectory(prefix="baselines-") as directory:
        nothing = Path(directory) / "defaults.yaml"
        nothing.write_text("{}\n", encoding="utf-8")
        return load_config(nothing, sets, notice=say)


def _probe(task: TaskConfig, args: argparse.Namespace, *more: str) -> None:
    """Refuses a machine on which the baseline could not play, or would hang while it tries.

    Raises:
        ComponentMissing: with what was found and what mends it.
    """
    from curriculum.cli.probing import tell
    from curriculum.mode import TaskNeeds, decide
    from curriculum.runs.machine import machine_from, mending
    from curriculum.tasks import needs_of
    from diagnostics.cache import probe_all

    config = _config(args)
    timeout_s = config.curriculum.timeout_seconds
    needs = TaskNeeds((*needs_of(task).environment, *more), (), base=(), simulated=False)
    machine = machine_from(config, probe_all(timeout_s, names=needs.environment, notice=tell))
    decision = decide(machine.states, needs, details=machine.details)
    if decision.mode is None:
        found = decision.reasons[0].partition(": ")[2]
        raise ComponentMissing(
            f"this baseline cannot play {task.env_id}: {found}"
            f"{mending(machine, decision.missing, timeout_s)}"
        )


def _ledger(algo: str, task: TaskConfig, args: argparse.Namespace) -> Ledger:
    """Starts a baseline's ledger, whose events are told on stdout."""
    from baselines.lines import BaselineLines
    from baselines.results import open_ledger

    ledger = open_ledger(args.out, algo, task.name, args.seed)
    ledger.subscribe(BaselineLines(partial(print, flush=True)).on_event)
    return ledger


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
    from curriculum.runs.machine import hardware, versions

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
