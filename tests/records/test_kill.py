"""kill -9 at any moment: a resumed writer ends with the very bytes of one that was never killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curriculum.records.commit import CommitStore
from tests.patience import HANG_S

WRITER = """
import sys
from pathlib import Path
import numpy as np
from curriculum.records.commit import CommitStore
from curriculum.datasets.episodes import EpisodeWriter
from curriculum.records.ledger import Ledger

stage, episodes = Path(sys.argv[1]), int(sys.argv[2])
store = CommitStore(stage)
writer = EpisodeWriter(
    stage / "data", observation_shape=(64,), observation_dtype="float32", action_size=2
)
ledger = Ledger(stage / "events.jsonl", clock=lambda: 0.0)
commit = store.latest()
writer.cut(commit.appended if commit else {})
total = commit.arrays["total"] if commit else np.zeros(64)
print("started", flush=True)
for number in range(writer.num_episodes, episodes):
    print(number, flush=True)
    sys.stdin.readline()
    rng = np.random.default_rng(number)
    seen = rng.normal(size=(41, 64)).astype(np.float32)
    writer.append_episode(
        seen, np.zeros((40, 2), np.float32), np.ones(40, np.float32), terminated=True, seed=number
    )
    total = total + seen.sum(axis=0)
    ledger.append("notice", text=f"episode {number}")
    if number % 3 == 2 or number + 1 == episodes:
        writer.sync()
        done = number + 1 == episodes
        store.save({"total": total}, {"n": number}, complete=done, appended=writer.lengths())
"""
EPISODES = 90


def start(stage: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(stage), str(EPISODES)]
    root = Path(__file__).parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, cwd=root, text=True, bufsize=1, **pipes)


def live(stage: Path, lines: int, extra_s: float) -> bool:
    """Lets a writer live for some lines of output, kills it, and tells whether it had finished.

    It begins each episode only when it is told to, so that it is never far ahead of its killer.
    """
    with start(stage) as child:
        assert child.stdin is not None and child.stdout is not None
        for _ in range(lines):
            if not child.stdout.readline():
                break
            child.stdin.write("go on\n")
        else:
            time.sleep(extra_s)
            child.send_signal(signal.SIGKILL)
        return child.wait(HANG_S) == 0


@pytest.mark.faults(
    "a writer of episodes, ledger and commits is killed at random",
    expect="it goes on from the last commit; equal files to the last byte",
)
def test_killed_again_and_again_it_ends_the_same(tmp_path: Path) -> None:
    assert live(tmp_path / "whole", EPISODES + 10, 0.0)
    lives, moments = 1, random.Random(0)
    while not live(tmp_path / "killed", moments.randrange(1, 30), moments.uniform(0.0, 0.004)):
        lives += 1
        assert lives < 100
    assert lives >= 4

    whole, killed = (CommitStore(tmp_path / name).latest() for name in ("whole", "killed"))
    assert whole is not None
    assert killed is not None
    assert killed.complete
    assert (killed.meta, killed.appended) == (whole.meta, whole.appended)
    assert killed.arrays["total"].tobytes() == whole.arrays["total"].tobytes()
    for path in sorted((tmp_path / "whole" / "data").iterdir()):
        assert path.read_bytes() == (tmp_path / "killed" / "data" / path.name).read_bytes()
