"""A pretrained agent comes back as it was written, or is refused with the reason."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curriculum.config.check import section_of
from curriculum.config.loading import dump
from curriculum.config.schema import Config, CurriculumConfig, TaskConfig
from curriculum.config.writing import plain_of
from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.pretrained.bundle import AGENT, CARD, LEDGER, NAMES, TASK, Bundle, load, write
from curriculum.pretrained.declared import require_held
from curriculum.pretrained.export import export
from curriculum.pretrained.finding import find
from curriculum.records.agent_state import as_part
from curriculum.records.commit import CommitStore
from curriculum.records.files import write_json
from curriculum.records.rundir import RunDir

POLE = TaskConfig(name="pole", env_id="CartPole-v1", observation="state", target=5.0)


@pytest.fixture
def bundle() -> Bundle:
    rng = np.random.default_rng(0)
    return Bundle(
        config=Config(
            name="pole",
            seed=7,
            curriculum=CurriculumConfig(mode="FULL", tasks=("pole",)),
            tasks=(POLE,),
        ),
        mode="FULL",
        round=1,
        learned={
            "parameters": rng.normal(size=10).astype(np.float32),
            "vision/mean": rng.normal(size=4),
            "vision/count": np.array(12, np.int64),
            "memory/weight.a": rng.normal(size=(3, 2)).astype(np.float32),
            "memory/weight.none": np.zeros((0, 2), np.float32),
            "memory/begun": np.array([True, False]),
        },
        events=({"t": 3.5, "event": "run_started", "seed": 7, "name": "α\u2028β"},),
    )


@pytest.fixture
def written(bundle: Bundle, tmp_path: Path) -> Path:
    write(bundle, tmp_path / "pole", lambda b: f"a card of {b.task.name}\n")
    return tmp_path / "pole"


def with_parameters(bundle: Bundle, parameters: np.ndarray) -> Bundle:
    return replace(bundle, learned={**bundle.learned, "parameters": parameters})


def bits(arrays: dict[str, np.ndarray]) -> dict[str, tuple]:
    return {n: (a.dtype.str, a.shape, a.tobytes()) for n, a in sorted(arrays.items())}


def test_what_is_read_back_is_what_was_written_bit_for_bit(bundle: Bundle, written: Path) -> None:
    found = load(written)
    assert bits(found.learned) == bits(bundle.learned)
    assert (found.config, found.mode, found.round) == (bundle.config, "FULL", 1)
    assert found.events == bundle.events
    assert (written / CARD).read_text(encoding="utf-8") == "a card of pole\n"


def test_the_same_agent_gives_the_same_bytes_and_replaces_what_was_there(
    bundle: Bundle, written: Path
) -> None:
    before = {name: (written / name).read_bytes() for name in NAMES}
    assert {path.name for path in written.iterdir()} == set(NAMES)
    changed = with_parameters(bundle, bundle.learned["parameters"] + 1)
    write(changed, written, lambda b: "another card\n")
    assert (written / AGENT).read_bytes() != before[AGENT]
    assert np.array_equal(load(written).learned["parameters"], changed.learned["parameters"])
    write(bundle, written, lambda b: f"a card of {b.task.name}\n")
    assert {name: (written / name).read_bytes() for name in NAMES} == before


def told(directory: Path, **facts: object) -> None:
    """Changes the first event of a bundle's ledger."""
    head, *rest = (directory / LEDGER).read_text(encoding="utf-8").split("\n")
    (directory / LEDGER).write_text(
        "\n".join([json.dumps({**json.loads(head), **facts}), *rest]), encoding="utf-8"
    )


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    **{f"no {n}": (lambda d, n=n: (d / n).unlink(), f"{n} is missing") for n in NAMES},
    "weights changed": (lambda d: flip(d / AGENT), f"{AGENT} is not what {LEDGER} says"),
    "configuration changed": (lambda d: flip(d / TASK), f"{TASK} is not what {LEDGER} says"),
    "another format": (lambda d: told(d, format=2), "its format is 2, this program reads 1"),
    "no format": (lambda d: told(d, event="run_started"), "does not begin with what was exported"),
    "an unknown mode": (lambda d: told(d, mode="BEST"), "in which mode and round"),
    "a ledger of garbage": (
        lambda d: (d / LEDGER).write_bytes(b"\x80\x04.\n"),
        "line 1 of ledger.jsonl",
    ),
    "an empty ledger": (lambda d: (d / LEDGER).write_bytes(b""), "holds no events"),
    "a pipe that never ends": (lambda d: pipe(d / AGENT), "a pipe is in its place"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_agent_is_refused_with_the_reason(written: Path, what: str) -> None:
    damage, words = DAMAGE[what]
    damage(written)
    with pytest.raises(NoCheckpoint, match="no pretrained agent that can be used") as caught:
        load(written)
    assert words in str(caught.value)


def forged(directory: Path, data: bytes) -> None:
    """Puts other weights into a bundle, with a ledger that vouches for them."""
    from curriculum.records.commit import fingerprint

    (directory / AGENT).write_bytes(data)
    files = {name: fingerprint((directory / name).read_bytes()) for name in (AGENT, TASK)}
    told(directory, files=files)


def test_weights_that_somebody_vouches_for_are_still_only_arrays(
    bundle: Bundle, written: Path
) -> None:
    from safetensors.numpy import save

    good = {"vision/a": np.ones(1), "memory/a": np.ones(1), "parameters": np.ones(1)}
    bad = {
        "holds no arrays": b"\x80\x04c__builtin__\nexit\n.",
        "not finite, in memory/a": save({**good, "memory/a": np.array([np.nan])}),
        "belongs to neither V, M nor C": save({**good, "optimiser/a": np.ones(1)}),
        "holds nothing under vision, parameters": save({"memory/a": np.ones(1)}),
    }
    for words, data in bad.items():
        forged(written, data)
        with pytest.raises(NoCheckpoint, match=words):
            load(written)
    forged(written, save(good))
    assert load(written).learned["parameters"].tolist() == [1.0]
    with pytest.raises(NoCheckpoint, match="not finite, in parameters"):
        write(with_parameters(bundle, np.array([np.inf])), written, lambda b: "")


def test_an_agent_that_wants_code_is_neither_written_nor_read(
    bundle: Bundle, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged = replace(bundle.config.curriculum, plugins=("payload",))
    named = replace(POLE, env_id="payload:Pole-v0")
    for config in (
        replace(bundle.config, curriculum=plugged),
        replace(bundle.config, tasks=(named,)),
    ):
        wanting = replace(bundle, config=config)
        with pytest.raises(ConfigError, match=r"payload.* runs no code"):
            write(wanting, tmp_path / "new", lambda b: "")
        with monkeypatch.context() as unguarded:
            unguarded.setattr(
                "curriculum.pretrained.bundle._refuse_code", lambda config, what: None
            )
            write(wanting, written, lambda b: "")
        with pytest.raises(ConfigError, match=r"payload.* runs no code"):
            load(written)
    assert not (tmp_path / "new").exists()


def test_nothing_foreign_is_written_over_and_unknown_names_are_explained(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"thesis\.tex"):
        write(bundle, tmp_path / "mine", lambda b: "")
    with pytest.raises(
        ConfigError, match="no agent 'chess', neither a run nor a pretrained one: shipped"
    ):
        find("chess")
    assert find(str(tmp_path / "mine")) == tmp_path / "mine"


@pytest.mark.faults(
    "an agent whose task.yaml declares far more than its weights", expect="refused unbuilt, exit 5"
)
@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"controller": {"hidden_sizes": (4096,) * 8}}, "C"),
        ({"controller": {"hidden_sizes": (512, 512)}}, "C"),
        ({"mdnrnn": {"rnn_size": 4096}}, "M"),
        ({"vae": {"channels": (1024,) * 5}}, "V"),
        ({"vae": {"z_dim": 1024}}, "V"),
    ],
)
def test_what_is_declared_is_held_against_the_weights_before_it_is_built(
    sections: dict[str, dict], part: str
) -> None:
    agent = load(find("pong"))
    require_held(agent)
    task = agent.task
    for name, keys in sections.items():
        section = getattr(task, name)
        changed = section_of(type(section), {**plain_of(section), **keys})
        task = replace(task, **{name: changed})
    with pytest.raises(NoCheckpoint, match=f"declares {part} with at least [0-9,]+ numbers"):
        require_held(replace(agent, config=replace(agent.config, tasks=(task,))))


def test_a_v_that_learned_with_c_is_exported_with_it(bundle: Bundle, tmp_path: Path) -> None:
    rundir = RunDir.create(tmp_path / "run", dump(bundle.config))
    before, after = {"mean": np.zeros(4), "count": np.array(2)}, {"mean": np.ones(4)}
    committed = {
        "vision": {**before, "adam.mean": np.zeros(4)},
        "memory": {"weight": np.ones(3)},
        "controller": {
            "parameters": np.arange(5.0),
            **as_part("vision", after),
            "learner/weight": np.zeros(9),
        },
    }
    for stage, arrays in committed.items():
        directory = rundir.stage_dir("pole", "FULL", 0, stage)
        store = CommitStore(directory, identity=rundir.identity(directory))
        store.save(arrays, {}, complete=True)
        write_json(directory / "result.json", {})
    export(rundir, "pole", tmp_path / "pole", lambda b: "")
    found = load(tmp_path / "pole").learned
    wanted = {"parameters": np.arange(5.0), "memory/weight": np.ones(3)}
    assert bits(found) == bits({**as_part("vision", {**before, **after}), **wanted})
