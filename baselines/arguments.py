"""The command line of the baselines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from curriculum.lists import names, seeds

if TYPE_CHECKING:
    from baselines.matrix.cells import Cell

EPILOG = """\
examples:
  python -m baselines random --task lunarlander
  python -m baselines ppo --task lunarlander --steps 500000 --episodes 100
  python -m baselines ppo --tasks lunarlander,pong --seeds 0-4 --jobs 2 --steps 2500000
  python -m baselines ppo --task pong --setting stock --steps 2500000
  python -m baselines evaluate runs/baselines/ppo-lunarlander-seed0 --episodes 100 --seed 7
  python -m baselines claim sooner --ours configs/default.yaml --tasks lunarlander --seeds 0-4 \
    --steps 500000
  python -m baselines compare runs/default --baseline runs/baselines --html study.html
  python -m baselines throughput --pretrained pong
  python -m baselines ablate no-memory linear --task pong --seeds 0,1,2

A baseline plays by the rules of the task's `env` section, true scores included, and leaves
events.jsonl and result.json in OUT/<algo>-<task>-seed<N>/ (what learns also
policy.safetensors and commits); with --setting stock in OUT/<algo>-stock-<task>-seed<N>/.
exit codes: 0 done, 2 usage, 4 component missing, 7 I/O error, 130 Ctrl-C, 143 SIGTERM
"""


def parser() -> argparse.ArgumentParser:
    """Returns what reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m baselines",
        description="Baselines in the very environments that our agents are judged in.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    random = commands.add_parser("random", help="uniform random actions: the floor")
    random.add_argument("--task", required=True, metavar="T", help="e.g. lunarlander")
    random.add_argument("--seed", type=_natural, default=0, metavar="N", help="root of randomness")
    _add_playing(random)
    _add_training(commands)
    _add_opened(commands)
    _add_claim(commands)
    _add_compare(commands)
    _add_throughput(commands)
    _add_ablate(commands)
    return parser


def _add_opened(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds what is done with a training that is finished."""
    evaluate = commands.add_parser("evaluate", help="score a trained baseline on other episodes")
    evaluate.add_argument("--episodes", type=_positive, default=100, metavar="N", help="(100)")
    evaluate.add_argument("--json", metavar="FILE", help="write it as data; - is stdout")
    play = commands.add_parser("play", help="play one episode with a trained baseline")
    play.add_argument(
        "--film",
        "--gif",
        type=Path,
        dest="film",
        metavar="FILE",
        help="write the episode to this file, .gif or .mp4",
    )
    for parser in (evaluate, play):
        parser.add_argument(
            "baseline", type=Path, metavar="DIR", help="of a training, e.g. runs/baselines/ppo-…"
        )
        parser.add_argument(
            "--seed", type=_natural, default=1, metavar="N", help="root of the episodes' seeds (1)"
        )
        parser.add_argument("--sampled", action="store_true", help="draw actions, not the best")


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "compare",
        help="our runs beside baselines: Markdown, a page, or JSON",
        description=(
            "Holds runs of ours against baselines, task by task: scores and how much runs differ, "
            "when the target was reached, and what is better as far as these runs can tell. "
            "Runs that are not finished, stepped down or simulated are named and counted in "
            "nothing."
        ),
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directories, or series of runs"
    )
    parser.add_argument(
        "--baseline",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="each holds finished baselines",
    )
    parser.add_argument(
        "--claim", nargs="+", type=Path, default=[], metavar="DIR", help="made before the runs"
    )
    parser.add_argument("--md", "--out", metavar="FILE", help="write the Markdown here too")
    parser.add_argument("--html", metavar="FILE", help="write one self-contained page")
    parser.add_argument("--json", metavar="FILE", help="write all of it as data; - is stdout")
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="write the figures there, an SVG file each"
    )
    parser.add_argument(
        "--films", action="store_true", help="play an episode of each side for the page"
    )
    parser.add_argument(
        "--seed", type=_natural, default=1, metavar="N", help="of the films' episodes (1)"
    )


def _add_claim(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "claim",
        help="write down what a comparison will show, before its runs begin",
        description=(
            "Writes a plan and its hash into OUT/NAME: our configuration with every key, the "
            "baseline's settings, seeds, and what ours will be better by. `compare --claim` then "
            "says whether it was kept: by the runs that the plan names, all of them, begun later, "
            "with the settings it names; where the interval over runs does not decide, it says so."
        ),
    )
    parser.add_argument("name", metavar="NAME", help="of the claim")
    parser.add_argument("--tasks", type=names, required=True, metavar="T,U", help="each by itself")
    parser.add_argument("--seeds", type=seeds, required=True, metavar="S", help="e.g. 0-4")
    parser.add_argument(
        "--metric",
        choices=("steps-to-target", "minutes-to-target", "score"),
        default="steps-to-target",
        help="what ours will be better by (steps-to-target)",
    )
    parser.add_argument(
        "--times",
        type=_ratio,
        default=1.0,
        metavar="R",
        help="ours will need more than so many times fewer steps or minutes (1)",
    )
    parser.add_argument(
        "--ours", dest="config", type=Path, required=True, metavar="CONFIG", help="our YAML file"
    )
    _add_judging(parser, "runs/claims")
    _add_learning(parser, algo="--against")


def _add_training(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "ppo",
        help="PPO, DQN or SAC of Stable-Baselines3 with rl-zoo hyper-parameters",
        description=(
            "Trains a learner of Stable-Baselines3 and judges it as our agents are judged. "
            "Stopped or killed, the same command goes on from the newest commit and comes to "
            "the same result. With several tasks or seeds each training has a process of its own, "
            "and report.md tells of all."
        ),
    )
    tasks = parser.add_mutually_exclusive_group(required=True)
    tasks.add_argument("--task", metavar="T", help="e.g. lunarlander")
    tasks.add_argument("--tasks", type=names, metavar="T,U", help="several of them")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seed", type=_natural, default=0, metavar="N", help="root of randomness")
    which.add_argument("--seeds", type=seeds, metavar="S", help="several, e.g. 0-4 or 0,2,5")
    parser.add_argument(
        "--jobs", type=_positive, default=1, metavar="N", help="trainings at the same time (1)"
    )
    _add_playing(parser)
    _add_learning(parser)


def _add_learning(parser: argparse.ArgumentParser, algo: str = "--algo") -> None:
    parser.add_argument(
        algo,
        choices=("ppo", "dqn", "sac"),
        default="ppo",
        help="what learns: ppo; or, of states, dqn for discrete and sac for continuous actions",
    )
    parser.add_argument(
        "--setting",
        choices=("same", "stock"),
        default="same",
        help="same: our environments, so that only the learning differs; stock: the wrappers and "
        "batches of Stable-Baselines3 and its zoo",
    )
    parser.add_argument("--steps", type=_positive, required=True, metavar="N", help="of training")
    parser.add_argument(
        "--evaluations", type=_positive, default=10, metavar="N", help="of the curve"
    )
    parser.add_argument(
        "--sampled", action="store_true", help="judge by drawn actions, not the best"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where torch computes"
    )
    parser.add_argument(
        "--commit-steps",
        type=_positive,
        default=100_000,
        metavar="N",
        help="steps between two commits, at which all episodes begin anew (100000)",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        dest="params",
        metavar="K=V",
        help="change a hyper-parameter, named as there: e.g. learning_rate=lin_1e-4",
    )


def single_arguments(args: argparse.Namespace, cell: Cell) -> list[str]:
    """Returns the command line that trains one of several."""
    return ["ppo", "--task", cell.task, "--seed", str(cell.seed), *_shared(args)]


def matrix_arguments(
    args: argparse.Namespace, tasks: Sequence[str], seeds: Sequence[int]
) -> list[str]:
    """Returns the command line that trains them all."""
    those = ["--tasks", ",".join(tasks), "--seeds", ",".join(map(str, seeds))]
    return ["ppo", *those, "--jobs", str(args.jobs), *_shared(args)]


def run_commands(args: argparse.Namespace) -> list[list[str]]:
    """Returns the commands of the runs that a claim names, ours first."""
    those = ["--seeds", ",".join(map(str, args.seeds))]
    sets = [word for pair in args.sets for word in ("--set", pair)]
    tasks = ["--tasks", ",".join(args.tasks)]
    ours = ["python", "-m", "curriculum", "run", str(args.config), *tasks, *those, *sets]
    theirs = ["python", "-m", "baselines", "ppo", *tasks, *those, "--algo", args.against]
    for name in ("setting", "steps", "episodes", "evaluations", "commit_steps", "config"):
        theirs += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    return [ours, [*theirs, *(["--sampled"] if args.sampled else []), *_params(args), *sets]]


def compare_arguments(args: argparse.Namespace) -> list[str]:
    """Returns the command line that makes a comparison again."""
    words = ["compare", *map(str, args.runs), "--baseline", *map(str, args.baseline)]
    words += ["--claim", *map(str, args.claim)] if args.claim else []
    files = [[f"--{name}", getattr(args, name)] for name in ("md", "html", "json", "figures")]
    words += [str(word) for pair in files if pair[1] is not None for word in pair]
    return [*words, *(["--films", "--seed", str(args.seed)] if args.films else [])]


def _shared(args: argparse.Namespace) -> list[str]:
    given = ("algo", "setting", "steps", "episodes", "evaluations", "device", "commit_steps")
    words: list[str] = []
    for name in (*given, "out", "config", "probe_timeout"):
        value = getattr(args, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += [*(["--sampled"] if args.sampled else []), *_params(args)]
    return [*words, *(word for pair in args.sets for word in ("--set", pair))]


def _params(args: argparse.Namespace) -> list[str]:
    return [word for pair in args.params for word in ("--param", pair)]


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
    parser.add_argument(
        "--config", type=Path, metavar="C", help="take the task from this YAML file"
    )
    _add_judging(parser, "runs/baselines")


def _add_judging(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument("--episodes", type=_positive, default=20, metavar="N", help="of the score")
    parser.add_argument(
        "--out", type=Path, default=Path(out), metavar="DIR", help=f"parent directory ({out})"
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


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return value


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_natural(part.strip()) for part in text.split(","))
