"""`vet --fix`: what it writes imports afterwards and registers the same, or is not written."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from diagnostics.vetting import fixing
from diagnostics.vetting.fixing import Fix
from tests.diagnostics.test_vet_hostile import of, vet

pytestmark = pytest.mark.skipif(
    not (shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))),
    reason="ruff is not installed",
)
REGISTERING = "from curriculum.envs.registry import register_env\n\nregister_env('Side-v0', None)\n"

BROKEN_BY_FIX = {
    "what it hides behind exec": 'import json\n\nexec("X = json.dumps(1)")\n',
    "what it looks up by name": 'import json\n\nX = globals()["json"].dumps(1)\n',
}


@pytest.mark.faults(
    "vet --fix meets a file that ruff would break: {what}",
    expect="the file is left byte for byte, with the reason",
)
@pytest.mark.parametrize("what", BROKEN_BY_FIX)
def test_a_fix_that_would_not_import_is_not_written(tmp_path: Path, what: str) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(BROKEN_BY_FIX[what], encoding="utf-8")
    code, findings = vet(tmp_path, file, fix=True)
    assert code == 0
    assert file.read_text(encoding="utf-8") == BROKEN_BY_FIX[what]
    left = of(findings, str(file), "warning")
    assert "left as it is" in left and "json" in left
    assert not of(findings, str(file), "fixed")


@pytest.mark.gym
@pytest.mark.faults(
    "vet --fix meets an unused import that registers environments as it loads",
    expect="the import stays, and the reason is told",
)
def test_a_fix_that_would_register_less_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "side.py").write_text(REGISTERING, encoding="utf-8")
    file = tmp_path / "plugin.py"
    file.write_text("import side\n", encoding="utf-8")
    _, findings = vet(tmp_path, file, fix=True)
    assert file.read_text(encoding="utf-8") == "import side\n"
    assert "would register nothing instead of Side-v0" in of(findings, str(file), "warning")


@pytest.mark.faults(
    "vet --fix meets an unused import that another file of the folder takes from there",
    expect="that one is left, every other fix is made",
)
def test_what_another_file_takes_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "a_taker.py").write_text("from giver import json\nimport os\n\nX = json\n")
    (folder / "giver.py").write_text("import json\n")
    (folder / "other.py").write_text("import os\n\nX = 1\n")
    code, findings = vet(tmp_path, folder, fix=True)
    assert code == 0, findings
    assert (folder / "giver.py").read_text() == "import json\n"
    assert "a_taker.py" in of(findings, str(folder / "giver.py"), "warning")
    for name in ("a_taker.py", "other.py"):
        assert "import os" not in (folder / name).read_text()
        assert of(findings, str(folder / name), "fixed")


def test_a_fix_keeps_mode_line_ends_and_the_link_that_leads_to_it(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_bytes(b"import os\r\n\r\nX = 'caf\xc3\xa9'\r\n")
    real.chmod(0o750)
    link.symlink_to(real)
    code, findings = vet(tmp_path, link, fix=True)
    assert code == 0, findings
    assert link.is_symlink() and real.read_bytes() == b"\r\nX = 'caf\xc3\xa9'\r\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o750
    assert of(findings, str(link), "fixed") and of(findings, str(link), "ok")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["findings.json", "link.py", "real.py"]


@pytest.mark.faults(
    "a configuration of ruff beside the files asks for fixes, unsafe ones and a cache",
    expect="without --fix nothing is written, with it no unsafe fix is made",
)
def test_no_configuration_makes_vet_write_more_than_it_was_asked_for(tmp_path: Path) -> None:
    text = "import os\n\n\ndef f():\n    unused = 1\n"
    (tmp_path / "ruff.toml").write_text("fix = true\nunsafe-fixes = true\n", encoding="utf-8")
    file = tmp_path / "plugin.py"
    file.write_text(text, encoding="utf-8")
    vet(tmp_path, file)
    assert file.read_text(encoding="utf-8") == text
    _, findings = vet(tmp_path, file, fix=True)
    assert file.read_text(encoding="utf-8") == text.removeprefix("import os\n")
    assert "F841" in of(findings, f"{file}:4", "warning")
    assert not (tmp_path / ".ruff_cache").exists()


@pytest.mark.faults(
    "vet --fix meets a file that does not import, before or after",
    expect="it is left as it is; one that only its fix lets import is mended",
)
def test_what_does_not_import_is_left(tmp_path: Path) -> None:
    broken, mended = tmp_path / "broken.py", tmp_path / "mended.py"
    broken.write_text("import os\n\nraise RuntimeError('no')\n", encoding="utf-8")
    mended.write_text("import no_such_module_anywhere\n\nX = 1\n", encoding="utf-8")
    code, findings = vet(tmp_path, broken, mended, fix=True)
    assert broken.read_text(encoding="utf-8").startswith("import os")
    assert code == 1 and "RuntimeError: no" in of(findings, str(broken))
    assert mended.read_text(encoding="utf-8") == "\nX = 1\n"
    assert of(findings, str(mended), "fixed")


def test_a_file_with_two_names_or_that_changed_is_left(tmp_path: Path) -> None:
    file, other = tmp_path / "plugin.py", tmp_path / "other"
    file.write_text("import os\n", encoding="utf-8")
    os.link(file, other)
    _, findings = vet(tmp_path, file, fix=True)
    assert "second name" in of(findings, str(file), "warning")
    other.unlink()
    found = fixing._written(file, Fix("import sys\n", ""))
    assert found.level == "warning" and "changed in the meantime" in found.text
    assert file.read_text(encoding="utf-8") == "import os\n"


@pytest.mark.faults(
    "the disk refuses what vet --fix writes",
    expect="the file is as it was, nothing is left beside it, and the reason is told",
)
def test_a_write_that_fails_leaves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "plugin.py"
    file.write_text("import os\n", encoding="utf-8")

    def full(handle: int) -> None:
        raise OSError(28, os.strerror(28), str(file))

    monkeypatch.setattr(os, "fsync", full)
    found = fixing._written(file, Fix("import os\n", ""))
    assert found.level == "warning" and "No space left" in found.text
    assert file.read_text(encoding="utf-8") == "import os\n"
    assert list(tmp_path.iterdir()) == [file]
