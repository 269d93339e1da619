"""How large a model is can be asked without building it, and is what it will be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import echo, normaliser, pca
from models.controller_cpu import PolicyShape
from models.echo import EchoMemory
from models.interfaces import SequenceBatch, State
from models.normaliser import StateVision
from models.pca import PCAVision
from models.search.evolution import EvolutionStrategy, search_bytes
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.ppo import PPOSettings
from models.settings.vae import VAESettings
from tests.patience import HANG_S


def bytes_of(state: State) -> int:
    return sum(array.nbytes for array in state.values())


def weights_of(state: State, *parts: str) -> int:
    return sum(array.size for name, array in state.items() if name.startswith(parts))


@pytest.mark.torch
@pytest.mark.parametrize("frame", [(64, 64, 1), (64, 64, 3), (32, 64, 2)])
@pytest.mark.parametrize("channels", [(5,), (32, 48, 64), (4, 9, 7, 3)])
def test_v_has_the_weights_it_says(frame: tuple[int, int, int], channels: tuple[int, ...]) -> None:
    pytest.importorskip("torch")
    from models.vae import ConvVAE

    for count in (0, 3):
        settings = VAESettings(
            z_dim=7, channels=channels, coarse_weight=1.0, key_points=count, batch_norm=count > 0
        )
        built = weights_of(ConvVAE(frame, settings).state(), "weight.")
        assert settings.num_parameters(frame) == built


@pytest.mark.torch
@pytest.mark.parametrize("sizes", [(8, 3, 16, 5), (1, 1, 1, 1), (32, 6, 64, 2)])
def test_m_has_the_weights_it_says(sizes: tuple[int, int, int, int]) -> None:
    pytest.importorskip("torch")
    from models.mdnrnn import MDNRNN

    latents, actions, hidden, mixtures = sizes
    settings = MDNRNNSettings(rnn_size=hidden, num_mixtures=mixtures)
    built = weights_of(MDNRNN(latents, actions, settings).state(), "weight.")
    assert settings.num_parameters(latents, actions) == built


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("hidden", [(), (16, 8)])
@pytest.mark.parametrize("value", [(), (12,)])
def test_ppo_has_the_weights_it_says(
    kind: str, hidden: tuple[int, ...], value: tuple[int, ...]
) -> None:
    pytest.importorskip("torch")
    from models.ppo import PPO

    shape, settings = PolicyShape(5, kind, 3, hidden, None, None), PPOSettings(value_sizes=value)
    built = weights_of(PPO(shape, settings).state(), "policy.", "value.")
    assert settings.num_parameters(shape.widths) == built


@pytest.mark.parametrize("frame", [(64, 64, 1), (64, 64, 3), (20, 30, 2)])
@pytest.mark.parametrize(("latents", "weight"), [(32, 1.0), (7, 1.0), (9, 0.0)])
def test_the_state_of_pca_is_as_large_as_it_says(
    frame: tuple[int, int, int], latents: int, weight: float
) -> None:
    built = PCAVision(frame, latents, weight)
    assert pca.state_bytes(frame, latents, weight) == bytes_of(built.state())


def test_the_state_of_the_normaliser_is_as_large_as_it_says() -> None:
    assert normaliser.state_bytes(9) == bytes_of(StateVision(9).state())


def test_the_state_of_the_echo_network_grows_as_large_as_it_says_and_no_more() -> None:
    rng = np.random.default_rng(0)
    memory, rows = EchoMemory(3, 2, 5), (64, 150)
    for _ in range(2):
        ends = (rng.random(rows) < 0.3).astype(np.float32)
        latents = rng.standard_normal((64, 151, 3), np.float32)
        actions = rng.standard_normal((64, 150, 2), np.float32)
        mask = np.ones(rows, np.float32)
        memory.update(SequenceBatch(latents, actions, mask, ends, mask), rng)
        assert echo.state_bytes(3, 2, 5) == bytes_of(memory.state())


@pytest.mark.parametrize("dimension", [40, 500, 501])
def test_what_searches_needs_no_more_than_it_says(dimension: int) -> None:
    ours = EvolutionStrategy(np.zeros(dimension), 0.5, 4)
    ours.ask()
    ours.tell(np.arange(4.0))
    states = [bytes_of(ours.state())]
    cma = pytest.importorskip("models.search.cma_es")
    theirs = cma.CMAES(np.zeros(dimension), 0.5, 4)
    theirs.ask()
    theirs.tell(np.arange(4.0))
    states.append(bytes_of(theirs.state()))
    assert max(states) < 1.2 * search_bytes(dimension) + 2**18
    assert 8 * max(states) > search_bytes(dimension)


def test_asking_loads_no_library() -> None:
    code = (
        "import sys, models.settings.vae, models.settings.mdnrnn, models.settings.ppo;"
        "sys.exit(1 if {'numpy', 'torch'} & set(sys.modules) else 0)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=HANG_S).returncode == 0
