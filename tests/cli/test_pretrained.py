"""An agent of a real run is exported, scored and watched, here and where things are missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from curriculum.cli.main import main
from curriculum.pretrained.bundle import AGENT, CARD, LEDGER, NAMES, load, write
from curriculum.records.agent_state import part_of
from curriculum.records.commit import CommitStore
from curriculum.records.rundir import RunDir
from tests.cli.conftest import ROOT
from tests.patience import HANG_S

pytestmark = [pytest.mark.torch, pytest.mark.gym, pytest.mark.slow]

CONFIG = """\
name: pole
seed: 4
curriculum: {mode: FULL, workers: 0}
env: {num_envs: 2}
collect: {num_random_rollouts: 2, max_steps_per_rollout: 40}
vae: {max_steps: 2, batch_size: 16}
mdnrnn: {max_steps: 2, batch_size: 4, sequence_length: 8, rnn_size: 32}
controller:
  {population_size: 4, rollouts_per_candidate: 1, generations: 1, check_every: 0,
   check_episodes: 1, max_steps_per_rollout: 40}
evaluate: {episodes: 3}
tasks: {pole: {env_id: CartPole-v1, observation: state, target: 5}}
"""
WHY = "because *it* was the first."


@dataclass(frozen=True)
class Pole:
    """A finished run and its exported agent."""

    run: Path
    agent: Path

    @property
    def stages(self) -> Path:
        return self.run / "tasks/pole/FULL/round-00"


@pytest.fixture(scope="module")
def pole(tmp_path_factory: pytest.TempPathFactory) -> Pole:
    place = tmp_path_factory.mktemp("pole")
    (place / "pole.yaml").write_text(CONFIG, encoding="utf-8")
    run, agent = place / "run", place / "agent"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        ran = main(["run", str(place / "pole.yaml"), "--run-dir", str(run), "--quiet"])
    assert ran == 0
    assert main(["export", str(run), "--to", str(agent), "--why", WHY]) == 0
    return Pole(run, agent)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands without workers set this for their own process; here it must not stay."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def evaluated(capsys: pytest.CaptureFixture, *args: str) -> dict:
    """Returns what `evaluate --json` prints of the pole, without workers unless told otherwise."""
    workers = () if "--workers" in args else ("--workers", "0")
    code = main(["evaluate", *args, *workers, "--episodes", "5", "--json"])
    assert code == 0
    return json.loads(capsys.readouterr().out)["pole"]


def test_an_export_holds_the_weights_that_were_learned_and_no_more(pole: Pole) -> None:
    bundle = load(pole.agent)
    learned = {}
    for stage in ("vision", "memory", "controller"):
        commit = CommitStore(pole.stages / stage).latest()
        assert commit is not None
        learned[stage] = commit.arrays
    assert any(name.startswith("adam.") for name in learned["memory"])
    for stage in ("vision", "memory"):
        found = part_of(bundle.learned, stage)
        kept = {n: a for n, a in learned[stage].items() if not n.startswith("adam.")}
        assert found.keys() == kept.keys()
        assert all(found[n].tobytes() == a.tobytes() for n, a in kept.items())
    parameters = learned["controller"]["parameters"]
    assert bundle.learned["parameters"].tobytes() == parameters.tobytes()
    committed = sum(a.nbytes for arrays in learned.values() for a in arrays.values())
    assert (pole.agent / AGENT).stat().st_size < 0.5 * committed
    assert bundle.config.tasks == RunDir.open(pole.run).config().tasks


def test_exporting_twice_gives_equal_bytes(pole: Pole, tmp_path: Path) -> None:
    again = tmp_path / "deep" / "again"
    assert main(["export", str(pole.run), "--task", "pole", "--to", str(again), "--why", WHY]) == 0
    for name in NAMES:
        assert (again / name).read_bytes() == (pole.agent / name).read_bytes(), name


def test_the_card_says_what_the_ledger_says(pole: Pole) -> None:
    text = (pole.agent / CARD).read_text(encoding="utf-8")
    lines = (pole.agent / LEDGER).read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    (verdict,) = [e for e in events if e["event"] == "verdict"]
    (started,) = [e for e in events if e["event"] == "run_started"]
    facts = next(e["facts"] for e in events if e.get("result") and e["stage"] == "evaluate")
    row = next(line for line in text.splitlines() if line.startswith(f"| {facts['policy']} "))
    low, high = verdict["interval"]
    assert f"| {verdict['score']:.2f} | [{low:.1f}, {high:.1f}] " in row
    assert f"| {np.std(facts['scores']):.2f} | {min(facts['scores']):.2f} " in row
    sentence = "Because *it* was the first."
    for words in (sentence, f"seed is {started['seed']}.", started["command"], "MIT"):
        assert words in text, words
    assert f"{verdict['env_steps']:,} steps in the environment" in text
    assert f"| torch | {started['versions']['torch']} |" in text


def test_scores_depend_on_the_seed_alone(pole: Pole, capsys: pytest.CaptureFixture) -> None:
    first = evaluated(capsys, "--pretrained", str(pole.agent), "--seed", "3")
    assert first["policies"].keys() == {"greedy", "sampled"}
    assert first["policy"] == "greedy" and first["target"] == 5.0
    assert [len(f["scores"]) for f in first["policies"].values()] == [5, 5]
    assert evaluated(capsys, "--pretrained", str(pole.agent), "--seed", "3") == first
    assert evaluated(capsys, str(pole.run), "--task", "pole", "--seed", "3") == first
    workers = ("--seed", "3", "--workers", "2")
    assert evaluated(capsys, "--pretrained", str(pole.agent), *workers) == first
    other = evaluated(capsys, "--pretrained", str(pole.agent), "--seed", "4", "--sampled")
    assert other["policies"].keys() == {"sampled"} == {other["policy"]}
    assert other["scores"] != first["policies"]["sampled"]["scores"]


def test_a_table_is_printed_and_a_missed_target_is_an_exit_code(
    pole: Pole, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bundle = load(pole.agent)
    task = replace(bundle.task, target=1e6)
    harder = replace(bundle, config=replace(bundle.config, tasks=(task,)))
    write(harder, tmp_path / "harder", lambda b: "")
    command = ["evaluate", "--pretrained", str(tmp_path / "harder"), "--workers", "0"]
    assert main([*command, "--episodes", "2", "--env-id", "CartPole-v0"]) == 3
    shown = capsys.readouterr().out
    assert "| pole | greedy (judges) |" in shown and "| pole | sampled |" in shown
    assert "CartPole-v0" in shown and "missed by the greedy policy" in shown


def test_an_agent_is_filmed(pole: Pole, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    film = tmp_path / "pole.gif"
    assert main(["play", "--pretrained", str(pole.agent), "--gif", str(film)]) == 0
    assert film.read_bytes()[:4] == b"GIF8"
    assert "pole (FULL) in CartPole-v1: score" in capsys.readouterr().out
    assert main(["play", "--pretrained", str(pole.agent), "--dream"]) == 0
    assert main(["play", str(pole.run)]) == 0
    assert capsys.readouterr().out.count("score") == 2


def test_what_does_not_fit_ends_with_a_code_and_a_sentence(
    pole: Pole, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bundle = load(pole.agent)
    learned = bundle.learned
    short = {**learned, "parameters": learned["parameters"][:-1]}
    odd = {**learned, "memory/weight.odd": np.zeros(2, np.float32)}
    write(replace(bundle, learned=short), tmp_path / "short", lambda b: "")
    write(replace(bundle, learned=odd), tmp_path / "odd", lambda b: "")
    (tmp_path / "empty").mkdir()
    agent = str(pole.agent)
    cases = [
        (["--pretrained", str(tmp_path / "short")], 5, "do not fit its configuration"),
        (["--pretrained", str(tmp_path / "odd")], 5, "weight.odd"),
        (["--pretrained", str(tmp_path / "empty")], 5, "agent.safetensors is missing"),
        (["--pretrained", agent, "--env-id", "MountainCar-v0"], 2, "cannot play MountainCar-v0"),
        (["--pretrained", agent, "--task", "pong"], 2, "no task 'pong'"),
        (["--pretrained", "chess"], 2, "no agent 'chess'"),
        (["--pretrained", agent, str(pole.run)], 2, "either a run directory, or --pretrained"),
        ([], 2, "either a run directory, or --pretrained"),
    ]
    for args, code, words in cases:
        assert main(["evaluate", *args, "--workers", "0", "--episodes", "1"]) == code, args
        assert words in capsys.readouterr().err, args


def test_a_machine_without_torch_is_told_what_is_missing(pole: Pole, tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "torch.py").write_text("raise ImportError('no torch')\n", "utf-8")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "blocked"), str(ROOT)]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "curriculum", "evaluate", "--pretrained", str(pole.agent)]
    done = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 4, done.stderr
    assert "torch is " in done.stderr and "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_agent_that_was_searched_because_there_was_no_torch_is_played_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    asked = "controller:\n  {solver: ppo, hidden_sizes: [8], "
    text = CONFIG.replace("mode: FULL", "mode: GYM_ONLY").replace("controller:\n  {", asked)
    (tmp_path / "pole.yaml").write_text(text, encoding="utf-8")
    run, agent = str(tmp_path / "run"), str(tmp_path / "agent")
    assert main(["run", str(tmp_path / "pole.yaml"), "--run-dir", run, "--quiet"]) == 0
    assert main(["export", run, "--to", agent, "--why", WHY]) == 0
    capsys.readouterr()
    assert evaluated(capsys, "--pretrained", agent) == evaluated(capsys, "--pretrained", agent)
