"""What is told of a lap: on a road that is made up, and against the score of a real episode."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from curriculum.envs.batch import Batch
from curriculum.envs.car_racing import TRACK_ROWS, CarRacer
from curriculum.envs.car_racing.lap import LapFollower
from curriculum.envs.contract import check_vector_env
from curriculum.envs.gym.singles import Singles
from curriculum.envs.interface import VectorEnv
from curriculum.envs.lap import LAP_FACTS
from curriculum.envs.registry import make_env
from tests.car_racing.driving import nearest, steered

pytestmark = [
    pytest.mark.gym,
    pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning"),
]


class Road:
    """A ring of tiles and a car of four wheels that is put upon them."""

    def __init__(self, tiles: int) -> None:
        self.road = [SimpleNamespace(idx=i, road_visited=False) for i in range(tiles)]
        self.new_lap = False
        hull = SimpleNamespace(position=(1.0, 2.0), linearVelocity=(3.0, -4.0))
        self.car = SimpleNamespace(hull=hull, wheels=[SimpleNamespace() for _ in range(4)])
        self.drive(0)

    @property
    def tile_visited_count(self) -> int:
        return sum(tile.road_visited for tile in self.road)

    def drive(self, *tiles: int, wheels: int = 4) -> None:
        """Puts so many wheels on these tiles, the others on the grass."""
        under = {tile: self.road[tile] for tile in tiles}
        for tile in under.values():
            tile.road_visited = True
        for number, wheel in enumerate(self.car.wheels):
            wheel.tiles = list(under.values()) if number < wheels else []


def told(lap: LapFollower) -> dict[str, float]:
    return dict(zip(LAP_FACTS, lap.facts(), strict=True))


def test_tiles_that_are_skipped_are_left_behind_five_further_on() -> None:
    road = Road(20)
    lap = LapFollower(road)
    lap.begin()
    assert told(lap) == {
        "tiles": 20,
        "visited": 1,
        "left_behind": 0,
        "front": 0,
        "complete": 0,
        "wheels_off": 0,
        "x": 1.0,
        "y": 2.0,
        "speed": 5.0,
    }
    lefts = []
    for tile in (1, 2, 5, 6, 7, 8, 9):  # 3 and 4 are not touched
        road.drive(tile)
        lefts.append(told(lap)["left_behind"])
    assert lefts == [0, 0, 0, 0, 0, 1, 2]
    road.drive(3, wheels=1)
    facts = told(lap)
    assert (facts["left_behind"], facts["front"], facts["wheels_off"]) == (1, 9, 3)
    road.drive()
    assert told(lap)["wheels_off"] == 4
    lap.begin()
    assert told(lap)["front"] == 0


def test_coming_round_is_no_complete_lap_and_backing_over_the_start_no_coming_round() -> None:
    road = Road(12)
    lap = LapFollower(road)
    lap.begin()
    road.drive(11)
    assert told(lap)["front"] == 0
    fronts = []
    for tile in (*range(1, 5), *range(6, 12), 0, 1, 2):  # 5 is not touched
        road.drive(tile)
        fronts.append(told(lap)["front"])
    assert fronts == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    facts = told(lap)
    assert (facts["visited"], facts["left_behind"], facts["complete"]) == (11, 1, 0)
    road.drive(5)
    facts = told(lap)
    assert (facts["visited"], facts["left_behind"], facts["complete"]) == (12, 0, 1)


def racing_of(env: VectorEnv) -> Any:
    assert isinstance(env, Batch) and isinstance(env.core, Singles)
    racer = env.core.singles[0]
    assert isinstance(racer, CarRacer)
    return racer._env.unwrapped


def test_a_real_episode_is_told_as_its_score_and_its_road_have_it() -> None:
    env = make_env("CarRacing-v3", "pixels", 1, frame_skip=4, grayscale=False)
    racing, score = racing_of(env), 0.0
    env.reset([3])
    lefts, off = [], []
    for number in range(110):
        aside = 30.0 if 30 <= number < 50 else 0.0  # onto the grass and back
        step = env.step(steered(racing, aside=aside)[None])
        score += float(step.rewards[0])
        assert step.facts is not None and step.facts.shape == (1, len(LAP_FACTS))
        facts = dict(zip(LAP_FACTS, step.facts[0].tolist(), strict=True))
        tiles = len(racing.track)
        # The score is 1000 / tiles for each tile, less a tenth for each of four frames a step.
        counted = (score + 0.4 * (number + 1)) * tiles / 1000
        assert facts["visited"] == pytest.approx(counted, abs=1e-3)
        assert facts["tiles"] == tiles and not facts["complete"]
        # Where it is on the road, the front lies under it.
        if not facts["wheels_off"]:
            assert abs(facts["front"] - nearest(racing)) <= 3
        untouched = [tile.idx for tile in racing.road if not tile.road_visited]
        assert facts["left_behind"] == sum(idx + 5 <= facts["front"] for idx in untouched)
        assert (facts["x"], facts["y"]) == pytest.approx(tuple(racing.car.hull.position))
        lefts.append(facts["left_behind"])
        off.append(facts["wheels_off"] == 4)
    assert not any(off[:30]) and any(off[30:60]) and not any(off[90:]), "it found back"
    assert max(lefts[:30]) == 0 and lefts[-1] >= 5
    env.close()


def test_facts_cross_from_workers_and_keep_the_contract() -> None:
    def make(num_envs: int, workers: int = 0) -> VectorEnv:
        look: dict[str, Any] = {"frame_skip": 4, "max_episode_steps": 6}
        return make_env("CarRacing-v3", "pixels", num_envs, workers=workers, **look)

    assert check_vector_env(make, steps=9) == []
    here, there = make(3), make(3, workers=2)
    assert here.spec == there.spec and there.spec.facts == LAP_FACTS
    rng = np.random.default_rng(0)
    here.reset([1, 2, 3])
    there.reset([1, 2, 3])
    for _ in range(8):  # the last two find everybody parked
        actions = np.stack([here.spec.action.sample(rng) for _ in range(3)])
        mine, theirs = here.step(actions).facts, there.step(actions).facts
        assert mine is not None and theirs is not None
        np.testing.assert_array_equal(mine, theirs)
    assert not mine.any()
    here.close()
    there.close()


def test_looking_at_the_lap_changes_nothing() -> None:
    plain, watched = (
        CarRacer(
            gymnasium.make("CarRacing-v3", disable_env_checker=True),
            4,
            grayscale=True,
            top_rows=TRACK_ROWS,
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(plain.reset(5), watched.reset(5))
    rng = np.random.default_rng(1)
    for _ in range(30):
        action = rng.uniform([-1, 0, 0], 1).astype(np.float32)
        expected, found = plain.step(action), watched.step(action)
        watched.facts()
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1:] == expected[1:]
    plain.close()
    watched.close()
