"""Every command that probes says so, takes the limit and keys, and demands only what it reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from curriculum.cli.probing import learned_config, probe_limit
from curriculum.errors import ConfigError
from tests.cli.conftest import ROOT

LUNAR = ROOT / "models" / "pretrained" / "lunarlander" / "task.yaml"


def given(*sets: str, probe_timeout: float | None = None) -> SimpleNamespace:
    return SimpleNamespace(sets=list(sets), probe_timeout=probe_timeout)


def test_the_limit_is_the_configuration_s() -> None:
    assert probe_limit(given()) == []  # type: ignore[arg-type]
    config = learned_config(LUNAR, given(probe_timeout=25.0))  # type: ignore[arg-type]
    assert config.curriculum.timeout_seconds == 25.0
    with pytest.raises(ConfigError, match=r"curriculum.timeout_seconds"):
        learned_config(LUNAR, given(probe_timeout=61.0))  # type: ignore[arg-type]


def test_keys_are_laid_over_what_was_learned() -> None:
    sets = ("evaluate.confidence=0.9", "tasks.lunarlander.target=50", "curriculum.workers=0")
    config = learned_config(LUNAR, given(*sets))  # type: ignore[arg-type]
    (task,) = config.tasks
    assert (task.evaluate.confidence, task.target, config.curriculum.workers) == (0.9, 50, 0)


@pytest.mark.parametrize(
    "text", ["vae.z_dim=3", "tasks.lunarlander.controller.hidden_sizes=[2]", "curriculum.mode=auto"]
)
def test_keys_that_shaped_what_was_learned_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="shaped what was learned"):
        learned_config(LUNAR, given(text))  # type: ignore[arg-type]


@pytest.mark.parametrize("option", [("--probe-timeout", "4"), ("--set", "vae.z_dim=3")])
@pytest.mark.parametrize("command", ["evaluate", "play"])
def test_a_wrong_limit_or_key_is_a_configuration_error(
    curriculum, command: str, option: tuple[str, str]
) -> None:
    done = curriculum(command, "--pretrained", "lunarlander", *option)
    assert done.code == 2
    assert option[1].partition("=")[0] in done.err and "Traceback" not in done.err


def test_a_run_says_at_once_what_it_probes_and_keeps_stdout_clean(
    curriculum, tiny: Path, tmp_path: Path
) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = curriculum("run", str(tiny), "--dry-run", "--json", "--probe-timeout", "30", env=env)
    assert done.err.startswith("probing ")
    assert json.loads(done.out)["tasks"]
    quiet = curriculum("run", str(tiny), "--dry-run", "--quiet", env=env)
    assert "probing" not in quiet.err + quiet.out


@pytest.mark.torch
@pytest.mark.gym
@pytest.mark.slow
@pytest.mark.faults("models.mdnrnn cannot be imported", expect="an agent without h plays, no dream")
def test_a_part_that_an_agent_does_not_read_is_not_demanded(curriculum, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['models.mdnrnn'] = None\n", encoding="utf-8"
    )
    env = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    options = ("--pretrained", "lunarlander", "--probe-timeout", "60")
    shown = ("--episodes", "1", "--greedy", "--json", "--workers", "0")
    done = curriculum("evaluate", *options, *shown, env=env)
    assert done.code in (0, 3), done.err
    assert json.loads(done.out)["lunarlander"]["mode"] == "FULL"
    assert "mdnrnn" not in done.err
    dreamt = curriculum("play", *options, "--dream", env=env)
    assert dreamt.code == 4
    assert "mdnrnn is broken" in dreamt.err or "mdnrnn is missing" in dreamt.err
    assert "world-models-curriculum" in dreamt.err
