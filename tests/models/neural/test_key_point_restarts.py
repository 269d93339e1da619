"""Key points that leave a thing to none begin anew, exactly, and not for ever."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.vae import ConvVAE  # noqa: E402
from tests.models.neural.test_key_points import World, learn, seer  # noqa: E402

pytestmark = pytest.mark.torch

KEYS = "weight.key_points."


def leaving(unexplained: float, **changes: object) -> ConvVAE:
    """A V whose mixture leaves a share of what changes to no key point, whatever it learns."""
    vae = seer(learning_rate=1e-9, **changes)
    share = np.zeros(3, np.float32)
    share[2] = np.log(unexplained / (1.0 - unexplained) * 2.0) / 10.0
    vae.load_state({**vae.state(), f"{KEYS}share": share})
    return vae


def restarts(vae: ConvVAE, updates: int) -> list[int]:
    told = [metrics["key_point_restarts"] for metrics in learn(vae, World(bar=True), updates)]
    return [number + 1 for number, value in enumerate(told) if value]


@pytest.mark.parametrize(("unexplained", "expected"), [(0.25, [4]), (0.15, [])])
def test_they_begin_anew_after_a_trial_that_left_too_much(
    unexplained: float, expected: list[int]
) -> None:
    vae = leaving(unexplained, key_point_trial=4)
    before = vae.state()
    assert restarts(vae, 4) == expected
    after = vae.state()
    changed = {n for n in before if (np.abs(before[n] - after[n]) > 1e-6).any()}
    weights = {name for name in changed if name.startswith("weight.")}
    begun = {f"{KEYS}{name}" for name in ("first.weight", "second.weight", "heat.weight")}
    assert weights >= begun if expected else not weights
    assert all(not n.startswith("weight.") or n.startswith(KEYS) for n in changed)


def test_other_weights_begin_with_other_moments() -> None:
    vae = leaving(0.5, key_point_trial=2)
    learn(vae, World(), 2)
    state = vae.state()
    moments = [n for n in state if n.startswith("adam.") and ".key_points." in n]
    assert len(moments) == 3 * len([n for n in state if n.startswith(KEYS)])
    assert all(not state[name].any() for name in moments)
    assert state["adam.exp_avg.down.0.weight"].any(), "the rest of V goes on"
    assert vae.encode(World().pair(np.random.default_rng(0), 2)[0]).shape == (2, 8)


def test_there_are_two_more_trials_and_each_has_weights_of_its_own() -> None:
    vae, firsts = leaving(0.9, key_point_trial=2), []
    for _ in range(5):
        # A fresh mixture leaves a third of what changes to none: each trial fails.
        found = restarts(vae, 2)
        firsts.append((vae.state()[f"{KEYS}first.weight"], found))
    assert [bool(found) for _, found in firsts] == [True, True, False, False, False]
    assert (firsts[0][0] != firsts[1][0]).any()
    np.testing.assert_array_equal(firsts[1][0].round(5), firsts[4][0].round(5))


def test_without_trials_nothing_begins_anew() -> None:
    assert restarts(leaving(0.9, key_point_trial=0), 6) == []


def test_it_resumes_bit_for_bit_across_a_restart() -> None:
    world, settings = World(bar=True), {"key_point_trial": 3}
    whole = seer(**settings)
    expected = learn(whole, world, 2) + learn(whole, world, 4, seed=1)
    assert [m["key_point_restarts"] for m in expected] == [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    first, second = seer(**settings), seer(**settings)
    learn(first, world, 2)
    second.load_state(first.state())
    assert learn(second, world, 4, seed=1) == expected[2:]
    for name, value in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], value, err_msg=name)


def test_what_began_anew_learns_as_what_is_new_does() -> None:
    vae, world = leaving(0.6, key_point_trial=5), World(bar=True)
    learn(vae, world, 5)
    vae.learning_rate = 5e-3
    history = learn(vae, world, 300, seed=3)
    assert history[-1]["key_point_outliers"] < 0.2
