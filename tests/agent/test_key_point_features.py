"""k and dk: the first latents and their change, of a V that has key points; and what is not one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curriculum.agent.agent import Agent
from curriculum.agent.perception import feature_slices, join_features, num_features
from curriculum.backends.backend import fitted, load_backend, needs_key_points
from curriculum.config.schema import ControllerConfig, TaskConfig, VAEConfig
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.runs.needs import Sizes
from curriculum.runs.preflight import _unlearnable
from curriculum.tasks import reads_key_points, without_key_points
from models.settings.vae import VAESettings

SPEC = EnvSpec("dots", "pixels", (16, 16, 1), ActionSpec("discrete", 2), 10)


def task(features: tuple[str, ...] = ("k", "dk"), key_points: int = 2, z_dim: int = 8):
    model = VAESettings(z_dim=z_dim, key_points=key_points, channels=(4, 8), key_point_channels=4)
    controller = ControllerConfig(features=features, solver="es")
    return TaskConfig(name="dots", vae=VAEConfig(model), controller=controller)


def test_key_points_are_the_first_latents_before_h() -> None:
    z = np.array([[1, 2, 3]], np.float32)
    before, h = np.array([[0, 5, 9]], np.float32), np.array([[7]], np.float32)
    names = ("h", "dk", "z", "k")
    assert join_features(names, z, before, h, 1).tolist() == [[1, 2, 3, 1, 2, 1, -3, 7]]
    assert num_features(names, 3, 1, 1) == 8
    expected = {"z": slice(0, 3), "k": slice(3, 5), "dk": slice(5, 7), "h": slice(7, 8)}
    assert feature_slices(names, 3, 1, 1) == expected
    with pytest.raises(ValueError, match=r"neither k nor dk: set vae\.key_points"):
        feature_slices(names, 3, 1)


@pytest.mark.parametrize("mode", ["GYM_ONLY", "SIMULATION"])
def test_without_a_network_c_reads_z_instead(mode: str) -> None:
    backend = load_backend(mode, {})
    for features, read in (
        (("k", "dk"), ("z", "dz")),
        (("h", "k"), ("h", "z")),
        (("z", "dz", "dk"), ("z", "dz")),
    ):
        asked = task(features)
        assert reads_key_points(asked) and needs_key_points(asked, backend)
        assert without_key_points(features) == read
        assert fitted(asked, backend).controller.features == read
        agent = Agent.build(backend, fitted(asked, backend), SPEC)
        assert agent.num_features == 8 * ("z" in read) + 8 * ("dz" in read) + 256 * ("h" in read)
    plain = task(("z", "h"))
    assert not reads_key_points(plain) and fitted(plain, backend) is plain


def test_a_task_whose_v_has_no_key_points_is_refused() -> None:
    for mode in ("FULL", "GYM_ONLY"):
        told = list(_unlearnable(task(key_points=0), mode))
        assert len(told) == 1
        assert "controller.features were k, dk with vae.key_points 0" in told[0]
        assert "set vae.key_points, or read z, dz" in told[0]
        assert not list(_unlearnable(task(), mode))
    states = replace(task(), observation="state")
    assert "observations that are state" in next(_unlearnable(states, "FULL"))
    crowded = list(_unlearnable(task(z_dim=4), "FULL"))
    assert crowded and "vae.z_dim was 4 with 2 key points" in crowded[0]
    backend = load_backend("SIMULATION", {})
    with pytest.raises(ValueError, match="neither k nor dk"):
        Agent.build(backend, fitted(task(key_points=0), backend), SPEC)


@pytest.mark.torch
def test_an_agent_acts_on_what_its_v_finds() -> None:
    pytest.importorskip("torch")
    backend = load_backend("FULL", {"cma": "missing"})
    asked = fitted(task(), backend)
    agent = Agent.build(backend, asked, SPEC)
    assert (agent.num_features, agent.key_points) == (8, 2)
    frames = np.random.default_rng(0).integers(0, 255, (2, 3, 16, 16, 1), dtype=np.uint8)
    slots, perception = np.arange(3), agent.perceive(3)
    perception.begin(slots)
    seen = [perception.features(some, slots) for some in frames]
    found = [agent.world.observe(some)[:, :4] for some in frames]
    np.testing.assert_array_equal(seen[0], np.c_[found[0], np.zeros((3, 4))])
    np.testing.assert_array_equal(seen[1], np.c_[found[1], found[1] - found[0]])
    other = Agent.build(backend, asked, SPEC, agent.state())
    begun = other.perceive(3).features(frames[1], slots)
    np.testing.assert_array_equal(begun, np.c_[found[1], np.zeros((3, 4))])


def test_the_size_of_c_is_known_before_it_is_built() -> None:
    for mode, first in (("FULL", 4 + 4 + 256), ("SIMULATION", 8 + 8 + 256)):
        assert Sizes.of(task(("k", "dk", "h")), mode).widths[0] == first
