"""Levels that went badly are played again, the worst most often, and make room once mastered."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.collecting.collector import Collector
from curriculum.collecting.exploration import LastingNoise
from curriculum.collecting.lessons import LessonRules
from curriculum.collecting.levels import KEPT, Levels
from curriculum.collecting.tape import Tape
from curriculum.stops import Barrier, Guard
from models.controller_cpu import CPUController
from tests.collecting.test_pushed_collector import Plain
from tests.curriculum.counting_env import CountingEnv

ENVS = 4


def fresh(row: int, number: int) -> int:
    return 10_000 * row + number


def hard(seed: int) -> bool:
    return seed % 10 == 3


def played(levels: Levels, episodes: int, score: dict[bool, float]) -> list[int]:
    """The seeds of so many episodes of each environment; hard levels score otherwise."""
    seeds = []
    for number in range(episodes):
        for row in range(ENVS):
            seeds.append(levels.seed(row, number))
            levels.ended(row, score[hard(seeds[-1])])
    return seeds


BADLY = {True: -5.0, False: 10.0}


def test_without_a_share_every_level_is_new_and_nothing_is_kept() -> None:
    levels = Levels(fresh, ENVS, 0.0)
    assert played(levels, 50, BADLY) == [fresh(row, n) for n in range(50) for row in range(ENVS)]
    assert levels.state() == {}


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_hard_levels_come_again_with_the_share_asked_for(share: float) -> None:
    seeds = played(Levels(fresh, ENVS, share), 2000, BADLY)[ENVS * 1000 :]
    again = len(seeds) - len({s for s in seeds if not hard(s)})
    expected = share + (1 - share) * 0.1
    assert np.mean([hard(s) for s in seeds]) == pytest.approx(expected, abs=0.03)
    assert again / len(seeds) == pytest.approx(expected, abs=0.03), "others are played once"


def test_a_lower_score_comes_more_often_by_its_rank() -> None:
    levels = Levels(fresh, 1, 0.9)
    for seed in (1, 2, 3):
        levels.load_state({**levels.state(), "playing": np.array([seed])})
        levels.ended(0, -float(seed))
    drawn = [levels.seed(0, number) for number in range(100, 4100)]
    shares = [np.mean([seed == kept for seed in drawn]) for kept in (3, 2, 1)]
    weights = np.array([1, 1 / 2, 1 / 3]) / (1 + 1 / 2 + 1 / 3)
    np.testing.assert_allclose(shares, 0.9 * weights, atol=0.03)


def test_what_is_mastered_makes_room() -> None:
    levels = Levels(fresh, ENVS, 0.5)
    played(levels, 400, BADLY)
    assert all(hard(seed) for seed in levels.state()["seeds"])
    seeds = played(levels, 2000, {True: 10.0, False: -5.0})[ENVS * 1500 :]
    assert not any(hard(seed) for seed in levels.state()["seeds"])
    assert len(levels.state()["seeds"]) == KEPT
    assert np.mean([hard(seed) for seed in seeds]) < 0.1


def test_new_levels_are_not_a_choice_among_levels() -> None:
    """Whether one is played again is independent of what its own seed draws first."""
    seeds = played(Levels(fresh, ENVS, 0.5), 1000, {True: 0.0, False: 0.0})
    once = [seed for seed in set(seeds) if seeds.count(seed) == 1]
    draws = [np.random.default_rng(seed).random() for seed in once]
    assert np.mean(draws) == pytest.approx(0.5, abs=0.04)


def test_only_scores_of_new_levels_are_told() -> None:
    levels = Levels(fresh, 1, 0.5)
    for number in range(300):
        seed = levels.seed(0, number)
        assert levels.ended(0, 0.0) == (seed == fresh(0, number))


def test_what_is_kept_goes_on_from_its_state() -> None:
    whole, first, second = (Levels(fresh, ENVS, 0.5) for _ in range(3))
    expected = played(whole, 60, BADLY)
    begun = played(first, 30, BADLY)
    second.load_state(first.state())
    rest = []
    for number in range(30, 60):
        for row in range(ENVS):
            rest.append(second.seed(row, number))
            second.ended(row, BADLY[hard(rest[-1])])
    assert begun + rest == expected


def test_a_collector_tells_of_scores_and_brings_chosen_levels_back() -> None:
    def collector() -> tuple[Collector, Levels]:
        env, levels = CountingEnv(ENVS), Levels(lambda r, n: 4 + 5 * (r + ENVS * n), ENVS, 0.6)
        made = Collector(
            env,
            Tape(env, levels.seed, 1),
            Plain(),
            CPUController(2, "discrete", 3),
            LessonRules(),
            LastingNoise(0.0),
            levels=levels,
        )
        return made, levels

    guard = Guard(Barrier(1e9), lambda: None)
    (whole, levels), rng = collector(), np.random.default_rng(0)
    whole.begin()
    for _ in range(40):
        whole.step(rng, guard)
    state = whole.state()
    assert len(levels.state()["seeds"]) > 5
    (other, again), chance = collector(), np.random.default_rng()
    chance.bit_generator.state = rng.bit_generator.state

    def part(name: str) -> dict[str, np.ndarray]:
        prefix = f"{name}/"
        return {k.removeprefix(prefix): a for k, a in state.items() if k.startswith(prefix)}

    other.load_state(part, state["features"], pytest.fail)
    for _ in range(40):
        one, two = whole.step(rng, guard), other.step(chance, guard)
        np.testing.assert_array_equal(one.following, two.following)
        assert one.scores == two.scores
    for name, array in levels.state().items():
        np.testing.assert_array_equal(again.state()[name], array)
