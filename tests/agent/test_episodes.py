from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.agent.episodes import (
    Episode,
    run_episodes,
)
from curriculum.agent.policies import ExploringPolicy, PopulationPolicy, RandomPolicy
from curriculum.agent.work import _Recorder
from curriculum.envs.interface import ActionSpec
from curriculum.seeds import generator
from tests.curriculum.counting_env import CountingEnv

ACTION = ActionSpec("discrete", 3)


class Always:
    """Takes one action for ever and remembers what it is told."""

    def __init__(self, action: int) -> None:
        self.action = action
        self.begun: list[tuple[int, int]] = []
        self.told: list[np.ndarray] = []

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        self.begun += list(zip(slots.tolist(), episodes.tolist(), strict=True))

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        assert len(observations) == len(slots)
        return np.full(len(slots), self.action)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        self.told.append(actions)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.integers(1, 6))
def test_every_seed_is_played_once_whatever_the_batch(seeds: list[int], num_envs: int) -> None:
    episodes = run_episodes(CountingEnv(num_envs), Always(2), seeds)
    lengths = [2 + seed % 5 for seed in seeds]
    assert episodes == [
        Episode(seed, 2.0 * length, length, True)
        for seed, length in zip(seeds, lengths, strict=True)
    ]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 4))
def test_a_cut_episode_is_truncated_and_not_terminated(
    seeds: list[int], num_envs: int, max_steps: int
) -> None:
    episodes = run_episodes(CountingEnv(num_envs), Always(1), seeds, max_steps=max_steps)
    for episode in episodes:
        natural = 2 + episode.seed % 5
        assert episode.steps == min(natural, max_steps)
        assert episode.terminated == (natural <= max_steps)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 4))
def test_an_episode_without_a_reward_for_long_is_cut_with_its_score_as_it_stands(
    seeds: list[int], num_envs: int, idle_steps: int
) -> None:
    for action in (0, 1):
        env = CountingEnv(num_envs)
        for episode in run_episodes(env, Always(action), seeds, idle_steps=idle_steps):
            natural = 2 + episode.seed % 5
            cut = action == 0 and idle_steps < natural
            assert episode.steps == (idle_steps if cut else natural)
            assert (episode.score, episode.terminated) == (action * episode.steps, not cut)


def test_policies_learn_what_was_done_while_the_environments_work() -> None:
    env = CountingEnv(1, life=2)

    class Logged(Always):
        def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
            super().acted(actions, slots)
            env.log.append("acted")

    policy = Logged(1)
    recorded: list[int] = []
    (episode,) = run_episodes(
        env, policy, [3], recorder=lambda live, seen, actions, step: recorded.extend(actions)
    )
    assert env.log == ["send", "acted", "recv"] * 5
    assert recorded == np.concatenate(policy.told).tolist() == [1, 1, 2, 1, 1]
    assert episode.score == 6.0


def test_every_episode_begins_in_exactly_one_slot() -> None:
    policy = Always(0)
    run_episodes(CountingEnv(3), policy, list(range(10)))
    assert sorted(episode for _, episode in policy.begun) == list(range(10))


@given(st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True), st.integers(1, 4))
def test_random_actions_belong_to_the_episode_and_not_to_the_batch(
    seeds: list[int], num_envs: int
) -> None:
    def scores(size: int) -> list[float]:
        streams = [generator(0, seed) for seed in seeds]
        policy = RandomPolicy(ACTION, 0.5, streams)
        return [e.score for e in run_episodes(CountingEnv(size), policy, seeds)]

    assert scores(1) == scores(num_envs)


def test_a_sticky_random_policy_repeats_its_action_as_often_as_asked() -> None:
    policy = RandomPolicy(ACTION, 0.75, [generator(1, "stick")])
    slots = np.array([0])
    policy.begin(slots, slots)
    actions = [int(policy.act(np.zeros((1, 2)), slots)[0]) for _ in range(4000)]
    repeated = np.mean([a == b for a, b in itertools.pairwise(actions)])
    assert repeated == pytest.approx(0.75 + 0.25 / 3, abs=0.02)


def test_an_exploring_policy_replaces_a_share_and_tells_both_what_was_done() -> None:
    followed, other = Always(1), Always(2)
    policy = ExploringPolicy(followed, other, 0.3, [generator(2, i) for i in range(400)])
    episodes = run_episodes(CountingEnv(8), policy, [4] * 400)
    share = (np.mean([e.score / e.steps for e in episodes])) - 1.0
    assert share == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(np.concatenate(followed.told), np.concatenate(other.told))
    assert set(np.concatenate(followed.told).tolist()) == {1, 2}


def test_a_population_gives_each_candidate_its_own_slots() -> None:
    class Seeing:
        def begin(self, slots: np.ndarray) -> None: ...

        def features(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
            return observations.astype(np.float32)

        def acted(self, actions: np.ndarray, slots: np.ndarray) -> None: ...

    class CandidateNumber:
        def act(self, features: np.ndarray) -> np.ndarray:
            return np.broadcast_to(np.arange(len(features))[:, None], features.shape[:2])

    policy = PopulationPolicy(Seeing(), CandidateNumber(), 3, 2, features=2)
    episodes = run_episodes(CountingEnv(6), policy, [0, 1] * 3)
    assert [e.score for e in episodes] == [0, 0, 2, 3, 4, 6]


def test_a_tape_holds_every_step_of_every_episode_in_its_place() -> None:
    seeds = [7, 3, 9, 4, 0, 2, 8]
    env = CountingEnv(3)
    tape = _Recorder(env.num_envs)
    policy = RandomPolicy(ACTION, 0.0, [generator(3, s) for s in seeds])
    episodes = run_episodes(env, policy, seeds, max_steps=4, recorder=tape.record)
    assert sorted(tape.recordings) == list(range(len(seeds)))
    for number, episode in enumerate(episodes):
        observations, actions, rewards = tape.recordings[number]
        assert observations[:, 0].tolist() == [float(seeds[number])] * (episode.steps + 1)
        assert observations[:, 1].tolist() == list(range(episode.steps + 1))
        assert actions.sum() == rewards.sum() == episode.score


def test_lost_lives_and_stretches_without_a_reward_are_counted() -> None:
    """A life is lost in step 2, the action after it is another and pays 2 in step 3."""
    seeds = [3, 0, 4, 13]
    episodes = run_episodes(CountingEnv(2, life=2), Always(0), seeds)
    assert episodes == [
        Episode(3, 2.0, 5, True, lives_lost=1, barren_steps=2),
        Episode(0, 0.0, 2, True, lives_lost=0, barren_steps=2),
        Episode(4, 2.0, 6, True, lives_lost=1, barren_steps=3),
        Episode(13, 2.0, 5, True, lives_lost=1, barren_steps=2),
    ]
