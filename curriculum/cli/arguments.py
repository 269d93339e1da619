"""What can be typed: every command, option and example; importing this loads only argparse."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from curriculum import series
from curriculum.lists import names, seeds
from curriculum.progress import STAGES

MODES = ("auto", "FULL", "GYM_ONLY", "SIMULATION")

CONFIG_HELP = "YAML file, or default, quick, simulation or dreams, which come along"

SHORTCUTS = {
    "num_random_rollouts": "collect.num_random_rollouts",
    "vae_epochs": "vae.epochs",
    "mdnrnn_epochs": "mdnrnn.epochs",
    "cma_pop_size": "controller.population_size",
    "cma_generations": "controller.generations",
    "rollouts_per_candidate": "controller.rollouts_per_candidate",
    "train_in_dream": "controller.train_in_dream",
}
"""Options that set one configuration key for every task."""

EPILOG = """\
examples:
  python -m curriculum run configs/quick.yaml                 all four tasks in minutes
  python -m curriculum run configs/default.yaml --tasks pong  one task, full budgets
  python -m curriculum run configs/default.yaml --seeds 0-4 --jobs 2   five runs, one report
  python -m curriculum resume runs/default                    go on after any stop
  python -m curriculum evaluate runs/default --episodes 100   score again, on other seeds
  python -m curriculum evaluate --pretrained pong             score an agent that is shipped
  python -m curriculum report runs/default                    tables from the ledger

exit codes: 0 all targets met, 1 internal error, 2 usage or configuration, 3 a target missed,
  4 component missing, 5 no usable checkpoint, 6 run directory locked, 7 I/O error,
  8 an environment or plugin of yours failed,
  75 stopped but resumable, 130 Ctrl-C, 143 SIGTERM (both after a commit)
"""


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of `python -m curriculum`."""
    parser = argparse.ArgumentParser(
        prog="python -m curriculum",
        description="Learns world models on a curriculum of games; steps down, does not fall over.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show which version this is")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_run(commands)
    _add_resume(commands)
    _add_inspection(commands)
    _add_evaluate(commands)
    _add_play(commands)
    _add_laps(commands)
    _add_export(commands)
    return parser


class _Version(argparse.Action):
    """Prints the version, which is looked up only where it is asked for."""

    def __init__(self, option_strings, dest, **more) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **more)

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from diagnostics.distribution import NAME, version

        print(f"{NAME} {version()}, Python {sys.version.split()[0]}")
        parser.exit()


def of_several_seeds(args: argparse.Namespace) -> bool:
    """Tells whether a command is about runs of several seeds, and so has no engine of its own."""
    if args.command == "run":
        return args.seeds is not None
    runs = [args.run] if args.command == "resume" else vars(args).get("runs", [])
    return len(runs) == 1 and series.exists(Path(runs[0]))


def duration(text: str) -> float:
    """Reads `90`, `90s`, `30m`, `2h` or `1h30m` as seconds."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
    if not text or match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s, 30m, 2h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def seconds(text: str) -> float:
    """Reads a number of seconds; which ones are allowed, the configuration says."""
    try:
        return float(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from e


def positive(text: str) -> int:
    """Reads a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def natural(text: str) -> int:
    """Reads a whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def _command(commands, name: str, module: str, help: str, **more) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=help,
        description=more.pop("description", help),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )
    parser.set_defaults(module=module)
    return parser


def _add_display(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument("--quiet", action="store_true", help="show only the final table")


def _add_probe_timeout(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--probe-timeout",
        type=seconds,
        metavar="S",
        help="limit of one component probe, 5 to 60 (same as --set curriculum.timeout_seconds=S)",
    )


def _add_set(
    parser: argparse._ActionsContainer,
    help: str = "set a key over those it was learned with, e.g. --set evaluate.confidence=0.9",
) -> None:
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="K=V", help=help)


def _add_run(commands) -> None:
    run = _command(
        commands,
        "run",
        "run_commands",
        "walk the tasks of a configuration",
        description=(
            "Walk the tasks of a configuration. The run directory keeps everything; running the\n"
            "same command again goes on where the last one stopped."
        ),
    )
    run.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    _add_what(run.add_argument_group("what to run"))
    _add_where(run.add_argument_group("where and how long"))
    _add_keys(run.add_argument_group("configuration"))
    shown = run.add_argument_group("what to show")
    shown.add_argument(
        "--save-videos",
        action="store_true",
        default=None,
        help="GIFs of the agent; strips of reconstruction and dream as PNG",
    )
    shown.add_argument("--dry-run", action="store_true", help="show what would run, write nothing")
    _add_display(shown)


def _add_what(what: argparse._ActionsContainer) -> None:
    what.add_argument("--tasks", type=names, metavar="A,B", help="only these tasks, in this order")
    what.add_argument(
        "--stage",
        action="append",
        choices=STAGES,
        dest="stages",
        help="only this stage (repeat for more); the stages before it must be done",
    )
    what.add_argument("--preset", choices=("quick", "full"), help="budgets: minutes, or all of it")
    what.add_argument("--mode", choices=MODES, help="force a mode; exits 4 if it cannot be had")
    what.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where torch computes")


def _add_where(where: argparse._ActionsContainer) -> None:
    where.add_argument(
        "--run-dir", metavar="D", help="directory of this run (default: runs/<name>)"
    )
    where.add_argument(
        "--resume",
        choices=("auto", "never"),
        default="auto",
        help="auto goes on with a run that is there, never refuses to (default: auto)",
    )
    where.add_argument(
        "--fork",
        metavar="RUN",
        help="start this run from another one: take over what the configuration leaves as it was",
    )
    where.add_argument(
        "--max-time", type=duration, metavar="T", help="commit and stop after 2h, 30m, …"
    )
    _add_step_down(where)
    _add_plugins(where)
    _add_probe_timeout(where)


def _add_keys(numbers: argparse._ActionsContainer) -> None:
    numbers.add_argument("--seed", type=int, metavar="N", help="root of all randomness")
    numbers.add_argument(
        "--seeds",
        type=seeds,
        metavar="A-B",
        help="a run for each of these seeds, e.g. 0-4 or 0,2,5, and one report over them",
    )
    _add_jobs(numbers)
    _add_set(numbers, "set any key, e.g. --set vae.beta=0.1 or --set tasks.pong.target=10")
    for option, key in SHORTCUTS.items():
        flag = "--" + option.replace("_", "-")
        if option == "train_in_dream":
            numbers.add_argument(
                flag,
                action=argparse.BooleanOptionalAction,
                default=None,
                help="search the controller inside M, or in the environment",
            )
        else:
            numbers.add_argument(flag, type=positive, metavar="N", help=f"same as --set {key}=N")


def _add_jobs(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="runs of several seeds at the same time; they share the cores (default: 1)",
    )


def _add_resume(commands) -> None:
    resume = _command(commands, "resume", "run_commands", "go on with a stopped run")
    resume.add_argument("run", metavar="RUN", help="a run directory, or that of several seeds")
    resume.add_argument("--max-time", type=duration, metavar="T", help="commit and stop after this")
    _add_jobs(resume)
    _add_step_down(resume)
    _add_plugins(resume)
    _add_probe_timeout(resume)
    _add_display(resume)


def _add_plugins(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--plugins",
        type=names,
        default=[],
        metavar="A,B",
        help="modules that the run may import: those it was started with, if you trust them",
    )


def _add_step_down(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--step-down",
        action="store_true",
        help="go on in a lesser mode where the one that a task was begun in cannot be had",
    )


def _add_inspection(commands) -> None:
    validate = _command(
        commands, "validate", "inspect_commands", "check a configuration and show what it means"
    )
    validate.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    _add_set(validate, "set any key")
    validate.add_argument("--preset", choices=("quick", "full"), help="budgets laid over it")
    validate.add_argument("--full", action="store_true", help="print the resolved configuration")

    init = _command(
        commands, "init", "inspect_commands", "write a configuration of your own to edit"
    )
    init.add_argument(
        "name", nargs="?", default="default", metavar="NAME", help="which to begin with (default)"
    )
    init.add_argument("--out", metavar="FILE", help="where to write it (NAME.yaml)")
    init.add_argument("--force", action="store_true", help="write over a file that is there")

    tasks = _command(commands, "tasks", "inspect_commands", "list the tasks and their targets")
    tasks.add_argument("config", nargs="?", metavar="CONFIG", help="a configuration's tasks")
    tasks.add_argument("--json", action="store_true", help="print JSON")

    report = _command(commands, "report", "inspect_commands", "tables of one run or several")
    report.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    report.add_argument("--json", action="store_true", help="print JSON")
    report.add_argument(
        "--html", metavar="FILE", help="also write them as a page with curves (needs matplotlib)"
    )


def _add_evaluate(commands) -> None:
    evaluate = _command(
        commands,
        "evaluate",
        "play_commands",
        "score an agent again, on fresh seeds",
        description=(
            "Scores the agents of a run, or a pretrained one, on seeds that neither training nor\n"
            "the run's evaluation used. Exits 0 if the policy that judges reaches the target:\n"
            "the one that evaluate.sampled chooses, or the only one that is asked for; else 3."
        ),
    )
    _add_agent(evaluate)
    evaluate.add_argument(
        "--episodes", type=positive, default=100, metavar="N", help="default: 100"
    )
    evaluate.add_argument(
        "--task", "--tasks", type=names, dest="tasks", metavar="A,B", help="only these tasks"
    )
    evaluate.add_argument(
        "--seed", type=natural, default=1, metavar="N", help="of the episodes (default: 1)"
    )
    evaluate.add_argument("--greedy", action="store_true", help="only the most likely actions")
    evaluate.add_argument("--sampled", action="store_true", help="only actions drawn from C")
    evaluate.add_argument(
        "--workers", type=natural, metavar="N", help="processes; results do not depend on it"
    )
    evaluate.add_argument(
        "--env-id", metavar="ID", help="play here instead; it must look and act alike"
    )
    evaluate.set_defaults(dream=False)
    _add_probe_timeout(evaluate)
    _add_set(evaluate)
    _add_display(evaluate)


def _add_play(commands) -> None:
    play = _command(commands, "play", "play_commands", "watch an agent, for real or in its dream")
    _add_agent(play)
    play.add_argument(
        "--task", metavar="T", help="which task (default: the first that was learned)"
    )
    play.add_argument("--dream", action="store_true", help="play inside M and decode its latents")
    play.add_argument("--gif", metavar="F", help="write the episode to this file")
    play.add_argument("--seed", type=natural, default=1, metavar="N", help="of the episode")
    _add_probe_timeout(play)
    _add_set(play)


def _add_laps(commands) -> None:
    laps = _command(
        commands,
        "laps",
        "play_commands",
        "see what becomes of a driver's laps, in numbers and a picture",
        description=(
            "Drives greedy laps on fresh seeds and tells of each how many tiles were visited and\n"
            "left behind, when the car came round, and where it left the road. The picture shows\n"
            "the worst and the median lap, missed tiles marked. CarRacing tells of laps."
        ),
    )
    _add_agent(laps)
    laps.add_argument(
        "--task", metavar="T", help="which task (default: the first that was learned)"
    )
    laps.add_argument("--episodes", type=positive, default=20, metavar="N", help="default: 20")
    laps.add_argument(
        "--seed", type=natural, default=1, metavar="N", help="of the episodes (default: 1)"
    )
    laps.add_argument("--png", metavar="F", help="write the picture to this file")
    laps.add_argument(
        "--workers", type=natural, metavar="N", help="processes; results do not depend on it"
    )
    laps.set_defaults(dream=False)
    _add_probe_timeout(laps)
    _add_set(laps)
    _add_display(laps)


def _add_export(commands) -> None:
    export = _command(
        commands, "export", "export_commands", "write a run's agent as a directory to hand on"
    )
    export.add_argument("run", metavar="RUN", help="a run directory")
    export.add_argument("--task", metavar="T", help="which task, if the run has several")
    export.add_argument(
        "--to", required=True, metavar="D", help="directory, e.g. models/pretrained/pong"
    )
    export.add_argument(
        "--why", default="", metavar="TEXT", help="why this run and seed, for the card"
    )
    _add_probe_timeout(export)
    _add_set(export)


def _add_agent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--pretrained",
        metavar="NAME",
        help="instead of RUN: an agent in models/pretrained, or a directory that export wrote",
    )
    _add_plugins(parser)
