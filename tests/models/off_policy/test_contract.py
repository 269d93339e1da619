"""What both learners from a replay keep to: exact states, refusals that change nothing, scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.controller import TorchController  # noqa: E402
from models.controller_cpu import CPUController  # noqa: E402
from models.interfaces import (  # noqa: E402
    Descends,
    NonFiniteLoss,
    OffPolicyLearner,
    OutOfDeviceMemory,
)
from models.off_policy.qrdqn import QRDQN  # noqa: E402
from models.off_policy.sac import SAC  # noqa: E402
from models.settings.units import Units  # noqa: E402
from tests.models.off_policy.replayed import (  # noqa: E402
    HIGH,
    LOW,
    MEAN,
    STD,
    A,
    F,
    assert_same_state,
    batch_of,
    features_of,
    qrdqn,
    sac,
    spoilt,
    taught,
)

pytestmark = pytest.mark.torch

Make = Callable[..., Any]


def soft(**changes: Any) -> QRDQN:
    return qrdqn(**{"temperature": 0.1, "dueling": False, "target_period": 2, **changes})


def crowd(**changes: Any) -> SAC:
    return sac(**{"num_critics": 4, "actor_period": 2, **changes})


def normalised(**changes: Any) -> QRDQN:
    return qrdqn(**{"units": Units("relu", True), **changes})


def normalised_actor(**changes: Any) -> SAC:
    return sac(**{"units": Units("tanh", True), **changes})


LEARNERS = pytest.mark.parametrize("make", [qrdqn, soft, normalised, sac, crowd, normalised_actor])


def controller(learner: QRDQN | SAC, kind: type[Any], hidden: tuple[int, ...]) -> Any:
    bounds = (None, None) if isinstance(learner, QRDQN) else (LOW, HIGH)
    name = "discrete" if isinstance(learner, QRDQN) else "continuous"
    acting = kind(F, name, A, hidden, *bounds, units=learner._shape.units)
    acting.set_parameters(learner.get_parameters())
    return acting


@LEARNERS
def test_it_is_an_off_policy_learner(make: Make) -> None:
    learner = make()
    assert isinstance(learner, OffPolicyLearner)
    assert isinstance(learner, Descends)
    assert learner.num_features == F
    assert learner.get_parameters().shape == (learner.num_parameters,)
    assert learner.get_parameters().dtype == np.float32
    (told, *_) = taught(learner, 3)
    assert {"loss", "gradient_norm"} <= told.keys()
    assert all(isinstance(v, float) and math.isfinite(v) for v in told.values())


@LEARNERS
@pytest.mark.parametrize("hidden", [(), (16, 8)])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", [CPUController, TorchController])
def test_controllers_act_as_the_network_does(
    make: Make, hidden: tuple[int, ...], scaled: bool, kind: type[Any]
) -> None:
    learner = make(hidden=hidden, learning_rate=1e-2)
    if scaled:
        learner.set_feature_scale(MEAN, STD)
    rng = np.random.default_rng(0)
    for _ in range(30):
        learner.update(batch_of(rng, learner), rng)
    features = features_of(rng, 200)
    actions = controller(learner, kind, hidden).act(features)
    if isinstance(learner, QRDQN):
        values = learner.values(features)
        np.testing.assert_allclose(values, learner.quantiles(features).mean(2), atol=1e-4)
        clear = np.diff(np.sort(values, axis=1)[:, -2:])[:, 0] > 1e-3
        assert clear.sum() > 150
        np.testing.assert_array_equal(actions[clear], values.argmax(1)[clear])
    else:
        low, high = np.array(LOW), np.array(HIGH)
        means = np.tanh(learner.outputs(features)[:, :A])
        np.testing.assert_allclose(actions, low + (means + 1) / 2 * (high - low), atol=1e-3)


@LEARNERS
def test_parameters_return_as_they_were_given(make: Make) -> None:
    learner = make()
    learner.set_feature_scale(MEAN, STD)
    given = np.random.default_rng(2).standard_normal(learner.num_parameters).astype(np.float32)
    learner.set_parameters(given)
    np.testing.assert_allclose(learner.get_parameters(), given, rtol=1e-4, atol=1e-4)
    learner.set_feature_scale(MEAN + 0.1, 2 * STD)
    np.testing.assert_allclose(learner.get_parameters(), given, rtol=1e-4, atol=1e-3)
    before = learner.state()
    for bad in (given[:-1], np.full_like(given, np.nan)):
        with pytest.raises(ValueError, match="parameters"):
            learner.set_parameters(bad)
    assert_same_state(learner.state(), before)


@LEARNERS
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_a_scale_that_comes_late_changes_no_action_and_no_value(
    make: Make, hidden: tuple[int, ...]
) -> None:
    learner, rng = make(hidden=hidden), np.random.default_rng(3)
    learner.set_feature_scale(MEAN, 2 * STD)
    taught(learner, 5)
    features, actions = features_of(rng, 9), rng.uniform(LOW, HIGH, (9, A))

    def seen() -> list[np.ndarray]:
        worth = [] if isinstance(learner, QRDQN) else [learner.values(features, actions)]
        tell = learner.quantiles if isinstance(learner, QRDQN) else learner.outputs
        return [tell(features), *worth]

    before, parameters = seen(), learner.get_parameters()
    learner.set_feature_scale(MEAN + 0.01, STD)
    for now, then in zip(seen(), before, strict=True):
        np.testing.assert_allclose(now, then, atol=1e-3)
    np.testing.assert_allclose(learner.get_parameters(), parameters, rtol=1e-3, atol=1e-3)


@LEARNERS
def test_a_fresh_learner_keeps_its_weights_when_it_is_told_the_scale(make: Make) -> None:
    learner = make()
    before = learner.state()
    learner.set_feature_scale(MEAN, STD)
    after = learner.state()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"scale.feature_mean", "scale.feature_std"}


@LEARNERS
@pytest.mark.parametrize("between", ["state", "move_to"])
def test_it_goes_on_bit_for_bit(make: Make, between: str) -> None:
    whole = make()
    whole.set_feature_scale(MEAN, STD)
    expected = taught(whole, 7)
    part = make()
    part.set_feature_scale(MEAN, STD)
    told = [part.update(batch_of(rng, part), rng) for rng in rngs(range(4))]
    if between == "state":
        saved, part = part.state(), make(seed=9)
        part.load_state(saved)
    part.move_to("cpu")
    told += [part.update(batch_of(rng, part), rng) for rng in rngs(range(4, 7))]
    assert told == expected
    assert_same_state(part.state(), whole.state())


def rngs(numbers: range) -> list[np.random.Generator]:
    return [np.random.default_rng([0, number]) for number in numbers]


@LEARNERS
@pytest.mark.parametrize("name", ["features", "returns", "discounts", "following"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_changes_nothing(
    make: Make, name: str, value: float
) -> None:
    learner = make()
    taught(learner, 2)
    before, rng = learner.state(), np.random.default_rng(1)
    with pytest.raises(NonFiniteLoss, match=name):
        learner.update(spoilt(batch_of(rng, learner), name, value), rng)
    assert_same_state(learner.state(), before)
    learner.update(batch_of(rng, learner), rng)


@LEARNERS
def test_a_gradient_that_overflows_changes_nothing(make: Make) -> None:
    learner = make()
    taught(learner, 2)
    before, rng = learner.state(), np.random.default_rng(1)
    batch = batch_of(rng, learner)
    with pytest.raises(NonFiniteLoss):
        learner.update(replace(batch, returns=np.full(32, 3e38, np.float32)), rng)
    assert_same_state(learner.state(), before)


@LEARNERS
def test_many_updates_are_put_back_if_they_do_not_come_to_their_end(make: Make) -> None:
    learner = make()
    taught(learner, 2)
    before = learner.state()
    with pytest.raises(KeyboardInterrupt), learner.all_or_nothing():
        taught(learner, 3)
        raise KeyboardInterrupt
    assert_same_state(learner.state(), before)
    with learner.all_or_nothing():
        taught(learner, 1)
    assert learner.state()["updates"] == 3


@LEARNERS
@pytest.mark.parametrize("name", ["features", "actions", "returns", "discounts", "following"])
def test_a_batch_of_another_shape_is_refused_with_a_sentence(make: Make, name: str) -> None:
    learner, rng = make(), np.random.default_rng(1)
    batch = batch_of(rng, learner)
    before = learner.state()
    wrong = replace(batch, **{name: getattr(batch, name)[..., :-1]})
    with pytest.raises(ValueError, match=r"was given \w+ \(.*expected"):
        learner.update(wrong, rng)
    assert_same_state(learner.state(), before)


@LEARNERS
def test_parts_of_a_batch_add_up_to_it(make: Make) -> None:
    whole, parts = make(), make()
    parts.parts = 3
    for told, by_parts in zip(taught(whole, 4), taught(parts, 4), strict=True):
        assert by_parts == pytest.approx(told, rel=1e-3, abs=1e-4)
    for name, value in whole.state().items():
        np.testing.assert_allclose(parts.state()[name], value, atol=2e-3, err_msg=name)


@LEARNERS
def test_out_of_memory_is_told_and_changes_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make()
    taught(learner, 2)
    before, rng = learner.state(), np.random.default_rng(1)

    def spent(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(learner, "_terms", spent)
        with pytest.raises(OutOfDeviceMemory):
            learner.update(batch_of(rng, learner), rng)
    assert_same_state(learner.state(), before)


@LEARNERS
def test_the_rate_can_be_set_and_is_used(make: Make) -> None:
    learner = make()
    assert learner.learning_rate == pytest.approx(3e-4)
    learner.learning_rate = 0.0
    before = learner.get_parameters()
    taught(learner, 2)
    np.testing.assert_array_equal(learner.get_parameters(), before)


@LEARNERS
def test_its_state_is_a_copy_of_plain_arrays(make: Make) -> None:
    learner = make()
    state = learner.state()
    kept = {name: value.copy() for name, value in state.items()}
    taught(learner, 1)
    assert_same_state(state, kept)
    assert all(value.dtype.kind in "biuf" for value in state.values())
    with pytest.raises(ValueError, match="cannot load"):
        learner.load_state({name: state[name] for name in list(state)[1:]})


def test_each_learner_is_for_its_kind_of_actions() -> None:
    with pytest.raises(ValueError, match="use SAC"):
        QRDQN(sac()._shape)
    with pytest.raises(ValueError, match="use QRDQN"):
        SAC(qrdqn()._shape)
    with pytest.raises(ValueError, match="min_critics"):
        sac(min_critics=3)


def test_an_action_that_does_not_exist_is_refused() -> None:
    learner, rng = qrdqn(), np.random.default_rng(0)
    for action in (-1, A):
        with pytest.raises(ValueError, match="expected numbers below 3"):
            learner.update(spoilt(batch_of(rng, learner), "actions", action), rng)


@LEARNERS
def test_its_settings_count_its_weights(make: Make) -> None:
    learner = make()
    moments = ("adam.", "scale.", "updates", "given", "log_temperature")
    held = {n: v for n, v in learner.state().items() if not n.startswith(moments)}
    counted = learner._settings.num_parameters(learner._shape.widths)
    assert counted == sum(value.size for value in held.values())
