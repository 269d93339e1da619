"""The engine of a real LunarLander run is killed at random times; its door brings it to its end.

Minutes, therefore only with `ENGINE_KILLS=20 python -m pytest tests/faults/door`.
"""

from __future__ import annotations

import os
import random
import subprocess
import time

import psutil
import pytest

from tests.faults.conftest import Sandbox
from tests.faults.golden.golden_fingerprint import differences, fingerprint

KILLS = int(os.environ.get("ENGINE_KILLS", "0"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.torch,
    pytest.mark.gym,
    pytest.mark.skipif(not KILLS, reason="takes minutes: ENGINE_KILLS=20"),
    pytest.mark.timeout(3600),
]

CONFIG = """\
name: tiny
seed: 5
curriculum: {mode: FULL, tasks: [lunarlander], workers: 2, device: cpu}
collect: {num_random_rollouts: 16, max_steps_per_rollout: 200}
mdnrnn: {epochs: 2, max_steps: 60}
controller: {check_episodes: 8}
training: {total_steps: 30000}
evaluate: {episodes: 20}
tasks: {lunarlander: {controller: {solver: ppo}}}
"""


@pytest.mark.faults(
    "SIGKILL of the engine of a real LunarLander run at random times, again and again",
    expect="it ends by itself, equal to the undisturbed run bit for bit",
)
def test_an_engine_that_is_killed_again_and_again(place: Sandbox) -> None:
    (place.path / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    began = time.monotonic()
    assert place("run", "tiny.yaml", "--quiet", "--run-dir", "whole").code in (0, 3)
    seconds, moments, kills = time.monotonic() - began, random.Random(7), 0
    with place.alive("run", "tiny.yaml", "--quiet", stdout=subprocess.DEVNULL) as door:
        while door.poll() is None:
            time.sleep(moments.uniform(0.1, max(1.0, seconds / 4)))
            engines = psutil.Process(door.pid).children() if door.poll() is None else []
            if engines and kills < KILLS:
                engines[0].kill()
                kills += 1
        assert door.stderr is not None
        assert door.returncode in (0, 3), door.stderr.read()
    assert len(place.events("engine_died")) <= kills
    assert not place.events("stepped_down", "component_broken")
    one, other = fingerprint(place.path / "whole"), fingerprint(place.run)
    assert [d for d in differences(one, other) if "engine_died" not in d] == []
    print(f"killed {kills} times; undisturbed it took {seconds:.0f} s")
