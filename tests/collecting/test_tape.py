"""Environments come back to where they were: the tape's promise, on every kind of batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from curriculum.collecting.tape import Tape
from curriculum.envs.interface import VectorEnv
from curriculum.envs.registry import make_env
from curriculum.envs.simulation import make_simulation
from curriculum.errors import StageFailure


def seed_of(row: int, number: int) -> int:
    return 1000 * row + number


def simulated() -> VectorEnv:
    return make_simulation("lunarlander", 3, observation="state", max_episode_steps=25)


def lander() -> VectorEnv:
    pytest.importorskip("Box2D")
    return make_env("LunarLander-v3", "state", 3, max_episode_steps=25)


def lander_in_workers() -> VectorEnv:
    pytest.importorskip("Box2D")
    return make_env("LunarLander-v3", "state", 3, max_episode_steps=25, workers=2)


def pong() -> VectorEnv:
    pytest.importorskip("ale_py")
    return make_env("PongNoFrameskip-v4", "pixels", 3, frame_skip=4, max_episode_steps=25)


def racing() -> VectorEnv:
    pytest.importorskip("Box2D")
    return make_env("CarRacing-v3", "pixels", 2, frame_skip=4, grayscale=False, max_episode_steps=9)


class Player:
    """Plays seeded random actions on a tape and remembers what it saw.

    Every so many steps it breaks one episode off, whatever it has come to.
    """

    def __init__(self, env: VectorEnv, reseed_steps: int, broken_off: int = 0) -> None:
        self.broken_off = broken_off
        self.env = env
        self.tape = Tape(env, seed_of, reseed_steps)
        self.seen: list[bytes] = []
        self.ends = 0

    def play(self, rng: np.random.Generator, steps: int) -> None:
        action = self.env.spec.action
        for _ in range(steps):
            chosen = np.stack([action.sample(rng) for _ in range(self.env.num_envs)])
            step = self.tape.step(chosen, lambda taken: None)
            ends = step.terminated | step.truncated
            if self.broken_off and len(self.seen) % self.broken_off == 3:
                ends = ends | (np.arange(len(ends)) == 1)
            over = np.flatnonzero(ends)
            observations = self.tape.begin(over) if over.size else step.observations
            self.ends += over.size
            self.seen.append(observations.tobytes() + step.rewards.tobytes())


@pytest.mark.parametrize("make", [simulated, lander, lander_in_workers, pong, racing])
@pytest.mark.parametrize(
    ("before", "reseed_steps", "broken_off"),
    [(0, 10, 0), (61, 1, 0), (61, 30, 0), (61, 10_000, 0), (61, 10_000, 5)],
)
def test_after_a_restore_everything_goes_on_as_if_nothing_had_been(
    make: Callable[[], VectorEnv], before: int, reseed_steps: int, broken_off: int
) -> None:
    if make is racing:
        before //= 2
    first, second = (Player(make(), reseed_steps, broken_off) for _ in range(2))
    try:
        first.tape.start()
        first.play(np.random.default_rng(1), before)
        state = first.tape.state()
        first.seen.clear()
        first.play(np.random.default_rng(2), 30)
        # Whatever the other batch did before does not count.
        second.tape.start()
        second.play(np.random.default_rng(3), 7)
        second.seen.clear()
        second.tape.restore(state)
        second.play(np.random.default_rng(2), 30)
        assert second.seen == first.seen
        assert first.ends
        again, once = second.tape.state(), first.tape.state()
        assert all(np.array_equal(again[name], once[name]) for name in once)
    finally:
        first.env.close()
        second.env.close()


def test_the_tape_stays_as_short_as_the_oldest_seed() -> None:
    player = Player(simulated(), reseed_steps=20)
    player.tape.start()
    player.play(np.random.default_rng(0), 400)
    assert len(player.tape.state()["actions"]) < 20 + 2 * 25


def test_environments_that_do_not_come_back_are_noticed() -> None:
    player = Player(simulated(), reseed_steps=1000)
    player.tape.start()
    player.play(np.random.default_rng(0), 20)
    state = player.tape.state()
    state["actions"] = (state["actions"] + 1) % player.env.spec.action.size
    with pytest.raises(StageFailure, match="did not come back"):
        Player(simulated(), reseed_steps=1000).tape.restore(state)
