"""Stops that have to be heeded whatever a run is doing, and however it was started."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.conftest import ROOT, Sandbox, eventually

ENDLESS = """\
import time

import gymnasium
import numpy as np

from curriculum.envs.registry import register_env


class Endless(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.steps > 50:
            {longer}
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), 0.0, False, False, {}


register_env("Endless-v0", Endless)
"""
LONGER = {
    "never end": "pass",
    "stand still": "time.sleep(600)",
    "stand still and catch everything": (
        "\n            while True:\n                try:\n                    time.sleep(600)"
        "\n                except BaseException: pass"
    ),
}
CONFIG = """\
name: tiny
curriculum: {mode: GYM_ONLY, tasks: [endless], workers: 0, plugins: [endless]}
env: {max_episode_steps: 100000000}
collect: {num_random_rollouts: 4, max_steps_per_rollout: 40}
mdnrnn: {epochs: 1, rnn_size: 8, sequence_length: 8}
controller: {population_size: 4, generations: 2, max_steps_per_rollout: 40}
tasks: {endless: {env_id: Endless-v0, observation: state, target: 5}}
"""


def in_stage(place: Sandbox, *stages: str) -> bool:
    ledger = place.run / "events.jsonl"
    return ledger.exists() and any(e["stage"] in stages for e in place.events("stage_started"))


@pytest.mark.gym
@pytest.mark.faults(
    "{name} to a run without workers whose episodes {longer}",
    expect="it ends in seconds with {code} and the resume command; nothing is left",
)
@pytest.mark.parametrize("longer", LONGER)
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("--max-time", 75)])
def test_episodes_without_end(place: Sandbox, longer: str, name: str, code: int) -> None:
    plugin = ENDLESS.replace("{longer}", LONGER[longer])
    (place.path / "endless.py").write_text(plugin, encoding="utf-8")
    (place.path / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(place.path)])}
    limit = ("--max-time", "20s") if name == "--max-time" else ()
    options = {"env": env, "stdout": subprocess.DEVNULL}
    with place.alive("run", "tiny.yaml", *limit, **options) as door:
        assert eventually(lambda: in_stage(place, "controller", "evaluate"))
        if not limit:
            time.sleep(0.5)
            door.send_signal(getattr(signal, name))
        assert door.wait(120) == code
        assert door.stderr is not None
        said = door.stderr.read()
    assert f"python -m curriculum resume {place.run}" in said and "Traceback" not in said
    assert not place.events("stage_failed", "engine_died")


@pytest.mark.faults(
    "stdout and stderr are a full pipe that nobody reads; then SIGTERM",
    expect="the run goes on meanwhile, and ends in seconds with 143",
)
def test_a_full_pipe(place: Sandbox) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, bytes(4096))
    args = ("run", "tiny.yaml", "--cma-generations", "100000")
    with place.alive(*args, stdout=writer, stderr=writer) as door:
        assert eventually(lambda: in_stage(place, "controller"))
        assert eventually(lambda: len(place.events("metrics")) > 3)
        door.send_signal(signal.SIGTERM)
        assert door.wait(120) == 143
    os.close(reader)
    os.close(writer)
    assert place.events("run_stopped")[0]["exit_code"] == 143


@pytest.mark.faults(
    "SIGINT to a run that was started with it ignored, as by a script's `&`",
    expect="no notice is taken; SIGTERM ends it as ever",
)
def test_an_ignored_ctrl_c(place: Sandbox) -> None:
    wrapper = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    args = ("run", "tiny.yaml", "--cma-generations", "100000")
    with place.alive(*args, wrapper=wrapper, stdout=subprocess.DEVNULL) as door:
        assert eventually(lambda: in_stage(place, "controller"))
        before = len(place.events("metrics"))
        door.send_signal(signal.SIGINT)
        door.send_signal(signal.SIGINT)
        assert eventually(lambda: len(place.events("metrics")) > before + 5)
        door.send_signal(signal.SIGTERM)
        assert door.wait(120) == 143


@pytest.mark.faults(
    "a terminal, Ctrl-C {times}",
    expect="the dashboard, then exit 130, the resume command and the cursor; nothing is left",
)
@pytest.mark.parametrize("times", ["once", "twice"])
def test_a_terminal(place: Sandbox, times: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place.path)
        extra = {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "FAULTS": place.token}
        env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | extra
        args = ["-m", "curriculum", "run", "tiny.yaml", "--cma-generations", "100000"]
        os.execvpe(_python(), [_python(), *args], env)
    os.set_blocking(terminal, False)
    shown = bytearray()
    try:
        assert eventually(lambda: _read(terminal, shown) and in_stage(place, "controller"))
        os.write(terminal, b"\x03" if times == "once" else b"\x03\x03")
        ended = [0, 0]

        def over() -> bool:
            _read(terminal, shown)
            if ended[0] != pid:
                ended[:] = os.waitpid(pid, os.WNOHANG)
            return ended[0] == pid

        assert eventually(over)
        _read(terminal, shown)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(ended[1]) == 130, shown[-2000:]
    text = shown.decode(errors="replace")
    assert "resume" in text and "Traceback" not in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0


def _python() -> str:
    import sys

    return sys.executable


def _read(terminal: int, shown: bytearray) -> bool:
    """Takes what a terminal shows; a program that has gone shows nothing."""
    try:
        while data := os.read(terminal, 65536):
            shown += data
    except OSError as e:
        assert e.errno in (errno.EAGAIN, errno.EIO)
    return True


@pytest.mark.faults("`--json` into a closed pipe, a target is missed", expect="exit 3, not 0")
def test_a_result_that_nobody_reads(place: Sandbox) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with place.alive("run", "tiny.yaml", "--json", stdout=writer) as door:
        os.close(writer)
        assert door.wait(120) == 3


@pytest.mark.faults("`--help` where stdout knows only ASCII", expect="the help, exit 0")
def test_help_in_ascii(place: Sandbox) -> None:
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = place("run", "--help", env=env)
    assert done.code == 0 and "Traceback" not in done.err
    assert "--max-time" in done.out


def test_the_printed_command_works_when_pasted(place: Sandbox, tmp_path: Path) -> None:
    done = place("run", "tiny.yaml", "--max-time", "0s", "--quiet")
    assert done.code == 75, done.err
    command = done.err.strip().splitlines()[-1].strip()
    pasted = subprocess.run(
        ["sh", "-c", command],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert pasted.returncode == 3, pasted.stderr
