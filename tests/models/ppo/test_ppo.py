"""PPO: that controllers act as it does, its loss, its bootstrapping, and that it loses nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.controller import TorchController  # noqa: E402
from models.controller_cpu import CPUController, PolicyShape  # noqa: E402
from models.interfaces import NonFiniteLoss, PolicyLearner  # noqa: E402
from models.networks.actor_critic import actor_critic  # noqa: E402
from models.networks.initialise import build  # noqa: E402
from models.numeric.returns import rollout_targets  # noqa: E402
from models.ppo import PPO  # noqa: E402
from models.settings.ppo import PPOSettings  # noqa: E402
from models.settings.units import USUAL, Units  # noqa: E402
from tests.models.ppo.policy_learning import (  # noqa: E402
    CONTINUOUS,
    DISCRETE,
    KINDS,
    MEAN,
    STD,
    A,
    F,
    assert_same_state,
    ended,
    features_of,
    learner,
    reference,
    rollout_of,
    shape_of,
    spread_out,
)

pytestmark = pytest.mark.torch


def test_it_is_a_policy_learner() -> None:
    ppo = learner(DISCRETE)
    assert isinstance(ppo, PolicyLearner)
    assert (ppo.num_features, ppo.get_parameters().dtype) == (F, np.float32)


@KINDS
@pytest.mark.parametrize("hidden", [(), (16, 8)])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("units", [USUAL, Units("relu", True)], ids=repr)
def test_controllers_act_as_the_policy_does(
    kind: dict[str, Any], hidden: tuple[int, ...], scaled: bool, units: Units
) -> None:
    ppo = PPO(shape_of(kind, hidden, units))
    if scaled:
        ppo.set_feature_scale(MEAN, STD)
    spread_out(ppo, 0.3)
    features = features_of(np.random.default_rng(0), 64)
    outputs = ppo.outputs(features)
    for controller in (CPUController, TorchController):
        acting = controller(**kind, hidden_sizes=hidden, units=units)
        acting.set_parameters(ppo.get_parameters())
        actions = acting.act(features)
        if kind is DISCRETE:
            best = np.sort(outputs, axis=1)
            clear = best[:, -1] - best[:, -2] > 1e-3
            assert clear.sum() > 50
            np.testing.assert_array_equal(actions[clear], outputs.argmax(axis=1)[clear])
        else:
            low, high = (np.array(kind[bound]) for bound in ("action_low", "action_high"))
            expected = low + (np.tanh(outputs[:, :A]) + 1.0) / 2.0 * (high - low)
            np.testing.assert_allclose(actions, expected, atol=2e-4)


@KINDS
def test_parameters_return_as_they_were_given_and_values_stay(kind: dict[str, Any]) -> None:
    ppo, features = learner(kind), features_of(np.random.default_rng(1), 9)
    given = np.random.default_rng(2).standard_normal(ppo.num_parameters).astype(np.float32)
    values = ppo.values(features)
    ppo.set_parameters(given)
    np.testing.assert_allclose(ppo.get_parameters(), given, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(ppo.values(features), values)


def test_a_scale_that_comes_late_changes_no_action_and_no_value() -> None:
    rng, ppo = np.random.default_rng(3), PPO(shape_of(DISCRETE))
    features = features_of(rng, 9)
    ppo.set_parameters(0.1 * rng.standard_normal(ppo.num_parameters))
    before = ppo.get_parameters()
    ppo.set_feature_scale(MEAN, STD)
    np.testing.assert_allclose(ppo.get_parameters(), before, rtol=1e-5, atol=1e-5)
    ppo.update([rollout_of(rng, DISCRETE)], rng)
    values, outputs = ppo.values(features), ppo.outputs(features)
    ppo.set_feature_scale(MEAN + 0.01, 2 * STD)
    np.testing.assert_allclose(ppo.values(features), values, atol=1e-4)
    np.testing.assert_allclose(ppo.outputs(features), outputs, atol=1e-4)


@KINDS
def test_a_gradient_is_that_of_the_written_out_objective(kind: dict[str, Any]) -> None:
    rollout = rollout_of(np.random.default_rng(4), kind)
    ppo = spread_out(
        learner(kind, epochs=1, minibatch_size=1000, gamma=0.9, gae_lambda=0.8, max_grad_norm=1e9),
        0.1,
    )
    state = {name: torch.tensor(value) for name, value in ppo.state().items()}
    weights = {n: v.requires_grad_() for n, v in state.items() if n.startswith(("pol", "val"))}
    loss, _ = reference(kind, state, rollout)
    loss.backward()
    metrics = ppo.update([rollout], np.random.default_rng(0))
    assert metrics["loss"] == pytest.approx(loss.item(), abs=1e-4)
    assert metrics["approx_kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["clip_fraction"] == 0.0
    after = ppo.state()
    for name, weight in weights.items():
        gradient = after[f"adam.exp_avg.{name}"] / 0.1  # Adam's first moment: (1 - 0.9) g
        np.testing.assert_allclose(gradient, weight.grad.numpy(), atol=2e-4, err_msg=name)


@pytest.mark.parametrize(("log_std", "passes"), [(3.0, "near"), (-6.0, "far")])
def test_a_spread_beyond_its_range_feels_only_what_leads_back(log_std: float, passes: str) -> None:
    shape = PolicyShape(1, "continuous", 1, (), None, None)
    network = actor_critic(shape, (1, 4, 1), None, seed=0)
    outputs = torch.tensor([[0.0, log_std]] * 2, requires_grad=True)
    log_probs, _ = network.weigh(outputs, torch.tensor([[0.0], [100.0]]))
    (-log_probs.sum()).backward()
    assert outputs.grad is not None
    near, far = outputs.grad[:, 1].tolist()
    assert (near, far < 0.0) == ((1.0, False) if passes == "near" else (0.0, True))


@KINDS
def test_the_second_epoch_is_clipped_around_the_policy_that_played(kind: dict[str, Any]) -> None:
    rollout = rollout_of(np.random.default_rng(4), kind)
    settings = {"minibatch_size": 1000, "gamma": 0.9, "gae_lambda": 0.8, "learning_rate": 0.03}
    once, twice = (spread_out(learner(kind, epochs=e, **settings), 0.1) for e in (1, 2))
    states = [once.state()]
    once.update([rollout], np.random.default_rng(0))
    states.append(once.state())
    metrics = twice.update([rollout], np.random.default_rng(0))
    tensors = ({name: torch.tensor(v) for name, v in state.items()} for state in states)
    old, new = (reference(kind, state, rollout)[1] for state in tensors)
    ratio = (new - old).exp().numpy().astype(np.float64)
    assert metrics["epochs_done"] == 2
    assert metrics["approx_kl"] == pytest.approx(np.mean(ratio - 1 - np.log(ratio)), rel=1e-2)
    assert metrics["clip_fraction"] == pytest.approx(np.mean(np.abs(ratio - 1) > 0.1), abs=0.02)
    assert 0.1 < metrics["clip_fraction"] < 1.0


def bandit(ppo: PPO, kind: dict[str, Any], updates: int) -> float:
    """One-step episodes: the right action is told by a feature; returns the last mean reward."""
    acting, reward = CPUController(**kind, hidden_sizes=(16,)), np.zeros(0, np.float32)
    for number in range(updates):
        rng = np.random.default_rng([6, number])
        features = features_of(rng, 4, 64)
        told = (features[..., 1] - MEAN[1]) / STD[1]
        acting.set_parameters(ppo.get_parameters())
        actions = np.stack([acting.sample(rows, rng) for rows in features])
        right = np.digitize(told, [-0.4, 0.4]) if kind is DISCRETE else 4.0 + told.clip(-1, 1)
        rewarded = actions == right if kind is DISCRETE else -np.square(actions[..., 2] - right)
        reward = rewarded.astype(np.float32)
        rollout = ended(rollout_of(rng, kind, 4, 64))
        rollout = replace(rollout, features=features, actions=actions, rewards=reward)
        ppo.update([rollout], rng)
    return float(reward.mean())


@KINDS
def test_it_learns_what_a_feature_asks_for(kind: dict[str, Any]) -> None:
    ppo = learner(kind, learning_rate=5e-3, minibatch_size=128)
    assert bandit(ppo, kind, 1) < (0.5 if kind is DISCRETE else -1.0)
    assert bandit(ppo, kind, 70) > (0.85 if kind is DISCRETE else -0.3)


def test_cut_episodes_are_worth_what_would_have_followed_and_ended_ones_nothing() -> None:
    ends = np.array([[True, False, False], [False, False, False]])
    cuts = np.array([[False, True, False], [False, True, False]])
    rollout = replace(
        rollout_of(np.random.default_rng(0), DISCRETE, 2, 3),
        rewards=np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32),
        terminated=ends,
        truncated=cuts,
        cut_at=np.array([[1, 1], [0, 1]]),
    )
    values = np.array([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]], np.float32)
    last, cut = np.array([100.0, 200.0, 300.0], np.float32), np.array([7.0, 8.0], np.float32)
    _, returns = rollout_targets(rollout, values, last, cut, gamma=0.5, gae_lambda=0.0)
    expected = [[1.0, 2.0 + 0.5 * 8.0, 3.0 + 0.5 * 60.0], [54.0, 5.0 + 0.5 * 7.0, 156.0]]
    np.testing.assert_allclose(returns, expected)
    advantages, _ = rollout_targets(rollout, values, last, cut, gamma=0.5, gae_lambda=1.0)
    np.testing.assert_allclose(advantages[0], [1 - 10, 6 - 20, 3 + 0.5 * 156 - 30])


def test_steps_that_were_never_taken_teach_nothing() -> None:
    rng = np.random.default_rng(7)
    rollout = rollout_of(rng, CONTINUOUS)
    mask = np.arange(12)[:, None] < rng.integers(3, 13, 8)
    ends = mask & ~np.roll(mask, -1, axis=0) & (np.arange(12) < 11)[:, None]
    ends = (rollout.terminated | ends) & ~rollout.truncated
    rollout = replace(rollout, terminated=ends, mask=mask)
    garbage = replace(
        rollout,
        features=np.where(mask[..., None], rollout.features, np.nan),
        actions=np.where(mask[..., None], rollout.actions, np.nan),
        rewards=np.where(mask, rollout.rewards, np.inf),
        terminated=rollout.terminated & mask,
        last_features=np.where((mask & ~ends)[-1][:, None], rollout.last_features, np.nan),
    )
    ours, theirs = learner(CONTINUOUS), learner(CONTINUOUS)
    metrics = ours.update([rollout], np.random.default_rng(0))
    assert metrics == theirs.update([garbage], np.random.default_rng(0))
    assert metrics["steps"] == mask.sum() < mask.size
    assert_same_state(ours.state(), theirs.state())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"mask": np.arange(12)[:, None] < np.full(8, 5)}, "masked"),
        ({"truncated": np.ones((12, 8), np.bool_)}, "cut features"),
        ({"terminated": np.ones((12, 8), np.bool_)}, "both"),
        ({"features": np.zeros((12, 8, F + 1), np.float32)}, "features"),
    ],
)
def test_a_rollout_that_contradicts_itself_is_refused(change: dict[str, Any], fault: str) -> None:
    rollout = rollout_of(np.random.default_rng(8), DISCRETE)
    rollout = replace(rollout, terminated=np.zeros((12, 8), np.bool_))
    ppo = learner(DISCRETE)
    before = ppo.state()
    with pytest.raises(ValueError, match=fault):
        ppo.update([replace(rollout, **change)], np.random.default_rng(0))
    assert_same_state(ppo.state(), before)


@KINDS
def test_it_continues_from_a_state_bit_for_bit(kind: dict[str, Any]) -> None:
    rollouts = [rollout_of(np.random.default_rng([9, i]), kind, t=5 + i) for i in range(4)]
    ours, theirs = learner(kind), PPO(shape_of(kind), PPOSettings(minibatch_size=32), seed=1)
    ours.update(rollouts[:2], np.random.default_rng(0))
    theirs.load_state(ours.state())
    theirs.learning_rate = 3e-3
    theirs.move_to("cpu")
    assert (theirs.learning_rate, theirs.device) == (3e-3, "cpu")
    theirs.learning_rate = ours.learning_rate
    for ppo in (ours, theirs):
        ppo.update(rollouts[2:], np.random.default_rng(1))
    assert_same_state(ours.state(), theirs.state())


def test_the_seed_and_the_order_of_the_steps_count() -> None:
    rollout, learned = rollout_of(np.random.default_rng(10), DISCRETE), []
    for seed, shuffle in ((0, 0), (0, 0), (0, 1), (1, 0)):
        ppo = learner(DISCRETE, seed=seed)
        ppo.update([rollout], np.random.default_rng(shuffle))
        learned.append(ppo.get_parameters())
    assert [bool((each == learned[0]).all()) for each in learned] == [True, True, False, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_reward_without_a_number_takes_back_the_whole_update(bad: float) -> None:
    rollout = ended(rollout_of(np.random.default_rng(11), DISCRETE))
    ppo, taken, step = learner(DISCRETE, minibatch_size=8), [], torch.optim.Adam.step
    ppo.update([rollout], np.random.default_rng(0))
    before = ppo.state()
    rollout.rewards[3, 3] = bad  # met by one minibatch of an epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", lambda adam: taken.append(step(adam)))
        with pytest.raises(NonFiniteLoss):
            ppo.update([rollout], np.random.default_rng(1))
    assert taken
    assert_same_state(ppo.state(), before)


def test_epochs_stop_where_the_policy_has_moved_far_enough() -> None:
    rollout = rollout_of(np.random.default_rng(12), DISCRETE)
    stops = learner(DISCRETE, epochs=50, learning_rate=0.02, target_kl=0.01)
    metrics = stops.update([rollout], np.random.default_rng(0))
    assert metrics["epochs_done"] < 50 and metrics["approx_kl"] > 0.01


def test_an_encoder_learns_jointly_and_tells_what_the_controller_reads() -> None:
    def make(seed: int) -> PPO:
        settings = PPOSettings(minibatch_size=32, learning_rate=1e-2)
        return PPO(shape_of(DISCRETE, ()), settings, encoder=build(Encoder, seed))

    rng = np.random.default_rng(13)
    rollout = rollout_of(rng, DISCRETE)
    frames = rng.integers(0, 256, (12 + 1, 8, 6, 6, 1), np.uint8)
    cut = rng.integers(0, 256, (len(rollout.cut_at), 6, 6, 1), np.uint8)
    rollout = replace(rollout, features=frames[:-1], last_features=frames[-1], cut_features=cut)
    ppo, other = make(0), make(1)
    before = ppo.state()
    assert np.isfinite(list(ppo.update([rollout], np.random.default_rng(0)).values())).all()
    weights = [name for name in before if name.startswith("encoder.")]
    assert len(weights) == 2
    assert all((ppo.state()[name] != before[name]).any() for name in weights)
    other.load_state(ppo.state())
    np.testing.assert_array_equal(features := ppo.encode(frames[0]), other.encode(frames[0]))
    acting = CPUController(**DISCRETE)
    acting.set_parameters(ppo.get_parameters())
    np.testing.assert_array_equal(acting.act(features), ppo.outputs(frames[0]).argmax(axis=1))


class Encoder(torch.nn.Module):
    """`[B, 6, 6, 1]` uint8 to `[B, F]` float32."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(36, F)

    def forward(self, frames: Any) -> Any:
        return torch.tanh(self.linear(frames.flatten(1).float() / 255.0))


@KINDS
def test_minibatches_in_parts_take_the_steps_of_whole_ones(kind: dict[str, Any]) -> None:
    rollout = rollout_of(np.random.default_rng(14), kind)
    whole, parts = learner(kind), learner(kind)
    parts.parts = 4
    found = [ppo.update([rollout], np.random.default_rng(0)) for ppo in (whole, parts)]
    assert found[1] == pytest.approx(found[0], rel=1e-3, abs=1e-5)
    for name, value in whole.state().items():
        np.testing.assert_allclose(parts.state()[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
