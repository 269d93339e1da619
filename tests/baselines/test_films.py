"""Films and pictures of a study: played by the usual commands, embedded, and told where missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from baselines.__main__ import main
from baselines.study.films import film_all
from baselines.study.sides import OURS, PPO, RANDOM, Contest, Side, Trial, contests
from baselines.study.text import facts, markdown
from baselines.study.verdicts import judged
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from tests.baselines.test_study import baseline, make_run
from tests.records.samples import facts_of

PNG = b"\x89PNG\r\n\x1a\n"


def trial(name: str, score: float, where: Path) -> Trial:
    judged_by = ("greedy", "FULL", "LunarLander-v3", (score,))
    return Trial(name, 0, *judged_by, 1e3, 9.0, None, None, where=str(where))


def contest(*sides: Side) -> Contest:
    return Contest("lunarlander", 200.0, sides)


def test_what_cannot_play_is_told_in_its_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [250.0, 252.0])
    films = film_all(
        [
            contest(
                Side(OURS, (trial("run", 250.0, run),)),
                Side(PPO, (trial("gone", 1.0, tmp_path / "gone"),)),
                Side(RANDOM, (trial("random", 0.0, tmp_path),)),
            )
        ],
        seed=3,
    )
    assert [(film.agent, film.gif) for film in films] == [(OURS, b""), (PPO, b"")]
    assert all(film.words.startswith("no film: error: ") for film in films)
    assert "gone" in films[1].words


def test_the_median_run_is_filmed(tmp_path: Path) -> None:
    trials = tuple(trial(name, n, tmp_path / name) for n, name in enumerate("abcd"))
    (film,) = film_all([contest(Side(PPO, trials))], seed=0)
    assert str(tmp_path / "b") in film.words


@pytest.mark.torch
@pytest.mark.gym
def test_a_baseline_is_filmed_by_the_usual_command(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("Box2D")
    words = ["ppo", "--task", "lunarlander", "--steps", "64", "--episodes", "1"]
    assert main([*words, "--evaluations", "1", "--out", str(tmp_path)]) == 0
    where = tmp_path / "ppo-lunarlander-seed0"
    (film,) = film_all([contest(Side(PPO, (trial("it", 1.0, where),)))], seed=3)
    assert film.gif.startswith(b"GIF8"), film.words
    assert film.words.startswith("it: ppo-lunarlander-seed0: ")


def measured_run(tmp_path: Path) -> Path:
    """A run whose V was measured and drawn, and whose practice told where its time went."""
    run = make_run(tmp_path / "run", [250.0, 252.0])
    rundir = RunDir.open(run)
    here = {"task": "lunarlander", "mode": "FULL", "round": 0}
    ledger = Ledger(rundir.ledger_path)
    seen = {**here, "stage": "vision", "metrics": {"pixel_accuracy": 0.75}, "seconds": 61.0}
    ledger.append("stage_done", **facts_of("stage_done", **seen))
    spent = {"learning": 28.0, "environment": 10.0}  # 1.0 each in two samples
    practised = {**here, "stage": "controller", "metrics": {}, "seconds": 40.0, "spent": spent}
    ledger.append("stage_done", **facts_of("stage_done", **practised))
    picture = rundir.stage_dir("lunarlander", "FULL", 0, "vision") / "vision.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(PNG)
    return run


def test_where_the_time_went_and_what_v_knows(tmp_path: Path) -> None:
    baseline(tmp_path / "b", "ppo", 0, [220.0])
    found = list(map(judged, contests([measured_run(tmp_path)], [tmp_path / "b"])))
    text = markdown("x", found, [])
    assert "vision 1m01s, controller 40s" in text
    assert "of practice: learning 75%, environment 25%" in text
    assert "| training 1m15s, examinations not counted |" in text
    line = next(line for line in text.splitlines() if "pixel accuracy" in line)
    assert "| 0.75 | share of pixels rebuilt within 0.05 of [0, 1] | more |" in line
    (told,) = facts(found)["tasks"]
    assert told["sides"][0]["runs"][0]["measures"][0][:2] == ["vision", "pixel accuracy"]


def test_the_page_holds_pictures_and_films(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from baselines.study.films import AgentFilm
    from baselines.study.page import page

    baseline(tmp_path / "b", "ppo", 0, [220.0])
    found = list(map(judged, contests([measured_run(tmp_path)], [tmp_path / "b"])))
    films = [
        AgentFilm("lunarlander", OURS, b"GIF89a", "run: <b>score</b> 250"),
        AgentFilm("lunarlander", PPO, b"", "no film: error: gone"),
        AgentFilm("pong", PPO, b"GIF89a", "of a task that is not here"),
    ]
    html = page("x", found, [], (), films)
    assert 'src="data:image/gif;base64,R0lGODlh"' in html
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in html
    assert "ours, run: &lt;b&gt;score&lt;/b&gt; 250" in html
    assert "no film: error: gone" in html and "not here" not in html
    assert "what is seen, and what it draws again" in html
    trials = found[0].contest.sides[0].trials
    gone = replace(trials[0], pictures=(str(tmp_path / "gone.png"),))
    without = replace(found[0].contest, sides=(Side(OURS, (gone,)), *found[0].contest.sides[1:]))
    assert "data:image/png" not in page("x", [judged(without)], [])


def test_films_are_for_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", [250.0])
    baseline(tmp_path / "b", "ppo", 0, [220.0])
    assert main(["compare", str(run), "--baseline", str(tmp_path / "b"), "--films"]) == 2
    assert "name a file by --html too" in capsys.readouterr().err
