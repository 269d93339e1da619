"""What a user names for an output is a plain file, through links, or it is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from curriculum.errors import RunIOError
from curriculum.records.files import output_path, write_bytes
from curriculum.records.ledger import Ledger
from diagnostics.json_report import write_json
from tests.faults.conftest import Sandbox


def odd(path: Path, kind: str) -> Path:
    """Makes something that is no plain file."""
    if kind == "a device":
        return Path("/dev/full")
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a link to a device":
        path.symlink_to("/dev/null")
    else:
        path.symlink_to(path)
    return path


ODD = ["a device", "a pipe", "a directory", "a link to a device", "a link to itself"]


@pytest.mark.faults("an output named on the command line is {kind}", expect="refused, not replaced")
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = odd(tmp_path / "out", kind)
    before = path.lstat()
    with pytest.raises(RunIOError, match="cannot write"):
        output_path(path)
    with pytest.raises(RunIOError):
        write_json(str(path), {})
    assert stat.S_IFMT(path.lstat().st_mode) == stat.S_IFMT(before.st_mode)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.gif"
    link.symlink_to("there/film.gif")
    write_bytes(output_path(link), b"new")
    assert link.is_symlink() and (tmp_path / "there/film.gif").read_bytes() == b"new"
    write_bytes(output_path(link), b"newer")
    assert link.is_symlink() and (tmp_path / "there/film.gif").read_bytes() == b"newer"
    assert output_path(tmp_path / "new" / "file") == tmp_path / "new" / "file"


@pytest.mark.faults("`play --gif` names {kind}", expect="exit 7 at once, and it is still there")
@pytest.mark.parametrize("kind", ODD)
def test_a_film_goes_to_a_file(place: Sandbox, whole: Sandbox, kind: str) -> None:
    path = odd(place.path / "film.gif", kind)
    before = stat.S_IFMT(path.lstat().st_mode)
    done = place("play", str(whole.run), "--gif", str(path))
    assert done.code == 7, done.err
    assert "cannot write" in done.err and "Traceback" not in done.err
    assert stat.S_IFMT(path.lstat().st_mode) == before


def test_a_film_goes_through_a_link(place: Sandbox, whole: Sandbox) -> None:
    (place.path / "film.gif").symlink_to("elsewhere.gif")
    assert place("play", str(whole.run), "--gif", "film.gif").code == 0
    assert (place.path / "film.gif").is_symlink()
    assert (place.path / "elsewhere.gif").read_bytes().startswith(b"GIF8")


def test_a_ledger_refuses_links(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b'{"half')
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunIOError, match="a link"):
        Ledger(tmp_path / "events.jsonl").append("notice", task="x", text="y")
    assert (tmp_path / "elsewhere").read_bytes() == b'{"half'


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("x")])
def test_a_file_of_a_run_replaces_only_plain_files(tmp_path: Path, make) -> None:
    make(tmp_path / "report.md")
    with pytest.raises(RunIOError, match="in its place"):
        write_bytes(tmp_path / "report.md", b"x")
    assert not stat.S_ISREG((tmp_path / "report.md").lstat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
