"""The command line of the baselines: light help, exit codes, files where they were asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from baselines.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def test_help_is_light() -> None:
    program = (
        "import sys\nfrom baselines.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as e:\n    assert e.code == 0\n"
        "heavy = {'numpy', 'torch', 'gymnasium', 'stable_baselines3', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


def test_an_unknown_task_is_a_usage_error_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["random", "--task", "lunarladner", "--out", str(tmp_path / "o")]) == 2
    assert "did you mean lunarlander?" in capsys.readouterr().err
    assert not (tmp_path / "o").exists(), "nothing is written"


def test_a_missing_package_exits_with_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "stable_baselines3"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "baselines.sb3.training", raising=False)
    monkeypatch.delitem(sys.modules, "baselines.sb3.vec_env", raising=False)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    arguments = ["ppo", "--task", "lunarlander", "--steps", "1", "--out", str(tmp_path)]
    assert main(arguments) == 4
    assert "pip install stable-baselines3" in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize("value", ["0", "-1", "1e3", "x", ""])
def test_senseless_numbers_are_usage_errors(value: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["ppo", "--task", "lunarlander", "--steps", value])
    assert stop.value.code == 2


@pytest.mark.gym
def test_random_play_of_the_real_game(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("Box2D")
    out = ["--out", str(tmp_path)]
    assert main(["random", "--task", "lunarlander", "--episodes", "6", *out]) == 0
    assert "over 6 random episodes" in capsys.readouterr().out
    assert (tmp_path / "random-lunarlander-seed0" / "result.json").exists()
    assert main(["random", "--task", "lunarlander", "--episodes", "6", *out]) == 2
