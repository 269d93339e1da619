"""A shell completes what is typed, where shtab is installed; where it is not, that is told."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from curriculum.cli.main import main


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_every_shell_gets_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "wmc" in script and "evaluate" in script and "--skip-vae" in script


def test_bash_completes_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    assert main(["completion", "bash"]) == 0
    typed = "COMP_WORDS=(wmc run --sk); COMP_CWORD=2; _shtab_wmc; echo ${COMPREPLY[@]}"
    script = f"{capsys.readouterr().out}\n{typed}\n"
    found = subprocess.run([bash], input=script, capture_output=True, text=True)
    assert {"--skip-vae", "--skip-mdnrnn"} <= set(found.stdout.split()), found.stderr


def test_without_shtab_the_way_to_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 4
    assert "shtab" in capsys.readouterr().err
