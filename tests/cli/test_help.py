"""Help is instant, teaches, and loads nothing heavy."""

from __future__ import annotations

import re

import pytest

from curriculum.cli.arguments import EPILOG, build_parser
from curriculum.cli.arguments.readers import duration
from curriculum.errors import ExitCode
from tests.cli.conftest import ROOT

LOOKING = (
    "completion",
    "init",
    "keys",
    "validate",
    "tasks",
    "report",
    "evaluate",
    "play",
    "laps",
    "export",
)
COMMANDS = ("run", "resume", *LOOKING)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_every_option(curriculum, command: str) -> None:
    done = curriculum(command, "--help")
    assert done.code == 0
    assert done.out.startswith(f"usage: python -m curriculum {command}")
    for action in build_parser()._subparsers._group_actions[0].choices[command]._actions:
        assert action.help, action


def test_help_names_every_command_and_every_exit_code(curriculum) -> None:
    done = curriculum("--help")
    assert all(command in done.out for command in COMMANDS)
    told = {
        int(number) for number in re.findall(r"\b(\d+) [A-Za-z]", EPILOG.split("exit codes:")[1])
    }
    assert {int(code) for code in ExitCode} <= told
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("| exit code | meaning |")[1].split("\n\n")[0]
    assert {int(code) for code in ExitCode} == {int(n) for n in re.findall(r"\d+", table)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_the_stages_that_can_be_named_are_those_the_runner_walks() -> None:
    from curriculum.progress import STAGES
    from curriculum.runs.runner import STAGE_NAMES

    assert STAGES == STAGE_NAMES
