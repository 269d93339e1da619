"""`python -m baselines`: random play, PPO, and our runs beside them."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.arguments import (
    compare_arguments,
    matrix_arguments,
    parser,
    run_commands,
    single_arguments,
)
from baselines.preparing import config_of, known, machine_of, make_env, probe, task_of
from curriculum.errors import ComponentMissing, ConfigError, CurriculumError, ExitCode

if TYPE_CHECKING:
    from baselines.results import BaselineHome, BaselineResult
    from baselines.sb3.loading import TrainedBaseline
    from curriculum.config.schema import TaskConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    args = parser().parse_args(argv)
    try:
        return int(COMMANDS[args.command](args))
    except CurriculumError as e:
        print(f"error: {e}", file=sys.stderr)
        return int(e.exit_code)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last commit", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; without this, Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)


def play_random(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines random`."""
    from baselines import random_agent

    task, workers = task_of(args)
    probe(task, args)
    with _home("random", task, args) as home:
        result = random_agent.play_random(
            task,
            lambda n: make_env(task, n, workers, home.ledger),
            home.ledger,
            episodes=args.episodes,
            seed=args.seed,
            machine=machine_of("cpu"),
        )
    return _say(result, args.out)


def train_sb3(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines ppo`."""
    if args.tasks or args.seeds:
        return _train_matrix(args)
    task, workers = task_of(args)
    probe(task, args, "torch", "stable_baselines3")
    try:
        from baselines.sb3.arena import arena_of
        from baselines.sb3.training import Training, train
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
        commit_steps=args.commit_steps,
        params=tuple(args.params),
    )
    with _home(args.algo, task, args, args.setting) as home:
        result = train(
            args.algo,
            task,
            arena_of(args.setting, task, lambda n: make_env(task, n, workers, home.ledger)),
            home,
            training,
            machine=machine_of(args.device),
        )
    return _say(result, args.out)


def _train_matrix(args: argparse.Namespace) -> ExitCode:
    """Trains several tasks or seeds, each by this command for it alone."""
    from baselines.matrix.cells import cells_of, train_all
    from baselines.matrix.report import report_of, trained_in
    from baselines.matrix.showing import make_display
    from curriculum.records.files import write_bytes

    names, seeds = args.tasks or [args.task], args.seeds or (args.seed,)
    config = config_of(args)
    tasks = {name: known(config, name).target for name in names}
    cells = cells_of(args.algo, list(tasks), seeds, args.setting)
    with make_display([cell.name for cell in cells]) as display:
        code = train_all(cells, partial(single_arguments, args), args.out, args.jobs, display)
    if code != ExitCode.OK:
        print("not all are done: the same command goes on", file=sys.stderr)
        return code
    text = report_of(trained_in(args.out, tasks), matrix_arguments(args, list(tasks), seeds))
    write_bytes(args.out / "report.md", text.encode())
    print(text)
    return code


def evaluate_baseline(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines evaluate`."""
    from curriculum.show.words import interval, number
    from diagnostics.json_report import write_json

    found = _opened(args).evaluate(args.episodes, args.seed, args.sampled)
    if args.json is not None:
        write_json(args.json, asdict(found))
    if args.json != "-":
        ordered = sorted(found.scores)
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2.0
        print(
            f"{args.baseline.name}, {found.policy}: {number(found.score)} "
            f"{interval(found.interval)} over {args.episodes} episodes of seed {args.seed}; "
            f"median {number(middle)}, worst {number(ordered[0])}, best {number(ordered[-1])}, "
            f"{len(set(ordered))} different scores"
        )
    return ExitCode.OK


def play_baseline(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines play`."""
    from curriculum.films.reels import check_name
    from curriculum.records.files import output_path
    from curriculum.show.words import count, number

    film = output_path(args.film) if args.film else None
    if film is not None:
        check_name(film)
    episode = _opened(args).film(args.seed, args.sampled, film)
    print(f"{args.baseline.name}: {number(episode.score)} in {count(episode.steps)} steps")
    if film is not None:
        print(f"written: {args.film}")
    return ExitCode.OK


def _opened(args: argparse.Namespace) -> TrainedBaseline:
    from curriculum.records.ledger import Ledger

    try:
        from baselines.sb3.loading import open_baseline
    except ImportError as e:
        raise ComponentMissing(
            f"a baseline plays with stable-baselines3 and torch, which cannot be imported ({e}): "
            "install them with `pip install stable-baselines3 torch`"
        ) from e
    nowhere = Ledger(Path(os.devnull))
    return open_baseline(args.baseline, lambda task, n: make_env(task, n, 0, nowhere))


def claim(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines claim`."""
    from baselines.study.claims import make_claim
    from baselines.study.sides import AGENTS
    from curriculum.records.ledger import Ledger

    if args.metric == "score" and args.times != 1.0:
        raise ConfigError("--times is for steps and minutes: scores are claimed to be higher")
    config = config_of(args)
    tasks = [known(config, name) for name in args.tasks]
    try:
        from baselines.study.planning import plan_of
    except ImportError as e:
        raise ComponentMissing(
            f"a claim against {args.against} pins its settings, which needs stable-baselines3 and "
            f"torch; they cannot be imported ({e})"
        ) from e
    for task in tasks:
        probe(task, args, "torch", "stable_baselines3")
    nowhere = Ledger(Path(os.devnull))
    plan = plan_of(args, config, tasks, lambda task, n: make_env(task, n, 0, nowhere))
    made = make_claim(args.out / args.name, plan)
    print(
        f"claimed: {plan.sentence(AGENTS[plan.against, plan.setting])}, on "
        f"{', '.join(plan.tasks)}\nSHA-256 of the plan: {made.plan.hash}\n"
        "the runs that decide it, begun from now on:"
    )
    for words in run_commands(args):
        print(f"  {shlex.join(words)}")
    return ExitCode.OK


def compare_run(args: argparse.Namespace) -> ExitCode:
    """Runs `baselines compare`."""
    from baselines.study.claims import open_claim
    from baselines.study.films import film_all
    from baselines.study.keeping import outcomes
    from baselines.study.sides import contests
    from baselines.study.text import facts, markdown
    from baselines.study.verdicts import judged
    from baselines.study.writing import write_figures, write_page
    from curriculum.records.files import output_path, write_bytes
    from diagnostics.json_report import write_json

    if args.films and not args.html:
        raise ConfigError("--films are shown on the page: name a file by --html too")
    files = {name: getattr(args, name) for name in ("md", "html", "json")}
    out = {name: output_path(Path(p)) for name, p in files.items() if p not in (None, "-")}
    claims = [open_claim(directory) for directory in args.claim]
    tasks = contests(args.runs, args.baseline)
    found, kept = list(map(judged, tasks)), outcomes(claims, tasks)
    title = f"{', '.join(path.name for path in args.runs)} beside baselines"
    commands = [shlex.join(["python", "-m", "baselines", *compare_arguments(args)])]
    text = markdown(title, found, commands, kept)
    if "html" in out:
        films = film_all(tasks, args.seed) if args.films else []
        write_page(out["html"], title, found, commands, kept, films)
    if args.figures:
        write_figures(args.figures, found)
    if "md" in out:
        write_bytes(out["md"], text.encode())
    if files["json"] is not None:
        write_json(str(out.get("json", "-")), facts(found, kept))
    if files["json"] != "-":
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
    "ppo": train_sb3,
    "evaluate": evaluate_baseline,
    "play": play_baseline,
    "claim": claim,
    "compare": compare_run,
    "throughput": measure_throughput,
    "ablate": run_ablations,
}


def _home(
    algo: str, task: TaskConfig, args: argparse.Namespace, setting: str = "same"
) -> BaselineHome:
    """Opens a baseline's directory, the events of whose ledger are told on stdout."""
    from baselines.lines import BaselineLines
    from baselines.results import BaselineHome, name_of

    home = BaselineHome(args.out, name_of(algo, task.name, args.seed, setting))
    home.ledger.subscribe(BaselineLines(partial(print, flush=True)).on_event)
    return home


def _say(result: BaselineResult, out: Path) -> ExitCode:
    from baselines.results import name_of

    directory = out / name_of(result.algo, result.task, result.seed, result.setting)
    print(
        f"{result.task} ({result.playing}), {result.algo}: {result.score:.1f} over "
        f"{len(result.scores)} {result.policy} episodes, {result.env_steps:,} training steps; "
        f"written to {directory}"
    )
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
