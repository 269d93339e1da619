"""Writing: a dumped configuration is the same configuration, and hashes know what matters."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.config.check import fields_of, section_of
from curriculum.config.loading import (
    changes,
    config_hash,
    diff,
    dump,
    load_config,
    to_dict,
)
from curriculum.config.schema import Config
from curriculum.config.writing import HARMLESS
from curriculum.tasks import BUILTIN

CONFIGS = Path(__file__).parents[2] / "configs"
MODULES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}(\.[a-zé]{1,4})?", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=10)
TRICKY = st.sampled_from(["1e-4", "yes", "~", "0o17", "null", "- a", "a: b", "#x", "", " x ", "😀"])
FINITE = st.floats(allow_nan=False, allow_infinity=False)
RANGES = st.tuples(*(st.integers(0, 99), st.integers(64, 150)) * 2)
FREE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | TEXT
    | TRICKY
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | TRICKY, inner, max_size=3),
    max_leaves=6,
)


def values(kind: Any, meta: Any) -> st.SearchStrategy[Any]:
    """Any value that the schema allows for a key."""
    origin = get_origin(kind)
    if origin is tuple and get_origin(get_args(kind)[0]) is tuple:
        row = st.tuples(FINITE, FINITE)
        return st.lists(row, min_size=2, max_size=3, unique=True).map(tuple) | st.just(())
    if origin is tuple and meta["rectangle"]:
        return st.just(()) | RANGES.map(lambda r: (r[0], r[0] + r[1], r[2], r[2] + r[3]))
    if origin is tuple:
        items = values(get_args(kind)[0], meta)
        return st.lists(items, min_size=meta["min_items"], max_size=2, unique=meta["unique"]).map(
            tuple
        )
    if origin is dict:
        return st.dictionaries(TEXT | TRICKY, FREE, max_size=2)
    if dataclasses.is_dataclass(kind):
        return sections(kind)
    if meta["choices"] is not None:
        return st.sampled_from(meta["choices"])
    low, high = meta["low"], meta["high"]
    if kind is int:
        return st.integers(low, high if high is not None else 10**9)
    if kind is float:
        return st.floats(
            low, high, exclude_min=meta["open_low"], allow_nan=False, allow_infinity=False
        )
    if kind is bool:
        return st.booleans()
    if meta["name"]:
        return NAMES
    if meta["module"]:
        return MODULES
    return (TEXT | TRICKY).filter(lambda text: len(text) >= meta["min_items"])


def sections(cls: Any, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    given_values = {
        name: values(kind, field.metadata)
        for name, (field, kind) in fields_of(cls).items()
        if name not in fixed
    }
    return st.fixed_dictionaries({**given_values, **fixed}).map(partial(section_of, cls))


@st.composite
def configs(draw: st.DrawFn) -> Config:
    task = fields_of(Config)["tasks"][1]
    task_names = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    tasks = tuple(draw(sections(get_args(task)[0], name=st.just(n))) for n in task_names)
    config = draw(sections(Config, tasks=st.just(tasks)))
    selected = draw(st.sampled_from([(), tuple(task_names)]))
    return dataclasses.replace(
        config, curriculum=dataclasses.replace(config.curriculum, tasks=selected)
    )


@settings(max_examples=40, deadline=None)
@given(config=configs())
def test_a_dumped_configuration_loads_back(tmp_path_factory, config: Config) -> None:
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    path.write_text(dump(config), encoding="utf-8")
    again = load_config(path)
    assert again == config
    assert config_hash(again) == config_hash(config)
    assert diff(config, again) == changes(config, again) == []


@pytest.fixture
def base() -> Config:
    return load_config(CONFIGS / "default.yaml", builtin=BUILTIN)


def changed(*sets: str) -> Config:
    return load_config(CONFIGS / "default.yaml", sets, builtin=BUILTIN)


OTHER_VALUES = {
    "name": "other",
    "run_dir": "elsewhere",
    "curriculum.tasks": "[carracing, breakout, lunarlander, pong]",
    "curriculum.timeout_seconds": "7",
    "curriculum.max_retries": "3",
    "curriculum.advance": "on_success",
    "curriculum.attempts": "3",
    "curriculum.stage_deadline_seconds": "9",
    "curriculum.unit_deadline_seconds": "9",
    "curriculum.commit_seconds": "9",
    "curriculum.workers": "9",
    "curriculum.env_workers": "9",
    "curriculum.save_videos": "true",
    "curriculum.tensorboard": "true",
    "curriculum.sinks": "[mlflow]",
}


def test_all_harmless_keys_are_tried() -> None:
    assert OTHER_VALUES.keys() == HARMLESS


@pytest.mark.parametrize("key", sorted(HARMLESS))
def test_harmless_keys_do_not_change_the_hash(base: Config, key: str) -> None:
    other = changed(f"{key}={OTHER_VALUES[key]}")
    assert diff(base, other)
    assert changes(base, other) == []
    assert config_hash(base) == config_hash(other)


def test_everything_else_does(base: Config) -> None:
    for override in (
        "seed=1",
        "vae.beta=0.5",
        "tasks.pong.target=17",
        "curriculum.rounds=2",
        "env.kwargs.a=1",
        "controller.hidden_sizes=[8]",
    ):
        other = changed(override)
        assert config_hash(base) != config_hash(other)
        assert changes(base, other)


def test_differences_name_key_old_and_new(base: Config) -> None:
    assert diff(base, changed("tasks.pong.vae.z_dim=8")) == ["tasks.pong.vae.z_dim: 32 -> 8"]
    assert diff(base, changed("tasks.pong.env.kwargs.a=1")) == [
        "tasks.pong.env.kwargs: {} -> not set",
        "tasks.pong.env.kwargs.a: not set -> 1",
    ]


def test_plain_data_has_the_layout_of_a_file(base: Config) -> None:
    plain = to_dict(base)
    assert list(plain["tasks"]) == ["pong", "lunarlander", "breakout", "carracing"]
    assert "name" not in plain["tasks"]["pong"]
    assert plain["tasks"]["pong"]["controller"]["features"] == ["z", "dz", "h"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configurations_bear_the_names_of_their_files(path: Path) -> None:
    assert load_config(path, builtin=BUILTIN).name == path.stem


@pytest.mark.parametrize("name", ["default", "quick", "simulation"])
def test_these_configurations_walk_the_four_tasks(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.yaml", builtin=BUILTIN)
    assert [t.name for t in config.tasks] == list(BUILTIN)


def test_presets_and_shipped_configurations_say_the_same(base: Config) -> None:
    quick = load_config(CONFIGS / "quick.yaml", builtin=BUILTIN)
    as_quick = load_config(CONFIGS / "default.yaml", preset="quick", builtin=BUILTIN)
    as_full = load_config(CONFIGS / "quick.yaml", preset="full", builtin=BUILTIN)
    assert diff(as_quick, quick) == ['name: "default" -> "quick"']
    assert diff(as_full, base) == ['name: "quick" -> "default"']
