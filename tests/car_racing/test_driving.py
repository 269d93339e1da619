"""The diagnosis of a driver: laps with answers known ahead, its picture, and a run that has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curriculum.agent.episodes import Episode
from curriculum.agent.told import ToldEpisode
from curriculum.cli.main import main
from curriculum.envs.car_racing import racers_of
from curriculum.envs.interface import ActionSpec, EnvSpec, VectorEnv
from curriculum.envs.lap import LAP_FACTS, Road
from curriculum.envs.registry import make_env
from curriculum.insight.drawing import BACKGROUND
from curriculum.insight.driving import look_at_driving, speed_read
from curriculum.insight.lap_picture import (
    AHEAD,
    GRASS,
    MARGIN,
    MISSED,
    OFF,
    ROAD,
    SIDE,
    TITLE,
    lap_panel,
)
from curriculum.insight.laps import Excursion, lap_of, summary_of, worst_and_median
from tests.car_racing.driving import steered

SPEC = EnvSpec(
    "Track-v0",
    "state",
    (1,),
    ActionSpec("discrete", 2),
    frames_per_step=4,
    facts=("else", *LAP_FACTS),
)


def told(score: float, **columns: list[float]) -> ToldEpisode:
    """An episode on a ring of ten tiles; what is not given is 0."""
    steps = len(next(iter(columns.values())))
    values = {"else": [7.0] * steps, "tiles": [10.0] * steps, **columns}
    facts = np.stack([values.get(name, [0.0] * steps) for name in SPEC.facts], axis=1)
    episode = Episode(int(score), score, steps, terminated=False)
    actions, features = np.zeros(steps, np.int64), np.zeros((steps, 1), np.float32)
    return ToldEpisode(episode, actions, facts.astype(np.float32), features)


ROUND = told(
    870,
    front=[1, 4, 9, 11, 12],
    visited=[2, 4, 8, 8, 9],
    left_behind=[0, 0, 1, 2, 1],
    wheels_off=[0, 4, 4, 3, 0],
)
LOST = told(120, front=[1, 2, 2], visited=[2, 3, 3], wheels_off=[4, 0, 4])
WHOLE = told(930, front=[3, 6, 9], visited=[4, 7, 10], complete=[0, 0, 1])


def test_a_lap_that_came_round_and_left_a_tile_behind() -> None:
    lap = lap_of(ROUND, SPEC)
    assert (lap.frames, lap.tiles, lap.visited, lap.left_behind) == (20, 10, 9, 1)
    assert lap.came_round == 16 and not lap.complete and not lap.lost
    assert lap.excursions == (Excursion(frame=8, tile=4, frames=8, found_back=True),)


def test_a_car_that_stays_on_the_grass_is_lost() -> None:
    lap = lap_of(LOST, SPEC)
    assert lap.came_round is None and lap.lost
    assert [e.found_back for e in lap.excursions] == [True, False]
    assert lap.excursions[1] == Excursion(frame=12, tile=2, frames=4, found_back=False)


def test_what_laps_have_in_common() -> None:
    laps = [lap_of(one, SPEC) for one in (ROUND, LOST, WHOLE)]
    assert worst_and_median(laps) == (1, 0)
    assert worst_and_median(laps[:2]) == (1, 1) and worst_and_median(laps[:1]) == (0, 0)
    found = summary_of(laps)
    assert json.loads(json.dumps(found))["laps"][1]["excursions"][0]["tile"] == 1
    del found["laps"]
    assert found == {
        "episodes": 3,
        "score_mean": 640.0,
        "score_median": 870.0,
        "score_worst": 120.0,
        "visited_share": pytest.approx((0.9 + 0.3 + 1.0) / 3),
        "left_behind_mean": pytest.approx(1 / 3),
        "complete": 1,
        "complete_frames": [12],
        "came_round": 1,
        "came_round_frame_median": 16.0,
        "left_the_road": 2,
        "not_found_back": 1,
    }


def test_a_picture_shows_misses_where_they_are() -> None:
    """Six squares in a row, of which the car touched the first, the third and the fourth."""
    corner = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    road = Road(
        np.stack([corner + np.array([x, 0]) for x in range(6)]),
        np.array([1, 0, 1, 1, 0, 0], np.bool_),
    )
    line = np.array([[0.5, 0.2], [2.5, 0.2], [2.5, 2.2]], np.float32)
    panel = lap_panel("a title", road, 3, line, np.array([False, False, True]))
    assert panel.shape == (TITLE + SIDE, SIDE, 3)
    scale = (SIDE - 2 * MARGIN) / 6

    def at(x: float, y: float) -> tuple[int, ...]:
        """The colour at a place of the track, whose middle is that of the panel."""
        column, row = SIDE / 2 + (x - 3) * scale, TITLE + SIDE / 2 - (y - 1.1) * scale
        return tuple(panel[round(row), round(column)].tolist())

    assert at(0.5, 0.8) == ROAD and at(2.2, 0.8) == ROAD
    assert at(1.5, 0.8) == MISSED
    assert at(4.5, 0.8) == AHEAD, "what the car never came to is not missed"
    np.testing.assert_allclose(at(2.5, 1.6), OFF, atol=20)  # smooth at its edges
    assert at(1.5, 1.6) == GRASS
    title = panel[:TITLE].reshape(-1, 3)
    assert (title != BACKGROUND).any()


@pytest.mark.gym
@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
@pytest.mark.parametrize("table", [False, True])
def test_the_track_of_an_episode_is_found_again(table: bool) -> None:
    actions = ((0.0, 0.4, 0.0), (0.3, 0.0, 0.0), (-0.3, 0.0, 0.0)) if table else ()

    def make(num_envs: int) -> VectorEnv:
        look: dict[str, Any] = {"frame_skip": 4, "max_episode_steps": 40, "actions": actions}
        return make_env("CarRacing-v3", "pixels", num_envs, **look)

    env = make(1)
    (racer,) = racers_of(env)
    env.reset([6])
    taken, facts, rng = [], [], np.random.default_rng(0)
    for _ in range(40):
        action = np.int64(rng.integers(3)) if table else steered(racer._env.unwrapped)
        step = env.step(np.asarray(action)[None])
        assert step.facts is not None
        taken.append(action)
        facts.append(step.facts[0])
    road = racer.road()
    assert road.tiles.shape == (len(road.visited), 4, 2)
    assert road.visited.sum() == facts[-1][LAP_FACTS.index("visited")]
    x, y = racer._env.unwrapped.car.hull.position  # pyright: ignore[reportAttributeAccessIssue]
    if not table:
        under = np.hypot(*(road.tiles.mean(axis=1) - (x, y)).T).argmin()
        assert road.visited[under], "corners are those of the tiles, in their order"
    features = np.zeros((40, 1), np.float32)
    one = ToldEpisode(Episode(6, 1.0, 40, False), np.stack(taken), np.stack(facts), features)
    found, picture = look_at_driving([one], env.spec, make)
    env.close()
    assert found["laps"][0]["visited"] == road.visited.sum()
    assert picture is not None and picture.shape[1] > 2 * SIDE
    assert (picture == ROAD).all(axis=2).any()


SHORT = """\
name: short
curriculum: {mode: GYM_ONLY, workers: 0}
collect: {num_random_rollouts: 2, max_steps_per_rollout: 20}
vae: {z_dim: 4}
mdnrnn: {rnn_size: 4, sequence_length: 4}
controller: {population_size: 4, generations: 1, rollouts_per_candidate: 1, check_every: 0}
evaluate: {episodes: 3, insight_episodes: 2}
tasks:
  drive:
    env_id: CarRacing-v3
    observation: pixels
    target: 900
    env: {num_envs: 2, frame_skip: 4, max_episode_steps: 10}
  swing: {env_id: Pendulum-v1, observation: state, target: 0, env: {max_episode_steps: 10}}
"""


@pytest.mark.gym
@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
def test_a_run_publishes_it_and_a_command_has_it_for_any_driver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.yaml").write_text(SHORT)
    run = tmp_path / "run"
    assert main(["run", str(tmp_path / "short.yaml"), "--run-dir", str(run), "--quiet"]) == 3
    (picture,) = run.rglob("laps.png")
    assert "evaluate" in str(picture)
    with Image.open(picture) as image:
        assert image.size[0] > 2 * SIDE
    results = json.loads((run / "evaluation_results.json").read_text())
    drive = next(task for task in results["tasks"] if task["task"] == "drive")
    (evaluation,) = drive["evaluations"]
    driving = evaluation["driving"]
    assert driving["episodes"] == 2
    # They are the evaluation's own first episodes.
    assert [lap["score"] for lap in driving["laps"]] == evaluation["scores"][:2]
    assert all(lap["frames"] == 40 for lap in driving["laps"])
    report = (run / "report.md").read_text()
    assert "## Driving" in report and "not found back" in report
    assert "0 of 2 laps complete" in report

    capsys.readouterr()
    drawn = tmp_path / "laps.png"
    command = ["laps", str(run), "--task", "drive", "--episodes", "2", "--png", str(drawn)]
    assert main([*command, "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "left behind" in said and "written" in said and drawn.exists()
    assert main([*command, "--json", "--quiet"]) == 0
    assert len(json.loads(capsys.readouterr().out)["laps"]) == 2
    assert main(["laps", str(run), "--task", "swing", "--quiet"]) == 2
    assert "tells nothing of laps" in capsys.readouterr().err


def driven(seed: int, steps: int, *, reads: bool, late: int = 0) -> ToldEpisode:
    """An episode whose speed wanders, and stands among what C reads before the next step."""
    rng = np.random.default_rng(seed)
    speed = np.cumsum(rng.standard_normal(steps)).astype(np.float32)
    told_of = {name: [0.0] * steps for name in SPEC.facts} | {"speed": speed.tolist()}
    facts = np.stack([told_of[name] for name in SPEC.facts], axis=1).astype(np.float32)
    features = rng.standard_normal((steps, 3)).astype(np.float32)
    if reads:
        features[1 + late :, 1] = 2.0 * speed[: steps - 1 - late] - 1.0
    episode = Episode(seed, 0.0, steps, terminated=False)
    return ToldEpisode(episode, np.zeros(steps, np.int64), facts, features)


def test_a_speed_among_what_is_read_is_found_there_and_one_that_is_not_is_not() -> None:
    known = speed_read([driven(seed, 80, reads=True) for seed in range(8)], SPEC)
    assert known is not None and known["r2"] > 0.999 and known["rows"] >= 79
    unknown = speed_read([driven(seed, 80, reads=False) for seed in range(8)], SPEC)
    assert unknown is not None and unknown["r2"] < 0.1


def test_what_is_read_before_a_step_is_compared_with_the_speed_then() -> None:
    late = speed_read([driven(seed, 80, reads=True, late=1) for seed in range(8)], SPEC)
    assert late is not None and 0.5 < late["r2"] < 0.999


def test_too_few_steps_tell_nothing_of_speed() -> None:
    assert speed_read([WHOLE], SPEC) is None
