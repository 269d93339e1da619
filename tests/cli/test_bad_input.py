"""Bad input: exit 2, one clear message, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ncurriculum: {tasks: *c}\n"

BAD = {
    "unknown key": (b"vae: {z_dmi: 32}\n", "z_dim"),
    "wrong type": (b"vae: {z_dim: many}\n", "many"),
    "out of range": (b"dream: {temperature: 9}\n", "2"),
    "python tag": (b"name: !!python/object/apply:os.system ['touch pwned']\n", "tag"),
    "alias bomb": (BOMB.encode(), "alias"),
    "not utf-8": (b"name: \xff\xfe\n", "UTF-8"),
    "empty file": (b"", "empty"),
    "unknown task": (b"curriculum: {tasks: [pnog]}\n", "pong"),
    "twice the same key": (b"seed: 1\nseed: 2\n", "seed"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_configurations_are_refused(curriculum, tmp_path: Path, name: str) -> None:
    content, hint = BAD[name]
    (tmp_path / "bad.yaml").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    done = curriculum("run", "bad.yaml")
    assert done.code == 2, done.err
    assert done.out == ""
    assert "bad.yaml" in done.err and hint in done.err
    assert "Traceback" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("run", "missing.yaml"), "missing.yaml"),
        (("resume", "runs/none"), "runs/none"),
        (("report", "runs/none"), "runs/none"),
        (("evaluate", "runs/none"), "runs/none"),
        (("play", "runs/none"), "runs/none"),
        (("run", "tiny.yaml", "--set", "vae.z_dim=-3"), "vae.z_dim"),
        (("run", "tiny.yaml", "--tasks", "pnog"), "pong"),
        (("run", "tiny.yaml", "--mode", "BEST"), "SIMULATION"),
        (("run", "tiny.yaml", "--max-time", "soon"), "soon"),
        (("run", "tiny.yaml", "--vae-epochs", "0"), "vae-epochs"),
        (("runn", "tiny.yaml"), "runn"),
        ((), ""),
    ],
)
def test_bad_command_lines_are_refused(curriculum, tiny: Path, args: tuple, hint: str) -> None:
    before = sorted(tiny.parent.rglob("*"))
    done = curriculum(*args)
    assert done.code == 2, done.err
    assert hint in done.err
    assert "Traceback" not in done.err
    assert sorted(tiny.parent.rglob("*")) == before


def test_all_mistakes_are_told_at_once_with_their_lines(curriculum, tmp_path: Path) -> None:
    text = "seed: -1\nvae:\n  z_dim: 0\n  btea: 1\nmdnrnn: {rnn_size: 1.5}\n"
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    message = curriculum("validate", "bad.yaml").err
    for place in ("bad.yaml:1", "bad.yaml:3", "bad.yaml:4", "bad.yaml:5"):
        assert place in message
