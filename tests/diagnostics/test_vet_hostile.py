"""What vet looks at may do anything: each such thing is a finding beside those on all the rest."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest

from curriculum.records.rundir import RunDir
from diagnostics.vetting import command, guard
from tests.diagnostics.test_vet import PLUGIN, TIMEOUT_S

gym = pytest.mark.gym
Findings = list[dict[str, str]]

LINE = """\
import gymnasium, numpy as np, os, signal, sys, time
from curriculum.envs.registry import register_env


class Line(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-99.0, 99.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return np.array([self.at], np.float32), {}

    def step(self, action):
        self.at += 1
        return np.array([self.at], np.float32), 1.0, self.at >= 9, False, {}

"""


def vet(
    tmp_path: Path, *paths: Path, fix: bool = False, timeout_s: float = TIMEOUT_S
) -> tuple[int, Findings]:
    out = tmp_path / "findings.json"
    given = [str(path) for path in paths]
    args = argparse.Namespace(paths=given, fix=fix, json=str(out), timeout=timeout_s)
    code = command.main(args)
    return code, json.loads(out.read_text(encoding="utf-8"))["findings"]


def of(findings: Findings, place: str, *levels: str) -> str:
    """Returns all that was found about a place, in levels that matter."""
    wanted = levels or ("error",)
    return "; ".join(f["text"] for f in findings if f["place"] == place and f["level"] in wanted)


ILL = {
    "returns nothing": ("lambda **kw: None", "returned NoneType"),
    "returns no environment": ("lambda **kw: 7", "returned int"),
    "what makes it raises": ("lambda **kw: 1 / 0", "ZeroDivisionError"),
    "reset raises": ("def reset(self, **kw): raise OSError('no map')", "OSError: no map"),
    "step raises": ("def step(self, a): raise KeyError('torque')", "KeyError: 'torque'"),
    "step exits": ("def step(self, a): sys.exit(0)", "SystemExit: 0"),
    "step ends the process": ("def step(self, a): os._exit(0)", "exit code 0"),
    "step crashes": ("def step(self, a): os.kill(os.getpid(), 11)", "SIGSEGV"),
    "step dies of a signal without a name": ("def step(self, a): os.kill(os.getpid(), 40)", "40"),
    "step floods": ("def step(self, a):\n        while 1: os.write(1, b'x' * 65536)", "8 MiB"),
    "it has no spaces": ("observation_space = None", "its observation_space is NoneType"),
}


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, Findings]:
    """A plugin that registers all of these and, last, a sound environment; and what vet says."""
    path = tmp_path_factory.mktemp("ill")
    file, lines = path / "plugin.py", [LINE]
    for number, (body, _) in enumerate(ILL.values()):
        make = body
        if not body.startswith("lambda"):
            lines.append(f"class Ill{number}(Line):\n    {body}\n\n")
            make = f"Ill{number}"
        lines.append(f"register_env('Ill{number}-v0', {make})\n")
    lines.append(PLUGIN.format(name="Sound-v0", start="0"))
    file.write_text("\n".join(lines), encoding="utf-8")
    return file, *vet(path, file)


@gym
@pytest.mark.faults(
    "vet reviews an environment: {what}",
    expect="a finding with the reason, and the sound one beside it is reviewed as well, exit 1",
)
@pytest.mark.parametrize("what", ILL)
def test_an_ill_environment_is_a_finding(reviewed: tuple[Path, int, Findings], what: str) -> None:
    file, code, findings = reviewed
    name = f"Ill{list(ILL).index(what)}-v0"
    assert code == 1
    assert ILL[what][1] in of(findings, name), findings
    assert of(findings, "Sound-v0", "ok") == "keeps the environment contract"
    if what in ("reset raises", "step raises"):
        assert f"{file}, line " in of(findings, name)


@gym
def test_an_environment_that_raises_in_close_is_told(tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    closing = "    def close(self): raise RuntimeError('not connected')\n"
    file.write_text(f"{LINE}{closing}\nregister_env('Ill-v0', Line)\n", encoding="utf-8")
    _, findings = vet(tmp_path, file)
    assert "not connected" in of(findings, "Ill-v0", "warning", "error")


@gym
@pytest.mark.faults(
    "vet reviews an environment that hangs in {where}",
    expect="ended after --timeout, a finding, and the next path is reviewed",
)
@pytest.mark.parametrize("where", ["step", "import"])
def test_what_hangs_is_ended(tmp_path: Path, where: str) -> None:
    hanging = "time.sleep(99999)"
    body = f"    def step(self, a): {hanging}\n" if where == "step" else ""
    last = f"{hanging}\n" if where == "import" else ""
    file, other = tmp_path / "plugin.py", tmp_path / "other.yaml"
    file.write_text(f"{LINE}{body}\nregister_env('Ill-v0', Line)\n{last}", encoding="utf-8")
    other.write_text("name: other\ncurriculum: {mode: SIMULATION}\n", encoding="utf-8")
    code, findings = vet(tmp_path, file, other, timeout_s=4.0)
    assert code == 1
    # A machine may be so busy that it does not even come to the step.
    assert any("did not end within 4 s" in f["text"] for f in findings)
    assert any(f["place"] == str(other) for f in findings)


def test_the_line_that_something_stands_at_is_told() -> None:
    stack = """Timeout (0:00:08)!
Thread 0x00007f (most recent call first):
  File "/x/slow.py", line 7 in step
  File "/x/main.py", line 1 in <module>
"""
    assert guard._standing_at(stack) == ", standing at /x/slow.py:7"
    assert guard._standing_at("nothing of that kind") == ""


IMPORTS = {
    "os._exit(0)": "exit code 0",
    "sys.exit(0)": "SystemExit: 0",
    "sys.exit('bye')": "SystemExit: bye",
    "os.kill(os.getpid(), 6)": "SIGABRT",
    "import no_such_module": "no_such_module",
    "raise BaseException('no')": "BaseException: no",
    "while 1: print('x' * 65536)": "8 MiB",
    "def f(:": "no Python that can be read",
    "(" * 5000 + ")" * 5000: "",
}


@pytest.mark.faults(
    "vet reviews files whose import exits, crashes, raises, floods, or that are no Python",
    expect="a finding with the reason for each of them, and the sound one among them is imported",
)
def test_ill_imports_are_findings(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    for number, line in enumerate(IMPORTS):
        (folder / f"ill{number}.py").write_text(f"import os, sys\n{line}\n", encoding="utf-8")
    (folder / "sound.py").write_text("X = 1\n", encoding="utf-8")
    (folder / "bytes.py").write_bytes(b"X = '\xff\xfe'\n")
    (folder / "null.py").write_bytes(b"X = 1\0\n")
    code, findings = vet(tmp_path, folder)
    assert code == 1
    for number, reason in enumerate(IMPORTS.values()):
        text = of(findings, str(folder / f"ill{number}.py"))
        assert text and reason in text
    for name in ("bytes.py", "null.py"):
        assert of(findings, str(folder / name))
    assert "registers no environment" in of(findings, str(folder / "sound.py"), "ok")


@gym
@pytest.mark.faults(
    "vet reviews a plugin that removes its working directory, moves, closes its streams, prints "
    "what looks like a finding, and leaves a daemon",
    expect="its environment is reviewed as any other, and no process is left",
)
def test_what_a_plugin_does_to_its_process_changes_nothing(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    file = tmp_path / "plugin.py"
    forged = json.dumps({"finding": {"level": "ok", "place": "forged", "text": "", "fix": ""}})
    deeds = f"""
import shutil, pathlib
shutil.rmtree(os.getcwd())
os.chdir("/")
print({forged!r}, flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))
        time.sleep(99999)
    os._exit(0)
while not pathlib.Path({str(pid_file)!r}).exists():
    time.sleep(0.01)
sys.stdout.close()
sys.stderr.close()
register_env("Line-v0", Line)
"""
    file.write_text(LINE + deeds, encoding="utf-8")
    code, findings = vet(tmp_path, file)
    assert code == 0, findings
    assert of(findings, "Line-v0", "ok")
    assert not any(f["place"] == "forged" for f in findings)
    pid = int(pid_file.read_text())
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


@gym
def test_environments_of_gymnasium_s_registry_are_reviewed_and_pixels_as_pixels(
    tmp_path: Path,
) -> None:
    file = tmp_path / "plugin.py"
    pixels = """
class Frames(Line):
    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 3), np.uint8)

    def reset(self, **kw):
        super().reset(**kw)
        return np.zeros((84, 84, 3), np.uint8), {}

    def step(self, action):
        return np.full((84, 84, 3), self.at, np.uint8), *super().step(action)[1:]


gymnasium.register("Frames-v0", Frames)
"""
    file.write_text(LINE + pixels, encoding="utf-8")
    code, findings = vet(tmp_path, file)
    assert code == 0, findings
    assert of(findings, "Frames-v0", "ok")


def test_a_module_of_a_package_is_imported_as_such_and_finds_its_neighbours(tmp_path: Path) -> None:
    package = tmp_path / "mazes"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "walls.py").write_text("HEIGHT = 3\n", encoding="utf-8")
    (package / "maze.py").write_text("from .walls import HEIGHT\n\nX = HEIGHT\n", encoding="utf-8")
    (tmp_path / "alone.py").write_text("import beside\n\nX = beside.X\n", encoding="utf-8")
    (tmp_path / "beside.py").write_text("X = 1\n", encoding="utf-8")
    code, findings = vet(tmp_path, package, tmp_path / "alone.py")
    assert code == 0, findings


@pytest.fixture
def run(tmp_path: Path) -> Path:
    from curriculum.config.loading import dump
    from curriculum.tasks import load_config

    (tmp_path / "c.yaml").write_text("curriculum: {mode: SIMULATION}\n", encoding="utf-8")
    path = RunDir.create(tmp_path / "run", dump(load_config(tmp_path / "c.yaml"))).path
    (path / "events.jsonl").write_text("", encoding="utf-8")
    return path


@pytest.mark.faults(
    "vet reviews a run directory whose config.yaml names plugins, with a module inside",
    expect="the module is an error, the plugins are flagged, nothing of it is run",
)
def test_code_in_a_run_directory_is_flagged(tmp_path: Path, run: Path) -> None:
    ran = tmp_path / "ran"
    (run / "tasks").mkdir(exist_ok=True)
    payload = run / "tasks" / "payload.py"
    payload.write_text(f"open({str(ran)!r}, 'w')\n", encoding="utf-8")
    config = run / "config.yaml"
    text = config.read_text(encoding="utf-8")
    assert "plugins: []" in text
    config.write_text(text.replace("plugins: []", "plugins: [run.tasks.payload]"), encoding="utf-8")
    code, findings = vet(tmp_path, run)
    assert code == 1
    assert "code inside a run directory" in of(findings, str(payload))
    assert "run.tasks.payload" in of(findings, str(config), "warning")
    assert not ran.exists()


@pytest.mark.faults(
    "vet reviews a run directory with {what} in place of {name}",
    expect="a finding at once, and the rest of the run is reviewed",
)
@pytest.mark.parametrize("name", ["run.json", "config.yaml", "events.jsonl", "lock", "tasks/x.npz"])
@pytest.mark.parametrize("what", ["a FIFO", "a link"])
def test_strange_files_in_a_run_directory_are_findings(
    tmp_path: Path, run: Path, name: str, what: str
) -> None:
    file = run / name
    file.parent.mkdir(exist_ok=True)
    aside = tmp_path / "aside"
    if file.exists():
        file.rename(aside)
    else:
        aside.write_text("", encoding="utf-8")
    os.mkfifo(file) if what == "a FIFO" else file.symlink_to(aside)
    code, findings = vet(tmp_path, run)
    harmless = what == "a link" and "/" in name
    assert code == (0 if harmless else 1), findings
    assert harmless or what in of(findings, str(file))
    if name != "events.jsonl":
        assert of(findings, str(run / "events.jsonl"), "ok") == "0 events"


@pytest.mark.faults(
    "vet reviews configurations that are FIFOs, huge, deep, no text, folders or devices",
    expect="a finding for each, at once and in little memory",
)
def test_hostile_configurations_are_findings(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.yaml" for name in ("fifo", "huge", "deep", "bytes", "device")]
    os.mkfifo(paths[0])
    with paths[1].open("wb") as file:
        file.truncate(2**36)  # a sparse file: it takes no room
    paths[2].write_text("[" * 100_000, encoding="utf-8")
    paths[3].write_bytes(bytes(range(256)) * 99)
    paths[4].symlink_to("/dev/zero")
    code, findings = vet(tmp_path, *paths)
    assert code == 1
    assert all(of(findings, str(path)) for path in paths), findings


def test_hostile_names_and_messages_cannot_move_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "evil\x1b[2Jname\x07[red].py"
    file.write_text("raise ValueError('\\x1b]0;owned\\x07[bold]')\n", encoding="utf-8")
    code, findings = vet(tmp_path, file)
    assert code == 1 and "owned" in of(findings, str(file))
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "\x07" not in captured.out + captured.err
