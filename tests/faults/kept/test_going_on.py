"""Going on where nothing is quite as it was: another directory, a read-only one, other seeds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from curriculum.progress import printable
from tests.faults.conftest import TINY, Sandbox

WANDERER = "import os\nos.chdir('/')\n"


@pytest.mark.faults(
    "a plugin changes the working directory, --run-dir is relative",
    expect="the run lies where the command was given; exit 3 and the scores as ever",
)
def test_a_relative_run_dir_stays(place: Sandbox, whole: Sandbox) -> None:
    (place.path / "wanderer.py").write_text(WANDERER, encoding="utf-8")
    text = TINY.replace("workers: 0", "workers: 1, plugins: [wanderer]")
    (place.path / "tiny.yaml").write_text(text, encoding="utf-8")
    done = place("run", "tiny.yaml", "--run-dir", "runs/tiny")
    assert done.code == 3, done.err
    assert "report: runs/tiny/report.md" in done.out
    assert place.learned()[0] == whole.learned()[0]
    again = place("resume", "runs/tiny", "--plugins", "wanderer")
    assert again.code == 3, again.err
    assert (place.run / "report.md").is_file()


def test_the_command_to_go_on_names_the_plugins(place: Sandbox) -> None:
    (place.path / "harmless_plugin.py").write_text("", encoding="utf-8")
    plugin = "--set=curriculum.plugins=[harmless_plugin]"
    mischief = "commit_always;raise_at_save=2,SIGTERM"
    done = place("run", "tiny.yaml", plugin, mischief=mischief)
    assert done.code == 143, done.err
    assert f"{Path('runs/tiny')} --plugins harmless_plugin" in done.err
    assert place("resume", "runs/tiny", "--plugins", "harmless_plugin").code == 3
    assert "--plugins harmless_plugin" in (place.run / "report.md").read_text(encoding="utf-8")


@pytest.mark.faults("`report` of a run directory that is read-only", expect="exit 0, it is printed")
def test_a_report_of_what_cannot_be_written(place: Sandbox, whole: Sandbox) -> None:
    import shutil

    shutil.copytree(whole.run, place.run)
    (place.run / "report.md").unlink()
    # Works for root too, who may write everywhere: nothing replaces a directory.
    (place.run / "report.md").mkdir()
    done = place("report", str(place.run))
    assert done.code == 0, done.err
    assert "# Report of run tiny" in done.out
    assert "was not written" in done.err and "Traceback" not in done.err
    if os.geteuid():
        place.run.chmod(0o555)
        done = place("report", str(place.run))
        place.run.chmod(0o755)
        assert done.code == 0 and "# Report of run tiny" in done.out


@pytest.mark.faults(
    "a YAML with terminal escapes in an environment id", expect="shown as escapes, never obeyed"
)
@pytest.mark.parametrize("command", [("validate",), ("tasks",), ("run", "--dry-run")])
def test_what_a_yaml_holds_is_escaped(place: Sandbox, command: tuple[str, ...]) -> None:
    task = '{env_id: "X\\e]0;owned\\a\\u202e-v0", observation: state, target: 1, '
    task += "env: {simulation: lunarlander}, simulation_target: 1}"
    text = TINY.replace("tasks: [lunarlander], ", "") + f"tasks:\n  x: {task}\n"
    (place.path / "tiny.yaml").write_text(text, encoding="utf-8")
    done = place(command[0], "tiny.yaml", *command[1:])
    for bad in ("\x1b", "\a", "\u202e"):
        assert bad not in done.out
    assert "\\x1b" in done.out + done.err


def test_printable_keeps_lines_and_letters() -> None:
    assert printable("a\tb\nc ü 軌 😀") == "a\tb\nc ü 軌 😀"
    assert printable("\x1b[2J\r\x00\x9b\u202e\ud800") == r"\x1b[2J\r\x00\x9b\u202e\ud800"


@pytest.mark.torch
@pytest.mark.gym
@pytest.mark.faults(
    "a resume of environments that do not honour their seeds",
    expect="goes on from the committed weights in new episodes, said and recorded; ends",
)
def test_environments_that_ignore_their_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from curriculum.collecting.tape import Tape
    from tests.learning.practising import learned, pole

    noise = np.random.default_rng(0)
    seed = Tape._seed

    def ignoring(self: Tape, rows: np.ndarray) -> np.ndarray:
        seed(self, rows)
        others = noise.integers(1 << 30, size=len(rows)).tolist()
        self._observations = self._env.reset(others, rows.tolist())
        return self._observations

    monkeypatch.setattr(Tape, "_seed", ignoring)
    ctx, _ = learned(tmp_path / "run", pole(), 17)
    told = ctx.place.ledger.events("resume_inexact")
    assert told and "new episodes are begun" in told[0]["differences"][0]
    assert ctx.place.completed("controller").complete
    steps = [e["step"] for e in ctx.place.ledger.events("metrics")]
    assert steps[-1] == 5 and sorted(set(steps)) == list(range(1, 6))


def test_pictures_of_finished_tasks_are_not_drawn_again(place: Sandbox) -> None:
    assert place.begin("curriculum.save_videos=true").code == 3
    films = sorted((place.run / "media").iterdir())
    assert films
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in films]
    assert place.resume().code == 3
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in films] == before
    assert len(place.events("media")) == 1
    films[0].unlink()
    assert place.resume().code == 3
    assert films[0].is_file() and len(place.events("media")) == 2
