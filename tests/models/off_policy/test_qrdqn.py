"""QR-DQN: its loss, its targets and what it finds, against answers that are known in advance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.controller_cpu import CPUController, PolicyShape  # noqa: E402
from models.interfaces import Transitions  # noqa: E402
from models.off_policy.qrdqn import QRDQN  # noqa: E402
from models.off_policy.quantiles import Quantiles, quantile_huber  # noqa: E402
from models.off_policy.tanh import fast_tanh  # noqa: E402
from models.settings.qrdqn import QRDQNSettings  # noqa: E402
from models.settings.units import USUAL  # noqa: E402
from tests.models.off_policy.replayed import batch_of, qrdqn, taught  # noqa: E402

pytestmark = pytest.mark.torch

GAMMA = 0.9


def test_the_fast_tanh_is_tanh_and_so_is_its_slope() -> None:
    x = torch.linspace(-9.0, 9.0, 999, requires_grad=True)
    y = fast_tanh(x)
    y.sum().backward()
    assert x.grad is not None
    exact = torch.tanh(x.detach().double())
    torch.testing.assert_close(y.detach().double(), exact, atol=3e-7, rtol=0.0)
    torch.testing.assert_close(x.grad.double(), 1.0 - exact**2, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize("kappa", [0.5, 1.0])
def test_the_loss_and_its_gradient_are_those_of_the_paper(kappa: float) -> None:
    rng = np.random.default_rng(0)
    quantiles = torch.tensor(rng.normal(size=(7, 4)), requires_grad=True)
    targets = torch.tensor(rng.normal(size=(7, 5)) * 2.0)
    loss = quantile_huber(quantiles, targets, kappa)
    (got,) = torch.autograd.grad((loss * torch.arange(7)).sum(), quantiles)
    errors = targets[:, None, :] - quantiles[:, :, None]
    tau = (torch.arange(4)[:, None] + 0.5) / 4
    small = 0.5 * errors**2
    huber = torch.where(errors.abs() <= kappa, small, kappa * (errors.abs() - 0.5 * kappa))
    written_out = (tau - (errors < 0).double()).abs() * huber / kappa
    expected = written_out.sum(1).mean(1)
    (wanted,) = torch.autograd.grad((expected * torch.arange(7)).sum(), quantiles)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("hidden", [(), (7,)])
def test_what_is_asked_of_one_action_is_what_all_of_them_hold(
    dueling: bool, hidden: tuple[int, ...]
) -> None:
    network = Quantiles((3, *hidden, 5), USUAL, 4, dueling=dueling).double()
    x, actions = torch.randn(20, 3).double(), torch.tensor([0, 3, 3, 1, 0] * 4)
    seen = network.hidden(x)
    everything = network.all(seen)
    one = network.of_actions(seen, actions)
    torch.testing.assert_close(one, everything[torch.arange(20), actions])
    torch.testing.assert_close(network.means(seen), everything.mean(2))
    weights = [p for p in network.parameters() if p.requires_grad]
    got = torch.autograd.grad(one.square().sum(), weights, retain_graph=True)
    picked = everything[torch.arange(20), actions].square().sum()
    for ours, wanted in zip(got, torch.autograd.grad(picked, weights), strict=True):
        torch.testing.assert_close(ours, wanted)


def test_dueling_shares_a_value_among_the_actions() -> None:
    network = Quantiles((2, 2), USUAL, 1, dueling=True)
    assert network.value is not None
    with torch.no_grad():
        for layer in (network.advantage, network.value):
            layer.weight.zero_()
        network.advantage.bias.copy_(torch.tensor([1.0, 5.0]))
        network.value.bias.fill_(10.0)
        # Q = V + A - mean A = 10 + [1, 5] - 3
        assert network.means(torch.zeros(1, 2)).tolist() == [[8.0, 12.0]]


def step_of(learner: Any, action: int, reward: float, discount: float) -> float:
    """The target that one transition asks for, as the learner tells it."""
    row = np.ones((1, 2), np.float32)
    numbers = [np.array([value], np.float32) for value in (reward, discount)]
    batch = Transitions(row, np.array([action]), *numbers, row)
    return learner.update(batch, np.random.default_rng(0))["target"]


def linear(
    q: tuple[float, float], online: tuple[float, float] | None = None, **changes: Any
) -> Any:
    """A learner whose target network values two actions at `q`, the other one at `online`."""
    settings = QRDQNSettings(num_quantiles=3, learning_rate=1e-9, **changes)
    learner = QRDQN(PolicyShape(2, "discrete", 2, (), None, None), settings)
    temperature = settings.logit_temperature
    state = learner.state()
    for name, values in (("online", online or q), ("target", q)):
        learner.set_parameters(np.array([0, 0, 0, 0, *values], np.float32) / temperature)
        given = learner.state()
        state |= {key: given[key] for key in given if key.startswith(name)}
    learner.load_state(state)
    return learner


def test_targets_are_those_that_are_worked_out_by_hand() -> None:
    assert step_of(linear((2.0, 4.0)), 0, 1.0, 0.5) == pytest.approx(3.0)
    assert step_of(linear((2.0, 4.0)), 0, 1.0, 0.0) == pytest.approx(1.0)


def test_logits_are_values_over_the_temperature_of_the_policy() -> None:
    for changes, expected in (
        ({}, 1.0),
        ({"policy_temperature": 0.3}, 0.1),
        ({"temperature": 0.5}, 0.06),
    ):
        worse, better = linear((2.0, 2.03), **changes).get_parameters()[-2:]
        assert better - worse == pytest.approx(expected, rel=1e-3)


def test_the_network_chooses_and_the_target_network_values() -> None:
    apart: Any = ((2.0, 4.0), (1.0, 0.0))
    assert step_of(linear(*apart, double=True), 0, 1.0, 0.5) == pytest.approx(2.0)
    assert step_of(linear(*apart, double=False), 0, 1.0, 0.5) == pytest.approx(3.0)


@pytest.mark.parametrize(("munchausen", "action"), [(0.0, 0), (0.9, 0), (0.9, 1)])
def test_soft_targets_are_those_of_munchausen_learning(munchausen: float, action: int) -> None:
    q, temperature = np.array([2.0, 2.5]), 0.5
    policy = np.exp(q / temperature) / np.exp(q / temperature).sum()
    soft = (policy * (q - temperature * np.log(policy))).sum()
    bonus = munchausen * max(-1.0, temperature * np.log(policy[action]))
    learner = linear((2.0, 2.5), temperature=temperature, munchausen=munchausen)
    expected = 1.0 + bonus + 0.5 * soft
    assert step_of(learner, action, 1.0, 0.5) == pytest.approx(expected, abs=1e-5)


def test_a_log_probability_is_clipped_before_it_is_added_to_a_reward() -> None:
    learner = linear((0.0, 50.0), temperature=1.0, munchausen=1.0)
    assert step_of(learner, 0, 3.0, 0.0) == pytest.approx(2.0)


def test_sampled_play_is_that_of_the_soft_policy() -> None:
    learner = linear((2.0, 2.5), temperature=0.5)
    acting = CPUController(2, "discrete", 2)
    acting.set_parameters(learner.get_parameters())
    drawn = acting.sample(np.ones((20_000, 2), np.float32), np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(1.0 / (1.0 + np.exp(-1.0)), abs=0.01)


def test_the_target_network_is_the_network_of_the_last_period() -> None:
    learner = qrdqn(target_period=3, learning_rate=1e-2)

    def parts() -> tuple[np.ndarray, np.ndarray]:
        state = learner.state()
        return state["online.body.0.weight"], state["target.body.0.weight"]

    (_, first), _ = parts(), taught(learner, 2)
    np.testing.assert_array_equal(parts()[1], first)
    taught(learner, 1)
    np.testing.assert_array_equal(*parts())


def test_the_target_network_follows_by_tau() -> None:
    learner = qrdqn(tau=0.25, learning_rate=1e-2)
    before = learner.state()["target.body.0.weight"]
    taught(learner, 1)
    after = learner.state()
    expected = 0.75 * before + 0.25 * after["online.body.0.weight"]
    np.testing.assert_allclose(after["target.body.0.weight"], expected, rtol=1e-5, atol=1e-7)


def test_the_values_of_a_chain_of_two_states_are_found() -> None:
    """In A: 0 stays and pays 0, 1 goes to B and pays 1. In B: 0 pays 2 and ends, 1 goes to A."""
    shape = PolicyShape(2, "discrete", 2, (16,), None, None)
    settings = QRDQNSettings(learning_rate=1e-2, num_quantiles=8, tau=0.1)
    learner, states = QRDQN(shape, settings), np.eye(2, dtype=np.float32)
    at, actions = np.array([0, 0, 1, 1] * 8), np.array([0, 1, 0, 1] * 8)
    rewards = np.array([0, 1, 2, 0] * 8, np.float32)
    discounts = np.array([GAMMA, GAMMA, 0, GAMMA] * 8, np.float32)
    then = np.array([0, 1, 1, 0] * 8)
    batch = Transitions(states[at], actions, rewards, discounts, states[then])
    for _ in range(700):
        learner.update(batch, np.random.default_rng(0))
    # From A on: going round, 1 + 0.9 V(B), V(B) = max(2, 0.9 V(A)); 2.8 / (1 - 0.81) > 2 there.
    go_round = 1.0 / (1.0 - GAMMA**2)
    worth_a = max(1.0 + GAMMA * 2.0, go_round)
    worth_b = max(2.0, GAMMA * go_round)
    worth_a = max(worth_a, 1.0 + GAMMA * worth_b)
    expected = [[GAMMA * worth_a, 1.0 + GAMMA * worth_b], [2.0, GAMMA * worth_a]]
    np.testing.assert_allclose(learner.values(states), expected, atol=0.1)


def test_the_quantiles_of_a_known_distribution_are_found() -> None:
    shape = PolicyShape(1, "discrete", 1, (), None, None)
    settings = QRDQNSettings(learning_rate=5e-3, num_quantiles=4, huber_kappa=0.02, dueling=False)
    learner, rng = QRDQN(shape, settings), np.random.default_rng(0)
    ones, ends = np.ones((512, 1), np.float32), np.zeros(512, np.float32)
    for number in range(700):
        learner.learning_rate = 1e-2 if number < 500 else 1e-3
        returns = rng.uniform(0.0, 1.0, 512).astype(np.float32)
        learner.update(Transitions(ones, np.zeros(512, np.int64), returns, ends, ones), rng)
    found = learner.quantiles(ones[:1])[0, 0]
    np.testing.assert_allclose(found, [0.125, 0.375, 0.625, 0.875], atol=0.03)


def test_many_steps_of_learning_stay_finite() -> None:
    learner = qrdqn(learning_rate=1e-2, temperature=0.03)
    for told in taught(learner, 60):
        assert np.isfinite(list(told.values())).all()
    assert batch_of(np.random.default_rng(0), learner).actions.dtype == np.int64
