"""LunarLander played fast is Gymnasium's LunarLander, bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest

from curriculum.envs.batch import Batch
from curriculum.envs.contract import check_vector_env
from curriculum.envs.gym.singles import GymSingle, Singles, hold
from curriculum.envs.gym.view import view_of
from curriculum.envs.interface import VectorEnv
from curriculum.envs.lunar_lander import NAME, fast_lander, fast_landers

# Box2D's module warns of itself as it loads, and crashes where that is made an error.
pytestmark = [
    pytest.mark.gym,
    pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning"),
]

Policy = Callable[[gymnasium.Env, np.ndarray, np.random.Generator], Any]


def native(**kwargs: Any) -> gymnasium.Env:
    return gymnasium.make(NAME, disable_env_checker=True, **kwargs)


def heuristic(env: gymnasium.Env, observation: np.ndarray, _: np.random.Generator) -> Any:
    from gymnasium.envs.box2d import lunar_lander

    chosen = lunar_lander.heuristic(env, observation)
    return chosen.astype(np.float32) if isinstance(chosen, np.ndarray) else np.int64(chosen)


def at_random(env: gymnasium.Env, _: np.ndarray, rng: np.random.Generator) -> Any:
    if isinstance(env.action_space, gymnasium.spaces.Discrete):
        return rng.integers(4)
    # Wider than the bounds, at the edges of what starts an engine, and exactly on them.
    wild = rng.uniform(-1.5, 1.5, 2)
    return np.where(rng.random(2) < 0.3, np.round(2 * wild) / 2, wild).astype(np.float32)


def always(action: Any) -> Policy:
    return lambda *_: action


def play(
    policy: Policy, seeds: Sequence[int], frames_per_step: int = 1, **kwargs: Any
) -> Counter[str]:
    """Plays both side by side, each on one instance; returns how the episodes ended."""
    slow, env, ends = native(**kwargs), native(**kwargs), Counter[str]()
    fast = fast_lander(env, frames_per_step, notice=pytest.fail)
    assert fast is not None
    rng = np.random.default_rng(0)
    for seed in seeds:
        observation, _ = slow.reset(seed=seed)
        seen = fast.reset(seed)
        over = False
        while not over:
            assert seen.dtype == np.float32
            assert seen.tobytes() == observation.tobytes(), f"seed {seed}: {seen} {observation}"
            action = policy(slow, observation, rng)
            observation, reward, terminated, truncated = hold(slow, action, frames_per_step)
            seen, *found = fast.step(action)
            assert found == [reward, terminated, truncated], f"seed {seed}: {action}"
            over = terminated or truncated
        assert seen.tobytes() == observation.tobytes()
        ends[_end(slow)] += 1
    slow.close()
    fast.close()
    return ends


def _end(env: gymnasium.Env) -> str:
    lander: Any = env.unwrapped
    if not lander.lander.awake:
        return "landed"
    if lander.game_over:
        return "crashed"
    return "left" if abs(lander.lander.position.x - 10) >= 10 else "time"


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weak gravity": {"gravity": -2.5},
    "strong gravity": {"gravity": -11.9},
    "wind": {"enable_wind": True},
    "storm": {"enable_wind": True, "wind_power": 20.0, "turbulence_power": 2.0},
}


@pytest.mark.parametrize("policy", [at_random, heuristic])
@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_number_is_gymnasiums(name: str, continuous: bool, policy: Policy) -> None:
    assert play(policy, range(5), continuous=continuous, **VARIANTS[name]).total() == 5


def test_every_end_of_an_episode_is_met() -> None:
    assert play(heuristic, range(20, 26))["landed"] >= 4
    assert play(always(np.int64(0)), range(10))["crashed"] == 10
    thrust = np.array([1.0, 0.0], np.float32)
    assert play(always(thrust), range(6), continuous=True)["left"] >= 1
    ends = play(at_random, range(6), max_episode_steps=20)
    assert ends == {"time": 6}


def test_a_landing_bounces_on_both_legs() -> None:
    """Legs that leave one of two edges at once are where the order of contacts matters."""
    fall = always(np.int64(0))
    assert play(fall, range(30), gravity=-0.4).total() == 30


@pytest.mark.parametrize("frames_per_step", [2, 3])
@pytest.mark.parametrize("continuous", [False, True])
def test_held_actions_sum_their_rewards(frames_per_step: int, continuous: bool) -> None:
    ends = play(at_random, range(4), frames_per_step, continuous=continuous)
    assert ends.total() == 4
    limited = play(at_random, range(3), frames_per_step, max_episode_steps=20)
    assert limited == {"time": 3}


def batches(
    num_envs: int, frame_skip: int = 1, max_episode_steps: int = 0, **kwargs: Any
) -> tuple[VectorEnv, VectorEnv]:
    """Returns the same environments as any are played, and as LunarLanders are."""
    slow, fast = ([native(**kwargs) for _ in range(num_envs)] for _ in range(2))
    limit = max_episode_steps
    view = view_of(NAME, slow[0], "state", frame_skip=frame_skip, max_episode_steps=limit)
    landers = fast_landers(view.spec, fast, limit, pytest.fail)
    assert landers is not None
    singles = Singles(view.spec, [GymSingle(env, view) for env in slow])
    return Batch(singles, limit), Batch(landers)


@pytest.mark.parametrize("continuous", [False, True])
def test_a_batch_keeps_the_contract(continuous: bool) -> None:
    assert not check_vector_env(lambda n: batches(n, continuous=continuous)[1], steps=110)
    assert not check_vector_env(lambda n: batches(n, max_episode_steps=9)[1], steps=12)


@pytest.mark.parametrize(
    "options",
    [
        {"frame_skip": 3},
        {"continuous": True, "max_episode_steps": 70},
        {"enable_wind": True, "frame_skip": 2, "max_episode_steps": 30},
    ],
)
def test_a_batch_plays_as_any_batch_does(options: dict[str, Any]) -> None:
    slow, fast = batches(3, **options)
    np.testing.assert_array_equal(fast.reset([1, 2, 3]), slow.reset([1, 2, 3]))
    rng, ended = np.random.default_rng(0), 0
    for _ in range(150):
        actions = np.stack([slow.spec.action.sample(rng) for _ in range(3)])
        np.testing.assert_array_equal(fast.send(actions), slow.send(actions))
        found, expected = fast.recv(), slow.recv()
        assert found.observations.flags.writeable
        assert found.facts is None and expected.facts is None
        for one, other in zip(found[:-1], expected[:-1], strict=True):
            assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
        over = np.flatnonzero(expected.terminated | expected.truncated)
        ended += over.size
        # The first is parked for good, so rows are not told apart by luck.
        named = over[over > 0].tolist()
        np.testing.assert_array_equal(fast.reset(None, named), slow.reset(None, named))
    assert ended > 2
    slow.close()
    fast.close()


def test_an_episode_depends_on_its_seed_alone() -> None:
    fast = fast_lander(native(enable_wind=True))
    assert fast is not None

    def episode(seed: int) -> Iterator[bytes]:
        yield fast.reset(seed).tobytes()
        for action in np.random.default_rng(3).integers(4, size=60):
            observation, reward, *_ = fast.step(action)
            yield observation.tobytes() + np.float64(reward).tobytes()

    first = list(episode(7))
    list(episode(8))
    assert list(episode(7)) == first
    assert list(episode(8)) != first


def test_observations_are_never_written_again() -> None:
    fast = fast_lander(native())
    assert fast is not None
    kept = [fast.reset(1), *(fast.step(np.int64(2))[0] for _ in range(5))]
    then = [observation.copy() for observation in kept]
    fast.reset(2)
    fast.step(np.int64(1))
    assert all(np.array_equal(now, before) for now, before in zip(kept, then, strict=True))


def test_a_step_needs_a_reset() -> None:
    fast = fast_lander(native())
    assert fast is not None
    with pytest.raises(RuntimeError, match="call reset first"):
        fast.step(np.int64(0))
    fast.reset(0)
    fast.close()
    with pytest.raises(RuntimeError, match="call reset first"):
        fast.step(np.int64(0))
    fast.close()


def test_what_is_not_gymnasiums_lander_is_left_alone() -> None:
    from gymnasium.envs.box2d.lunar_lander import LunarLander

    class Other(LunarLander):
        pass

    refused = [
        native(render_mode="rgb_array"),
        Other(),
        gymnasium.wrappers.TransformReward(native(), lambda reward: -float(reward)),
        gymnasium.make("CartPole-v1"),
    ]
    assert [fast_lander(env, notice=pytest.fail) for env in refused] == [None] * 4
    for env in refused:
        env.close()


@pytest.fixture
def unknown_libraries() -> Iterator[None]:
    from curriculum.envs.lunar_lander import likeness

    likeness._difference.cache_clear()
    yield
    likeness._difference.cache_clear()


@pytest.mark.usefixtures("unknown_libraries")
def test_a_changed_formula_leads_back_to_gymnasium(monkeypatch: pytest.MonkeyPatch) -> None:
    from curriculum.envs.lunar_lander import flight

    monkeypatch.setattr(flight, "_REST_Y", flight._REST_Y + 1e-9)
    told: list[str] = []
    assert fast_lander(native(), notice=told.append) is None
    assert len(told) == 1 and "not exact" in told[0]


@pytest.mark.usefixtures("unknown_libraries")
def test_a_changed_box2d_leads_back_to_gymnasium(monkeypatch: pytest.MonkeyPatch) -> None:
    from curriculum.envs.lunar_lander import world

    monkeypatch.delattr(world.raw, "b2World___CreateJoint")
    told: list[str] = []
    assert fast_lander(native(), notice=told.append) is None
    assert len(told) == 1 and "b2World___CreateJoint" in told[0]
