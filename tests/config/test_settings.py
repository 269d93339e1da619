"""A hyper-parameter is written twice: where it is declared, and in the model that reads it.

Settings that note who reads them go through the configuration and the backend into real models,
which learn a step. Not covered: names in comments and in README.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.config.check import fields_of, section_of
from curriculum.config.schema import INLINE, ControllerConfig, MDNRNNConfig, TaskConfig, VAEConfig
from curriculum.config.writing import plain_of
from curriculum.envs.interface import ActionSpec, EnvSpec
from models.interfaces import Rollout, SequenceBatch
from models.settings.key import key
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.ppo import PPOSettings
from models.settings.vae import VAESettings

ROOT = Path(__file__).parents[2]
SPEC = EnvSpec("dots", "pixels", (16, 16, 1), ActionSpec("discrete", 2), 10)
Readers = dict[str, set[str]]


@contextmanager
def watched(settings: Any) -> Iterator[tuple[Any, Readers]]:
    """Gives settings that note which of the project's files read each field."""
    cls = type(settings)
    readers: Readers = {f.name: set() for f in fields(cls)}

    def reading(self: Any, name: str) -> Any:
        if name in readers:
            reader = Path(sys._getframe(1).f_code.co_filename)
            readers[name].add(str(reader.relative_to(ROOT)) if ROOT in reader.parents else "")
        return object.__getattribute__(self, name)

    spy = type(cls.__name__, (cls,), {"__getattribute__": reading})
    yield spy(**{f.name: getattr(settings, f.name) for f in fields(cls)}), readers


def of_models(file: str) -> bool:
    return file.startswith("models/")


def see(task: TaskConfig, build: Any) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (4, 16, 16, 1), dtype=np.uint8)
    build.make_vision(task, SPEC, 0).update(frames, frames[::-1], rng)


def remember(task: TaskConfig, build: Any) -> None:
    rng = np.random.default_rng(0)
    ones = np.ones((2, 5), np.float32)
    draw = rng.standard_normal((2, 6, 3), np.float32), rng.standard_normal((2, 5, 2), np.float32)
    build.make_memory(task, 3, 2, 0).update(SequenceBatch(*draw, ones, ones, ones), rng)


def practise(task: TaskConfig, build: Any) -> None:
    rng = np.random.default_rng(0)
    learner = build.make_policy_learner(task, SPEC.action, 3, 0)
    never, none = np.zeros((4, 2), np.bool_), np.zeros((0, 3), np.float32)
    played = rng.standard_normal((4, 2, 3), np.float32)
    rewards, actions = played[..., 0], rng.integers(2, size=(4, 2))
    places = np.zeros((0, 2), np.int64)
    rollout = Rollout(played, actions, rewards, never, never, played[-1], places, none)
    learner.update([rollout], rng)


@pytest.fixture
def backend() -> Any:
    pytest.importorskip("torch")
    from curriculum.backends.backend import load_backend

    return load_backend("FULL", {"cma": "missing"})


def with_vae(settings: Any) -> TaskConfig:
    return TaskConfig(name="dots", vae=VAEConfig(settings))


def with_rnn(settings: Any) -> TaskConfig:
    return TaskConfig(name="dots", mdnrnn=MDNRNNConfig(settings))


def with_ppo(settings: Any) -> TaskConfig:
    return TaskConfig(name="dots", controller=ControllerConfig(solver="ppo"), ppo=settings)


LEARNERS: dict[str, tuple[Any, Callable[..., TaskConfig], Callable[..., None]]] = {
    "V": (VAESettings(channels=(4, 8), coarse_weight=1.0, key_points=1), with_vae, see),
    "M": (MDNRNNSettings(rnn_size=8, dropout=0.1), with_rnn, remember),
    "PPO": (PPOSettings(target_kl=0.1), with_ppo, practise),
}


@pytest.mark.torch
@pytest.mark.parametrize("part", LEARNERS)
def test_every_hyper_parameter_is_read_by_the_model_and_by_nobody_on_the_way(
    backend: Any, part: str
) -> None:
    settings, place, learn = LEARNERS[part]
    with watched(settings) as (spy, readers):
        learn(place(spy), backend)
    idle = [name for name, files in readers.items() if not files]
    assert not idle, f"nothing reads {idle}: remove them, or use them"
    foreign = {
        n: f for n, files in readers.items() if (f := [x for x in files if x[:7] != "models/"])
    }
    assert not foreign, f"retyped on the way to the model: {foreign}"


@pytest.mark.torch
def test_a_field_that_is_retyped_is_found(backend: Any) -> None:
    """What the test above would say of a backend that hands a field over by hand."""
    settings, place, learn = LEARNERS["V"]
    with watched(settings) as (spy, readers):
        learn(place(replace(settings, beta=spy.beta)), backend)
    assert readers["beta"] == {"tests/config/test_settings.py"}
    assert not readers["z_dim"], "what the retyping forgot never arrives"


@pytest.mark.torch
def test_constructors_take_no_hyper_parameter_of_their_own() -> None:
    pytest.importorskip("torch")
    from models.mdnrnn import MDNRNN
    from models.ppo import PPO
    from models.vae import ConvVAE

    for model, settings in ((ConvVAE, VAESettings), (MDNRNN, MDNRNNSettings), (PPO, PPOSettings)):
        taken = set(inspect.signature(model).parameters)
        assert not taken & {f.name for f in fields(settings)}, model
        assert len(taken) <= 6, f"{model} takes {sorted(taken)}"


@dataclass(frozen=True)
class Made:
    beta: float = key(0.5, "of a model that was made up", low=0)
    sizes: tuple[int, ...] = key((3,), "of it")


@dataclass(frozen=True)
class MadeConfig:
    model: Made = field(default_factory=Made, metadata=INLINE)
    epochs: int = key(1, "of the loop")


def test_a_new_setting_is_a_key_of_its_section_at_once() -> None:
    assert list(fields_of(MadeConfig)) == ["beta", "sizes", "epochs"]
    section = section_of(MadeConfig, {"sizes": (1, 2), "epochs": 7})
    assert section == MadeConfig(Made(sizes=(1, 2)), epochs=7)
    assert plain_of(section) == {"beta": 0.5, "sizes": [1, 2], "epochs": 7}


@pytest.mark.parametrize(
    ("section", "settings"), [(VAEConfig, VAESettings), (MDNRNNConfig, MDNRNNSettings)]
)
def test_keys_of_the_loop_and_of_the_model_are_apart(section: type, settings: type) -> None:
    own = {f.name for f in fields(section)} - {"model"}
    inner = {f.name for f in fields(settings)}
    assert not own & inner and fields_of(section).keys() == own | inner


def test_every_setting_says_what_it_means() -> None:
    for settings in (VAESettings, MDNRNNSettings, PPOSettings):
        for f in fields(settings):
            assert f.metadata["help"], f"{settings.__name__}.{f.name} has no help"
