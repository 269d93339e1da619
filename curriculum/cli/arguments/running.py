"""What `run` and `resume` take."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from curriculum.cli.arguments.readers import (
    SKIPPED,
    duration,
    mode,
    positive,
    sizes,
    stages,
    truth,
)
from curriculum.cli.arguments.shared import (
    CONFIG_HELP,
    PRESETS,
    add_display,
    add_plugins,
    add_probe_timeout,
    add_set,
    add_step_down,
    command,
)
from curriculum.lists import names, seeds

SHORTCUTS: Mapping[str, str] = {
    "num_random_rollouts": "collect.num_random_rollouts",
    "vae_epochs": "vae.epochs",
    "mdnrnn_epochs": "mdnrnn.epochs",
    "cma_pop_size": "controller.population_size",
    "cma_generations": "controller.generations",
    "rollouts_per_candidate": "controller.rollouts_per_candidate",
    "train_in_dream": "controller.train_in_dream",
    "hidden_sizes": "controller.hidden_sizes",
    "solver": "controller.solver",
    "tensorboard": "curriculum.tensorboard",
    "save_videos": "curriculum.save_videos",
    "experiment": "name",
}
"""Options that set one configuration key, for every task where it is a task's."""

NUMBERS = (
    "num_random_rollouts",
    "vae_epochs",
    "mdnrnn_epochs",
    "cma_pop_size",
    "cma_generations",
    "rollouts_per_candidate",
)
SOLVERS = ("auto", "cma", "es", "ppo", "qrdqn", "sac")


def add_run(commands) -> None:
    run = command(
        commands,
        "run",
        "run",
        "walk the tasks of a configuration",
        description=(
            "Walk the tasks of a configuration. The run directory keeps everything; running the\n"
            "same command again goes on where the last one stopped."
        ),
    )
    run.add_argument("config", nargs="?", metavar="CONFIG", help=CONFIG_HELP)
    _add_what(run.add_argument_group("what to run"))
    _add_where(run.add_argument_group("where and how long"))
    _add_keys(run.add_argument_group("configuration"))
    shown = run.add_argument_group("what to show")
    _add_switch(shown, "--save-videos", "GIFs of the agent; strips of what V and M make as PNG")
    _add_switch(shown, "--tensorboard", "write what TensorBoard shows, into the run directory")
    shown.add_argument("--dry-run", action="store_true", help="show what would run, write nothing")
    add_display(shown)


def _add_what(what: argparse._ActionsContainer) -> None:
    what.add_argument(
        "--tasks",
        "--env",
        "--env-list",
        type=names,
        dest="tasks",
        metavar="A,B",
        help="only these tasks, in this order; the id of a task's game names it too",
    )
    what.add_argument(
        "--stage",
        "--component",
        action="extend",
        type=stages,
        dest="stages",
        metavar="A,B",
        help="only these of collect, vision (vae), encode, memory (mdnrnn), controller and "
        "evaluate (eval), or all; what comes before them must be done",
    )
    for word, stage in SKIPPED.items():
        what.add_argument(
            f"--skip-{word}",
            action="append_const",
            const=stage,
            default=[],
            dest="skipped",
            help=f"leave {stage} as it is: it must be done",
        )
    what.add_argument(
        "--preset",
        choices=PRESETS,
        help="budgets: minutes (quick) or all of it (full); or the recipe of Ha & Schmidhuber 2018",
    )
    what.add_argument(
        "--mode",
        type=mode,
        metavar="M",
        help="force FULL, GYM_ONLY or SIMULATION, or auto; exits 4 if it cannot be had",
    )
    what.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where torch computes")


def _add_where(where: argparse._ActionsContainer) -> None:
    where.add_argument(
        "--run-dir",
        "--checkpoint-dir",
        dest="run_dir",
        metavar="D",
        help="directory of this run and its checkpoints (default: runs/<name>)",
    )
    where.add_argument(
        "--experiment", metavar="NAME", help="what the run is called (same as --set name=NAME)"
    )
    where.add_argument(
        "--resume",
        default="auto",
        metavar="R",
        help="auto goes on with a run that is there, never refuses to, the directory of a run goes "
        "on with that one (default: auto)",
    )
    where.add_argument(
        "--fork",
        metavar="RUN",
        help="start this run from another one: take over what the configuration leaves as it was",
    )
    where.add_argument(
        "--max-time", type=duration, metavar="T", help="commit and stop after 2h, 30m, …"
    )
    add_step_down(where)
    add_plugins(where)
    add_probe_timeout(where)


def _add_keys(numbers: argparse._ActionsContainer) -> None:
    numbers.add_argument("--seed", type=int, metavar="N", help="root of all randomness")
    numbers.add_argument(
        "--seeds",
        type=seeds,
        metavar="A-B",
        help="a run for each of these seeds, e.g. 0-4 or 0,2,5, and one report over them",
    )
    _add_jobs(numbers)
    add_set(numbers, "set any key, e.g. --set vae.beta=0.1 or --set tasks.pong.target=10")
    numbers.add_argument(
        "--train-in-dream",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="learn the controller inside M, or in the environment",
    )
    numbers.add_argument("--solver", choices=SOLVERS, help="what learns the controller")
    numbers.add_argument(
        "--hidden-sizes", type=sizes, metavar="N,M", help="hidden layers of C; 0 is linear"
    )
    for option, key in SHORTCUTS.items():
        if option in NUMBERS:
            flag = "--" + option.replace("_", "-")
            numbers.add_argument(flag, type=positive, metavar="N", help=f"same as --set {key}=N")


def _add_switch(parser: argparse._ActionsContainer, flag: str, help: str) -> None:
    """Adds a switch that may be told true or false as well; see `spelled_out`."""
    parser.add_argument(flag, nargs="?", type=truth, const=True, metavar="BOOL", help=help)


def _add_jobs(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="runs of several seeds at the same time; they share the cores (default: 1)",
    )


def add_resume(commands) -> None:
    resume = command(commands, "resume", "run", "go on with a stopped run")
    resume.add_argument("run", metavar="RUN", help="a run directory, or that of several seeds")
    resume.add_argument("--max-time", type=duration, metavar="T", help="commit and stop after this")
    _add_jobs(resume)
    add_step_down(resume)
    add_plugins(resume)
    add_probe_timeout(resume)
    add_display(resume)
