"""What comes with the package is found by its name, and never hides a file of the user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from curriculum.cli.main import main
from curriculum.config.shipped import find, shipped, text
from curriculum.config.writing import dump
from curriculum.errors import ConfigError
from curriculum.tasks import load_config
from diagnostics import distribution

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    there = tmp_path / "neuer Ordner ö"
    there.mkdir()
    monkeypatch.chdir(there)
    return there


def test_every_configuration_comes_along_and_holds() -> None:
    assert {"default", "quick", "simulation", "dreams"} <= shipped().keys()
    for name, path in shipped().items():
        assert path.read_text() == (ROOT / "configs" / f"{name}.yaml").read_text()
        assert load_config(Path(name)).tasks


@pytest.mark.parametrize("name", ["quick", "configs/quick.yaml"])
def test_a_name_is_what_is_shipped_until_there_is_such_a_file(name: str, elsewhere: Path) -> None:
    assert find(Path(name)) == shipped()["quick"]
    (elsewhere / "quick").mkdir()
    assert find(Path(name)) == shipped()["quick"], "a directory is no configuration"
    (elsewhere / "quick").rmdir()
    mine = elsewhere / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("seed: 7\n")
    assert load_config(Path(name)).seed == 7


@pytest.mark.parametrize(
    ("name", "said"),
    [("defualt", "did you mean default?"), ("x", "there are default, demo, dreams")],
)
def test_a_name_of_nothing_is_told_with_what_there_is(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        load_config(Path(name))


@pytest.mark.parametrize("name", ["none.yaml", "elsewhere/default.yaml", "configs/none.yaml"])
def test_a_path_is_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load_config(Path(name))


def test_init_writes_what_is_shipped_and_over_nothing(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init"]) == 0 and main(["init", "quick", "--out", "my own.yaml"]) == 0
    assert (elsewhere / "default.yaml").read_text() == text("default")
    assert "run it with: python -m curriculum run 'my own.yaml'" in capsys.readouterr().out
    assert dump(load_config(Path("my own.yaml"))) == dump(load_config(Path("quick")))
    (elsewhere / "default.yaml").write_text("mine")
    assert main(["init"]) == 2 and (elsewhere / "default.yaml").read_text() == "mine"
    assert "is there already" in capsys.readouterr().err
    assert main(["init", "--force"]) == 0 and (elsewhere / "default.yaml").read_text() != "mine"
    assert main(["init", "nothing"]) == 2 and "there are default" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["--version"])
    assert ending.value.code == 0
    assert capsys.readouterr().out.startswith(f"world-models-curriculum {distribution.version()}")


@pytest.mark.parametrize(
    ("clone", "whole", "one"),
    [
        (True, 'pip install -c constraints.txt -e ".[full]"', 'pip install -c constraints.txt "a"'),
        (False, 'pip install "world-models-curriculum[full]"', 'pip install "a"'),
    ],
)
def test_advice_names_a_clone_only_in_one(
    clone: bool, whole: str, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "is_clone", lambda: clone)
    assert distribution.install() == whole and distribution.install("a") == one


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("name", ["models", "diagnostics", "baselines"])
def test_a_folder_of_the_users_with_one_of_our_names_is_not_in_the_way(
    name: str, elsewhere: Path
) -> None:
    (elsewhere / name).mkdir()
    (elsewhere / name / "__init__.py").write_text("raise RuntimeError('of the user')")
    found = python(f"import curriculum, {name}; print({name}.__file__)")
    assert found.stdout.strip() == str(ROOT / name / "__init__.py"), found.stderr


def test_one_that_was_imported_before_is_told_in_a_sentence(elsewhere: Path) -> None:
    (elsewhere / "models").mkdir()
    (elsewhere / "models" / "__init__.py").write_text("")
    found = python("import models, curriculum")
    assert found.returncode == 1 and "import curriculum first, or rename yours" in found.stderr


@pytest.mark.slow
def test_a_run_goes_through_beside_such_folders(elsewhere: Path) -> None:
    for name in ("models", "diagnostics"):
        (elsewhere / name).mkdir()
        (elsewhere / name / "__init__.py").write_text("raise RuntimeError('of the user')")
    words = "run simulation --tasks lunarlander --preset quick --run-dir r --quiet"
    code = f"import sys; sys.argv[1:] = {words.split()!r}; import curriculum.__main__ as m"
    found = python(f"{code}; sys.exit(m.main())")
    assert found.returncode in (0, 3), found.stderr
    assert (elsewhere / "r" / "report.md").is_file()


@pytest.mark.parametrize(
    ("lie", "said"),
    [("sys.platform = 'win32'", "Linux and macOS"), ("sys.version_info = v(3, 10)", "3.11 or")],
)
def test_what_it_cannot_run_on_is_told_in_a_sentence(lie: str, said: str) -> None:
    code = "import sys, importlib.util, importlib.machinery, pathlib\n"
    code += "from collections import namedtuple; v = namedtuple('v', 'major minor')\n"
    found = python(f"{code}{lie}\nimport curriculum")
    assert found.returncode == 1 and said in found.stderr
    assert "Traceback" not in found.stderr
