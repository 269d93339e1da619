"""SAC: its density, its targets, what it finds and the entropy it holds, by known answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.controller_cpu import CPUController, PolicyShape  # noqa: E402
from models.interfaces import Transitions  # noqa: E402
from models.off_policy.actor import Actor  # noqa: E402
from models.off_policy.critics import Critics, frozen  # noqa: E402
from models.off_policy.sac import SAC  # noqa: E402
from models.settings.sac import SACSettings  # noqa: E402
from models.settings.units import USUAL, Units  # noqa: E402
from tests.models.off_policy.replayed import batch_of, sac, taught  # noqa: E402

pytestmark = pytest.mark.torch


def test_a_sample_s_density_is_that_of_a_squashed_gaussian() -> None:
    actor, x, noise = Actor((3, 4, 4), USUAL), torch.randn(50, 3), torch.randn(50, 2)
    actions, log_probs = actor.draw(x, noise)
    mean, log_std = actor.outputs(x).chunk(2, dim=1)
    normal = torch.distributions.Normal(mean, log_std.exp())
    squash = [torch.distributions.TanhTransform(cache_size=1)]
    policy = torch.distributions.TransformedDistribution(normal, squash)
    torch.testing.assert_close(actions, torch.tanh(mean + log_std.exp() * noise))
    torch.testing.assert_close(log_probs, policy.log_prob(actions).sum(1), atol=1e-3, rtol=1e-3)


def test_a_saturated_action_has_a_finite_density() -> None:
    actor = Actor((1, 2), USUAL)
    with torch.no_grad():
        actor.layers[0].bias.copy_(torch.tensor([40.0, -9.0]))  # type: ignore[union-attr]
    _, log_probs = actor.draw(torch.zeros(1, 1), torch.zeros(1, 1))
    # log p = -log std - log(2 pi) / 2 - log(1 - tanh(40)^2), the last about 2 log 2 - 80.
    expected = 5.0 - 0.5 * np.log(2 * np.pi) - (2 * np.log(2.0) - 80.0)
    assert log_probs.item() == pytest.approx(expected, abs=1e-3)


def test_critics_are_what_they_are_written_out_to_be() -> None:
    critics = Critics(2, (5, 6, 4, 1), num_features=3)
    features, actions = torch.randn(7, 3), torch.randn(7, 2)
    values = critics.values(critics.read(features), actions)
    for critic, found in zip(critics.critics(), values, strict=True):
        x = critic.first(torch.cat([features, actions], 1))
        for norm, layer in zip(critic.norms, critic.layers, strict=True):
            x = layer(torch.relu(norm(x)))
        torch.testing.assert_close(found, x.squeeze(1))
    torch.testing.assert_close(critics.least(features, actions, [0, 1]), values.amin(0))


def test_gradients_lead_through_frozen_critics_and_not_to_them() -> None:
    critics = Critics(2, (3, 4, 1), num_features=2)
    actions = torch.randn(5, 1, requires_grad=True)
    read = [each.detach() for each in critics.read(torch.randn(5, 2))]
    with frozen(critics):
        values = critics.values(read, actions)
    values.sum().backward()
    assert actions.grad is not None and actions.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in critics.parameters())


def test_an_actor_s_period_leaves_it_alone_between() -> None:
    learner = sac(actor_period=3)
    taught(learner, 1)
    before = learner.get_parameters()
    taught(learner, 2)
    np.testing.assert_array_equal(learner.get_parameters(), before)
    taught(learner, 1)
    assert not np.array_equal(learner.get_parameters(), before)


def test_targets_follow_by_tau() -> None:
    learner = sac(tau=0.25, learning_rate=1e-2)
    before = learner.state()["targets.each.0.first.weight"]
    taught(learner, 1)
    after = learner.state()
    expected = 0.75 * before + 0.25 * after["critics.each.0.first.weight"]
    np.testing.assert_allclose(after["targets.each.0.first.weight"], expected, rtol=1e-5, atol=1e-7)


def test_a_temperature_without_a_rate_stays() -> None:
    learner = sac(temperature_learning_rate=0.0, initial_temperature=0.3)
    assert [told["temperature"] for told in taught(learner, 3)] == pytest.approx([0.3] * 3)


def test_a_rate_that_is_set_moves_the_temperature_s_along() -> None:
    learner = sac(learning_rate=1e-3, temperature_learning_rate=1e-2, initial_temperature=1.0)
    learner.learning_rate = 1e-4
    first, second = (told["temperature"] for told in taught(learner, 2))
    assert abs(np.log(second / first)) == pytest.approx(1e-3, rel=0.01)  # Adam's first step


def bandit(**changes: Any) -> tuple[SAC, list[dict[str, float]]]:
    """Learns a game of one step that pays -((a0 - 0.5)^2 + (a1 - 3)^2); a0 in ±1, a1 in 2 to 6."""
    shape = PolicyShape(2, "continuous", 2, (16,), (-1.0, 2.0), (1.0, 6.0))
    usual = {"learning_rate": 3e-3, "temperature_learning_rate": 3e-2, "critic_sizes": (32, 32)}
    learner, told = SAC(shape, SACSettings(**{**usual, "initial_temperature": 0.2, **changes})), []
    ends = np.zeros(128, np.float32)
    for number in range(700):
        rng = np.random.default_rng([7, number])
        features = rng.standard_normal((128, 2)).astype(np.float32)
        actions = rng.uniform((-1.0, 2.0), (1.0, 6.0), (128, 2)).astype(np.float32)
        rewards = -np.square(actions - np.array([0.5, 3.0], np.float32)).sum(1)
        told.append(learner.update(Transitions(features, actions, rewards, ends, features), rng))
    return learner, told


def test_the_best_action_of_a_bandit_is_found_and_the_entropy_held() -> None:
    learner, told = bandit(target_entropy=-1.0)
    acting = CPUController(2, "continuous", 2, (16,), (-1.0, 2.0), (1.0, 6.0))
    acting.set_parameters(learner.get_parameters())
    features = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)
    np.testing.assert_allclose(acting.act(features).mean(0), [0.5, 3.0], atol=0.2)
    assert np.mean([each["entropy"] for each in told[-100:]]) == pytest.approx(-2.0, abs=0.3)
    actions = np.tile(np.array([0.5, 3.0], np.float32), (64, 1))
    assert learner.values(features, actions).mean() == pytest.approx(0.0, abs=0.4)  # worst: -11


@pytest.mark.parametrize("units", [USUAL, Units("relu", True)], ids=repr)
def test_the_numpy_twin_draws_the_actions_that_sac_draws(units: Units) -> None:
    learner = sac(units=units)
    taught(learner, 3)
    shape = learner._shape
    acting = CPUController(5, "continuous", 3, (16, 8), shape.low, shape.high, units=units)
    acting.set_parameters(learner.get_parameters())
    rng = np.random.default_rng(0)
    features = batch_of(rng, learner).features
    noise = acting.draw_noise(len(features), rng)
    with torch.no_grad():
        x = learner._network.scale.standardised(features)
        actions, _ = learner._network.actor.draw(x, torch.from_numpy(noise))
    scaled = shape.low + (actions.numpy() + 1.0) / 2.0 * (shape.high - shape.low)
    np.testing.assert_allclose(acting.perturbed(features, noise), scaled, atol=1e-4)
