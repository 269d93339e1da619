"""Loading a run runs no code of its own accord."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from curriculum.backends.backend import import_plugins
from curriculum.config.loading import load_config
from curriculum.config.plugins import code_of, flag, refuse_inside_run, require_agreed, run_of
from curriculum.config.schema import Config, CurriculumConfig, TaskConfig
from curriculum.errors import ConfigError, RunIOError
from tests.faults.conftest import Sandbox

MARK = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"


def naming(*plugins: str, env_id: str = "X-v0") -> Config:
    task = TaskConfig(name="x", env_id=env_id, observation="state", target=1.0)
    return Config(curriculum=CurriculumConfig(plugins=plugins), tasks=(task,))


def make_run(path: Path) -> Path:
    path.mkdir(parents=True)
    for name in ("run.json", "config.yaml"):
        (path / name).write_text("")
    return path


def test_plugins_and_modules_of_environments_are_code() -> None:
    config = naming("a", "b.c", "a", env_id="d.e:X-v0")
    assert code_of(config) == ("a", "b.c", "d.e")
    assert flag(config) == " --plugins a,b.c,d.e"
    assert flag(naming()) == ""


def test_what_was_not_agreed_to_is_named_with_the_option(tmp_path: Path) -> None:
    config = naming("one_plugin", env_id="another_module:X-v0")
    for agreed in ((), ("one_plugin",), ("another",)):
        with pytest.raises(ConfigError, match=r"add --plugins one_plugin,another_module$"):
            require_agreed(config, agreed, tmp_path)
    require_agreed(config, ("one_plugin", "another_module", "more"), tmp_path)
    require_agreed(naming(), (), tmp_path)


@pytest.mark.faults(
    "a plugin that lies inside a run directory, as {how}", expect="refused, and not imported"
)
@pytest.mark.parametrize("how", ["a module", "a package", "bytecode", "behind a link", "in cwd"])
def test_a_module_inside_a_run_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    run = make_run(tmp_path / "runs" / "evil")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    name = "runs.evil.payload_of_a_run"
    if how == "a module":
        (run / "payload_of_a_run.py").write_text(MARK)
    elif how == "a package":
        (run / "payload_of_a_run").mkdir()
        (run / "payload_of_a_run" / "__init__.py").write_text(MARK)
    elif how == "bytecode":
        (run / "payload_of_a_run.pyc").write_bytes(b"")
    elif how == "behind a link":
        (run / "payload.py").write_text(MARK)
        (tmp_path / "payload_of_a_run.py").symlink_to(run / "payload.py")
        name = "payload_of_a_run"
    else:
        (run / "payload_of_a_run.py").write_text(MARK)
        monkeypatch.chdir(run)
        name = "payload_of_a_run"
    for refuse in (refuse_inside_run, lambda n: import_plugins([n])):
        with pytest.raises(ConfigError, match="lies in the run directory"):
            refuse(name)
    with pytest.raises(ConfigError, match="lies in the run directory"):
        require_agreed(naming(name), (name,), run)
    assert not list(tmp_path.rglob("*.ran"))


def test_a_module_beside_runs_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "runs" / "good")
    (tmp_path / "plugin_beside_runs.py").write_text(MARK)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    refuse_inside_run("plugin_beside_runs")
    import_plugins(["plugin_beside_runs"])
    assert list(tmp_path.rglob("*.ran"))
    assert run_of(tmp_path / "runs" / "good" / "x" / "y.py") == tmp_path / "runs" / "good"
    assert run_of(tmp_path / "runs") is None


@pytest.mark.faults("a plugin that {does}", expect="one sentence that names it, exit 2")
@pytest.mark.parametrize(
    ("does", "code", "said"),
    [
        ("is not there", None, "ModuleNotFoundError"),
        ("has a mistake", "x = (", "SyntaxError"),
        ("raises", "1 / 0", r"ZeroDivisionError.*plugin_gone_wrong\.py:1"),
        ("ends the process", "raise SystemExit(0)", "SystemExit"),
    ],
)
def test_a_plugin_that_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, code: str | None, said: str
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    if code is not None:
        (tmp_path / "plugin_gone_wrong.py").write_text(code)
    with pytest.raises(ConfigError, match=rf"plugin_gone_wrong cannot be imported: {said}"):
        import_plugins(["plugin_gone_wrong"])


def test_a_plugin_that_meets_a_shortage_is_not_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "plugin_without_room.py").write_text("raise OSError(24, 'Too many open files')")
    with pytest.raises(RunIOError, match="ulimit -n"):
        import_plugins(["plugin_without_room"])


@pytest.mark.parametrize("name", ["", " ", "a b", "a..b", ".a", "1a", "a;b", "../a", "x" * 300])
def test_what_is_no_module_is_no_plugin(tmp_path: Path, name: str) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps({"curriculum": {"plugins": [name]}}))
    with pytest.raises(ConfigError, match="the name of a Python module"):
        load_config(tmp_path / "c.yaml")


@pytest.mark.faults(
    "`{command}` of a run directory whose config.yaml names a plugin",
    expect="exit 2, the option to add, nothing imported; with it, it goes on",
)
@pytest.mark.parametrize("command", ["resume", "evaluate", "play", "run"])
def test_a_run_directory_is_not_believed(place: Sandbox, whole: Sandbox, command: str) -> None:
    import shutil

    shutil.copytree(whole.run, place.run)
    (place.path / "planted_plugin.py").write_text(MARK, encoding="utf-8")
    config = load_config(place.run / "config.yaml")
    named = replace(config, curriculum=replace(config.curriculum, plugins=("planted_plugin",)))
    from curriculum.config.loading import dump

    (place.run / "config.yaml").write_text(dump(named), encoding="utf-8")
    where = place.run / "config.yaml" if command == "run" else place.run
    words = (command, str(where), *(("--episodes", "1") if command == "evaluate" else ()))
    words += ("--run-dir", str(place.run)) if command == "run" else ()
    refused = place(*words)
    assert refused.code == 2, refused.err
    assert "--plugins planted_plugin" in refused.err and "Traceback" not in refused.err
    assert not list(place.path.rglob("*.ran"))
    assert place("report", str(place.run)).code == 0
    assert not list(place.path.rglob("*.ran"))
    allowed = place(*words, "--plugins", "planted_plugin")
    assert allowed.code in (0, 3), allowed.err
    assert list(place.path.rglob("*.ran"))
