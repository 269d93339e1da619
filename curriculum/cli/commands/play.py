"""`evaluate`, `play` and `laps`: agents of a run, or pretrained, scored, watched or looked at."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console

from curriculum.agent.episodes import Episode
from curriculum.agent.playing import judged, mean_score
from curriculum.agent.work import EpisodesUnit, play_episodes
from curriculum.cli.agents import Agents, OpenedAgent, opened
from curriculum.config.schema import TaskConfig
from curriculum.errors import ConfigError, ExitCode
from curriculum.figures.half_blocks import can_show
from curriculum.figures.histogram import histogram
from curriculum.figures.live import LiveFilm
from curriculum.films.camera import film_beside_dream, film_dream, film_episode, step_seconds
from curriculum.films.camera import opened as opened_screen
from curriculum.films.reels import Reel, check_name, reel_for
from curriculum.progress import Progress, say
from curriculum.records.evaluation import POLICIES, Evaluation, policy_name
from curriculum.records.files import output_path
from curriculum.seeds import env_seed, generator
from curriculum.show.insights import laps_text
from curriculum.show.lines import LosableStream
from curriculum.show.markdown import table
from curriculum.show.words import count, interval, number
from curriculum.tasks import chosen

STREAM = "pretrained"
"""What the seeds of these episodes descend from; no path in a run begins like this."""

_HEADER = ("task", "policy", "mean", "std", "interval", "median", "min", "max", "episodes")
_HEADER += ("distinct scores", "distinct games", "lives", "cut", "looping", "steps", "target")


def evaluate(args: argparse.Namespace) -> ExitCode:
    """Plays fresh episodes with every agent that is named and prints its scores."""
    with opened(args) as agents:
        results = {
            task.name: _evaluated(agents, task, args)
            for task in chosen(agents.config, args.tasks or ())
        }
    args.watcher.tell("over")
    with redirect_stdout(cast(TextIO, LosableStream(sys.stdout))):
        print(json.dumps(results, indent=2)) if args.json else _show(results)
    met = all(found["score"] >= found["target"] for found in results.values())
    return ExitCode.OK if met else ExitCode.TARGET_MISSED


def play(args: argparse.Namespace) -> ExitCode:
    """Plays one episode, shows it where a terminal can, or writes it as a film, and scores it."""
    file = output_path(Path(args.film)) if args.film else None
    if file is not None:
        check_name(file)
    with opened(args) as agents:
        task = chosen(agents.config, [args.task] if args.task else [])[0]
        opened_agent = agents.open(task, args.dream or args.beside_dream)
        seed, agent = env_seed(args.seed, task.name, "play"), opened_agent.agent
        dream = {"temperature": task.dream.temperature, "max_steps": task.dream.max_steps}
        with opened_screen(agent.make_screen, say) as screen, ExitStack() as held:
            seconds = step_seconds(agent.spec, screen)
            reel = _reel(file, seconds, shown=not args.no_film)
            taking = held.enter_context(reel)
            if args.beside_dream:
                played = film_beside_dream(agent, seed, taking, screen=screen, **dream)
            elif args.dream:
                played = film_dream(agent, seed, taking, **dream)
            else:
                played = film_episode(agent, seed, taking, screen=screen, notice=say)
    where = "its dream" if args.dream else agent.spec.env_id
    print(
        f"{task.name} ({opened_agent.backend.mode}) in {where}: "
        f"score {played.score:.1f}, {played.steps} steps"
    )
    if args.film:
        print(f"written: {args.film}")
    return ExitCode.OK


def _reel(file: Path | None, seconds: float, *, shown: bool) -> Reel:
    """Returns where an episode goes: a file, a terminal that can show it, or nowhere."""
    if file is not None:
        return reel_for(file, seconds)
    console = Console()
    if shown and can_show(console):
        return LiveFilm(console, seconds)
    return Reel()


def laps(args: argparse.Namespace) -> ExitCode:
    """Drives greedy laps, prints what became of them, and draws the worst and the median one."""
    png = output_path(Path(args.png)) if args.png else None
    with opened(args) as agents:
        from curriculum.insight.drawing import write_png
        from curriculum.insight.driving import look_at_driving, told_episodes
        from curriculum.insight.laps import tells_of_laps

        task = chosen(agents.config, [args.task] if args.task else [])[0]
        opened_agent = agents.open(task)
        agent = opened_agent.agent
        if not tells_of_laps(agent.spec):
            raise ConfigError(
                f"{agent.spec.env_id} tells nothing of laps, so that {task.name} cannot be looked "
                "at like this: name a task of CarRacing that sees pixels"
            )
        agents.executor.refresh((replace(opened_agent.work, seed=args.seed),))
        seeds = [env_seed(args.seed, STREAM, task.name, n) for n in range(args.episodes)]
        size = opened_agent.task.env.num_envs
        told = told_episodes(agents.executor, {}, seeds, size, _stopping(agents))
        found, picture = look_at_driving(told, agent.spec, agent.make_env)
        if png is not None and picture is not None:
            write_png(png, picture)
    print(json.dumps(found, indent=2) if args.json else laps_text(task.name, found))
    if png is not None and not args.json:
        print(f"written: {png}" if picture is not None else "the track cannot be drawn")
    return ExitCode.OK


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {
    "evaluate": evaluate,
    "play": play,
    "laps": laps,
}


def _stopping(agents: Agents) -> Callable[[], None]:
    """Returns what ends a command that is asked to stop, which has nothing to save."""
    return lambda: agents.barrier.may_stop(lambda: None)


def _evaluated(agents: Agents, task: TaskConfig, args: argparse.Namespace) -> dict[str, Any]:
    """Returns the results of each policy, and once more those of the one that judges."""
    opened_agent = agents.open(task)
    policies = [policy for policy in POLICIES if getattr(args, policy)] or list(POLICIES)
    seeds = [env_seed(args.seed, STREAM, task.name, n) for n in range(args.episodes)]
    played = _played(agents, opened_agent, policies, seeds, args.seed)
    evaluations = [_evaluation(task, policy, played[policy], args.seed) for policy in policies]
    found = {evaluation.policy: _facts(evaluation) for evaluation in evaluations}
    judging = policy_name(task.evaluate.sampled)
    judging = judging if judging in found else policies[0]
    return {
        **found[judging],
        "policy": judging,
        "mode": opened_agent.backend.mode.value,
        "env_id": opened_agent.agent.spec.env_id,
        "target": opened_agent.target,
        "seed": args.seed,
        "policies": found,
    }


def _played(
    agents: Agents,
    opened_agent: OpenedAgent,
    policies: Sequence[str],
    seeds: Sequence[int],
    root: int,
) -> dict[str, list[Episode]]:
    """Plays one full episode per policy and seed, in batches cut by configuration alone."""
    task, mode = opened_agent.task, opened_agent.backend.mode.value
    agents.executor.refresh((replace(opened_agent.work, seed=root),))
    size = task.env.num_envs
    batches = [tuple(seeds[i : i + size]) for i in range(0, len(seeds), size)]
    units = [
        EpisodesUnit({}, batch, sampled=policy == policy_name(True))
        for policy in policies
        for batch in batches
    ]
    done: list[Episode] = []

    stop_if_asked = _stopping(agents)

    def on_result(number: int, result: list[Episode]) -> None:
        done.extend(result)
        facts = {"score": mean_score(done)}
        total = len(policies) * len(seeds)
        where = (task.name, mode, 0, "evaluate")
        agents.listener(Progress(*where, len(done), total, "episodes", facts))
        stop_if_asked()

    results = agents.executor.map(play_episodes, units, on_result=on_result, on_wait=stop_if_asked)
    flat = [episode for unit in results for episode in unit]
    each = len(seeds)
    return {policy: flat[i * each : (i + 1) * each] for i, policy in enumerate(policies)}


def _evaluation(
    task: TaskConfig, policy: str, episodes: Sequence[Episode], root: int
) -> Evaluation:
    return judged(
        episodes,
        policy=policy,
        confidence=task.evaluate.confidence,
        rng=generator(root, STREAM, task.name, "bootstrap"),
    )


def _facts(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "score": evaluation.score,
        "std": evaluation.std,
        "interval": list(evaluation.interval),
        "confidence": evaluation.confidence,
        "median": evaluation.median,
        "min": evaluation.lowest,
        "max": evaluation.highest,
        "distinct_scores": evaluation.distinct_scores,
        "distinct_games": evaluation.distinct_games,
        "lives_played": evaluation.lives_played,
        "cut": evaluation.cut,
        "looping": evaluation.looping,
        "scores": list(evaluation.scores),
        "lengths": list(evaluation.lengths),
        "evaluation_steps": evaluation.evaluation_steps,
    }


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _show(results: dict[str, dict[str, Any]]) -> None:
    rows = [
        [
            task,
            f"{policy}{' (judges)' if policy == found['policy'] else ''}",
            *(number(facts[name], 2) for name in ("score", "std")),
            interval(facts["interval"]),
            *(number(facts[name], 2) for name in ("median", "min", "max")),
            count(len(facts["scores"])),
            *(count(facts[name]) for name in ("distinct_scores", "distinct_games")),
            number(facts["lives_played"]),
            *(count(facts[name]) for name in ("cut", "looping")),
            count(facts["evaluation_steps"]),
            number(found["target"]),
        ]
        for task, found in results.items()
        for policy, facts in found["policies"].items()
    ]
    print(table(_HEADER, rows))
    for task, found in results.items():
        for policy, facts in found["policies"].items():
            print(f"{task}, {policy}: {histogram(facts['scores'], encoding=_encoding())}")
        print(
            f"{task} ({found['mode']}, {found['env_id']}): target "
            f"{'reached' if found['score'] >= found['target'] else 'missed'} by the "
            f"{found['policy']} policy on episodes of seed {found['seed']}; intervals of the mean "
            f"at a level of {found['confidence']:g}"
        )
