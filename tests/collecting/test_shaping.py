"""What learning is told beyond the score: costs, bonuses and early ends, with known answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curriculum.collecting.lessons import EpisodeStatistics, LessonRules, lesson_of
from curriculum.collecting.shaping import Shaping, learned_from
from curriculum.config.practice import ShapingConfig, TrainingConfig
from curriculum.envs.interface import ActionSpec, EnvSpec, Step
from curriculum.envs.lap import COMPLETE, LAP_FACTS, LEFT_BEHIND, TILES
from curriculum.errors import ConfigError

BUTTONS = ActionSpec("discrete", 2)
PLAIN = EnvSpec("Plain-v0", "state", (1,), BUTTONS, frames_per_step=4)
TRACK = EnvSpec("Track-v0", "state", (1,), BUTTONS, frames_per_step=4, facts=LAP_FACTS)


def step(
    rewards: list[float],
    *,
    left: list[float] | None = None,
    complete: list[float] | None = None,
    terminated: list[int] | None = None,
    truncated: list[int] | None = None,
) -> Step:
    """A step of some environments on a track of 100 tiles."""
    count = len(rewards)
    facts = np.zeros((count, len(LAP_FACTS)), np.float32)
    facts[:, LAP_FACTS.index(TILES)] = 100
    facts[:, LAP_FACTS.index(LEFT_BEHIND)] = left or [0] * count
    facts[:, LAP_FACTS.index(COMPLETE)] = complete or [0] * count
    flags = (np.array(given or [0] * count, np.bool_) for given in (terminated, truncated))
    nothing = np.zeros((count, 1), np.float32), np.zeros(count, np.bool_)
    return Step(nothing[0], np.array(rewards, np.float32), *flags, nothing[1], facts)


def added(shaping: Shaping, **what: Any) -> list[float]:
    told = shaping(step([0.0, 0.0], **what)).added
    assert told is not None and told.dtype == np.float32
    return told.tolist()


def test_without_settings_nothing_is_told_and_nothing_kept() -> None:
    shaping, seen = Shaping(PLAIN, 2), step([1.0, -1.0])
    shaped = shaping(seen)
    assert shaped.step is seen and shaped.added is None and shaped.ended is None
    assert shaping.state() == {}


def test_a_tile_left_behind_costs_once_and_is_refunded_when_it_is_fetched() -> None:
    """On 100 tiles a tile's reward is 10, so at a cost of 2 one that is left behind takes 20."""
    shaping = Shaping(TRACK, 2, ShapingConfig(left_behind_cost=2.0))
    assert added(shaping, left=[0, 1]) == [0, -20]
    assert added(shaping, left=[3, 1]) == [-60, 0]
    assert added(shaping, left=[2, 1], truncated=[0, 1]) == [20, 0]
    assert added(shaping, left=[2, 0]) == [0, 0], "the next episode begins with none"
    assert added(shaping, left=[2, 2]) == [0, -40]


def test_a_complete_lap_is_rewarded_and_a_frame_costs() -> None:
    shaping = Shaping(TRACK, 2, ShapingConfig(lap_bonus=20.0, frame_cost=0.5))
    assert added(shaping) == [-2, -2]
    assert added(shaping, complete=[1, 0], terminated=[1, 1]) == [18, -2]
    assert added(shaping) == [-2, -2]
    assert Shaping(PLAIN, 1, ShapingConfig(frame_cost=0.5))(step([7.0])).added == [-2]


def test_the_score_never_sees_it() -> None:
    shaping = Shaping(TRACK, 1, ShapingConfig(left_behind_cost=2.0), idle_steps=1)
    seen = step([-0.4], left=[1])
    shaped = shaping(seen)
    assert shaped.step.rewards is seen.rewards
    (ended,) = EpisodeStatistics(1).add(shaped.step)
    assert ended.score == pytest.approx(-0.4) and not ended.terminated
    assert not seen.truncated.any(), "the environment's own step stays as it was"


def test_an_episode_without_a_reward_is_cut() -> None:
    """Costs are no rewards: only one above 0 shows that something is still gained."""
    shaping = Shaping(PLAIN, 2, idle_steps=3)
    cuts = [
        shaping(step(rewards)).step.truncated.tolist()
        for rewards in ([0, -1], [-1, 1], [0, 0], [0, 0], [0, -1], [1, 0])
    ]
    assert cuts == [[0, 0], [0, 0], [1, 0], [0, 0], [0, 1], [0, 0]]


def test_what_ends_by_itself_is_not_cut_as_well() -> None:
    shaping = Shaping(PLAIN, 2, idle_steps=1, idle_penalty=5.0)
    shaped = shaping(step([0.0, 0.0], terminated=[1, 0]))
    assert shaped.step.terminated.tolist() == [1, 0]
    assert shaped.step.truncated.tolist() == [0, 1]
    assert shaped.added is not None and shaped.added.tolist() == [0, -5]


def test_a_cut_is_a_truncation_or_at_a_price_an_end() -> None:
    for penalty in (0.0, 2.0):
        shaped = Shaping(PLAIN, 1, idle_steps=1, idle_penalty=penalty)(step([-0.5]))
        rules = LessonRules(clip_rewards=True, reward_scale=0.1)
        lesson = lesson_of(shaped.step, rules, added=shaped.added, ended=shaped.ended)
        assert lesson.truncated.tolist() == [penalty == 0]
        assert lesson.terminated.tolist() == [penalty > 0]
        # What is added is not clipped, and is scaled like the rest.
        assert lesson.rewards.tolist() == pytest.approx([0.1 * (-1 - penalty)])
        assert not shaped.step.terminated.any()


def test_it_goes_on_from_where_it_was_saved() -> None:
    settings = ShapingConfig(left_behind_cost=1.0)
    one, other = (Shaping(TRACK, 1, settings, idle_steps=3) for _ in range(2))
    one(step([0.0], left=[4]))
    one(step([0.0], left=[4]))
    other(step([0.0], left=[9]))
    other.load_state(one.state())
    shaped = other(step([0.0], left=[5]))
    assert shaped.added is not None and shaped.added.tolist() == [-10]
    assert shaped.step.truncated.all()
    other.load_state({})
    assert not other(step([0.0])).step.truncated.any(), "an older commit holds nothing of it"


@pytest.mark.faults(
    "shaping by a lap in an environment without one", expect="a sentence, exit code 2"
)
def test_a_lap_has_to_be_told_of() -> None:
    with pytest.raises(ConfigError, match=r"shaping\.lap_bonus need.*Plain-v0 tells nothing"):
        Shaping(PLAIN, 1, ShapingConfig(lap_bonus=1.0))


def test_the_report_says_what_was_learned_from() -> None:
    assert learned_from(TrainingConfig(), ShapingConfig()) == ""
    training = TrainingConfig(idle_steps=25, idle_penalty=2.0, disturbance=0.01)
    shaping = ShapingConfig(left_behind_cost=2.0, lap_bonus=20.0, frame_cost=0.03)
    assert learned_from(training, shaping) == (
        "score - 2 tiles' reward for each tile left behind + 20 for a complete lap - 0.03 for each "
        "frame; episodes end after 25 steps without a reward, for 2; bursts of random actions "
        "begin in 1.00% of steps"
    )
