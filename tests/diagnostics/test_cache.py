"""What is remembered, for how long, and what makes it forgotten."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from diagnostics.cache import (
    BY_NAME,
    FAILURE_AGE_S,
    SUCCESS_AGE_S,
    ProbeCache,
    cache_key,
    default_path,
    probe_all,
)
from diagnostics.probe import ProbeResult, ProbeState
from diagnostics.probing.result import NOT_STARTED

GOOD_TORCH = """
__version__ = "fake"
class Gradient:
    def tolist(self): return [[4.0, 4.0], [4.0, 4.0]]
class Tensor:
    grad = Gradient()
    def __matmul__(self, other): return self
    def sum(self): return self
    def backward(self): pass
def ones(*shape, **options): return Tensor()
class cuda:
    is_available = staticmethod(lambda: False)
"""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


class Probes:
    """Calls `probe_all` and remembers which probes were really started."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.started: list[str] = []
        self.notices: list[str] = []

    def __call__(self, *names: str, fresh: bool = False, timeout_s: float = 15.0) -> list[str]:
        self.started.clear()
        cache = ProbeCache(self.path, self.clock, self.notices.append)
        results = probe_all(timeout_s, fresh, names, cache=cache, on_change=self._note)
        assert list(results) == [n for n in BY_NAME if n in names]
        return [str(results[name].state) for name in names]

    def _note(self, name: str, result: ProbeResult | None) -> None:
        if result is None:
            self.started.append(name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probes(tmp_path: Path, clock: Clock) -> Probes:
    return Probes(tmp_path / "cache" / "probes.json", clock)


@pytest.fixture
def torch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory first on the import path, into which tests put their own `torch`."""
    folder = tmp_path / "front"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def result(state: ProbeState) -> ProbeResult:
    return ProbeResult("x", state, None, 1.0, "")


@pytest.mark.parametrize("state", ProbeState)
def test_successes_are_kept_a_week_failures_ten_minutes_and_time_outs_never(
    state: ProbeState, tmp_path: Path, clock: Clock
) -> None:
    age = SUCCESS_AGE_S if result(state).usable else FAILURE_AGE_S
    remembered = state != ProbeState.TIMEOUT
    assert FAILURE_AGE_S == 600
    path = tmp_path / "probes.json"
    cache = ProbeCache(path, clock)
    cache.put("key", result(state))
    cache.save()
    for later, young in [(0, True), (age - 1, True), (age, False), (-1, False)]:
        clock.now = 1e9 + later
        kept = ProbeCache(path, clock).get("key") is not None
        assert kept == (young and remembered)


def test_a_probe_for_which_the_system_had_too_little_tells_nothing_to_remember(
    tmp_path: Path, clock: Clock
) -> None:
    cache = ProbeCache(tmp_path / "probes.json", clock)
    short = f"{NOT_STARTED}[Errno 24] Too many open files"
    cache.put("key", replace(result(ProbeState.BROKEN), detail=short))
    cache.save()
    assert ProbeCache(tmp_path / "probes.json", clock).get("key") is None


def test_only_what_is_fresh_is_written_again(tmp_path: Path, clock: Clock) -> None:
    cache = ProbeCache(tmp_path / "probes.json", clock)
    cache.put("old", result(ProbeState.BROKEN))
    clock.now += FAILURE_AGE_S
    cache.put("new", result(ProbeState.BROKEN))
    cache.save()
    assert set(json.loads((tmp_path / "probes.json").read_text())["entries"]) == {"new"}
    assert [p.name for p in tmp_path.iterdir()] == ["probes.json"]


def test_a_remembered_result_is_not_probed_again_but_volatile_ones_are(probes: Probes) -> None:
    assert probes("cma", "shm") == ["ok", "ok"]
    assert sorted(probes.started) == ["cma", "shm"]
    assert probes("cma", "shm") == ["ok", "ok"]
    assert probes.started == ["shm"]
    probes("cma", fresh=True)
    assert probes.started == ["cma"]
    probes("cma", timeout_s=16)
    assert probes.started == []


def test_a_fake_torch_and_a_mended_one_are_noticed_at_once(
    probes: Probes, torch_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What this process has loaded says nothing about what a fresh one would find.
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    package = torch_folder / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("import os; os._exit(0)\n")
    assert probes("torch", "torch-cuda") == ["lied", "lied"]
    assert probes.started == ["torch"]
    assert probes("torch", "torch-cuda") == ["lied", "lied"]
    assert probes.started == []

    (package / "__init__.py").write_text(GOOD_TORCH)
    assert probes("torch", "torch-cuda") == ["ok", "missing"]
    assert probes.started == ["torch", "torch-cuda"]

    shutil.rmtree(package)
    (torch_folder / "torch.py").write_text("raise RuntimeError('worse')\n")
    assert probes("torch", "torch-cuda") == ["broken", "broken"]


def test_a_result_counts_only_while_what_it_rests_on_is_remembered(
    probes: Probes, torch_folder: Path, clock: Clock
) -> None:
    (torch_folder / "torch.py").write_text(GOOD_TORCH)
    probes("torch")
    clock.now += SUCCESS_AGE_S - 1
    assert probes("torch", "torch-cuda") == ["ok", "missing"]
    assert probes.started == ["torch-cuda"]
    clock.now += 2
    probes("torch", "torch-cuda")
    assert probes.started == ["torch", "torch-cuda"]


def test_what_was_not_probed_is_not_remembered(probes: Probes, torch_folder: Path) -> None:
    (torch_folder / "torch.py").write_text("raise RuntimeError('broken')\n")
    assert probes("torch", "torch-cuda") == ["broken", "broken"]
    assert probes.path is not None
    entries = json.loads(probes.path.read_text())["entries"].values()
    assert [e["result"]["name"] for e in entries] == ["torch"]


def test_the_key_follows_environment_and_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {cache_key(BY_NAME["torch"])}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "not the usual")
    keys.add(cache_key(BY_NAME["torch"]))
    monkeypatch.setattr("sys.path", ["/nowhere"])
    keys.add(cache_key(BY_NAME["torch"]))
    assert len(keys) == 3


@pytest.mark.faults("probed with one limit, asked with another", expect="remembered")
def test_a_success_counts_whatever_the_limit_and_wherever_it_is_asked(
    probes: Probes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, limit_s in enumerate((15.0, 5.0, 60.0)):
        place = tmp_path / f"place{number}"
        place.mkdir()
        (place / "notes.py").touch()
        monkeypatch.chdir(place)
        with monkeypatch.context() as patch:
            # As `python -m` does.
            patch.syspath_prepend(place)
            assert probes("cma", timeout_s=limit_s) == ["ok"]
        assert probes.started == (["cma"] if number == 0 else [])


@pytest.mark.parametrize("name", ["cma.py", "random.py", "numpy/__init__.py"])
def test_the_key_follows_what_the_directory_puts_in_place_of_others(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = cache_key(BY_NAME["cma"])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert cache_key(BY_NAME["cma"]) != before


@pytest.mark.faults("a component hangs once", expect="probed again the next time")
def test_a_time_out_is_not_remembered(probes: Probes, torch_folder: Path) -> None:
    (torch_folder / "torch.py").write_text("import time; time.sleep(60)\n")
    assert probes("torch", timeout_s=2.0) == ["timeout"]
    assert probes("torch", timeout_s=2.0) == ["timeout"]
    assert probes.started == ["torch"]


def test_what_is_probed_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    names = ["cma", "disk"]
    for load in (0.0, 99.0):
        monkeypatch.setattr("diagnostics.cache.load", lambda now=load: now)
        monkeypatch.setattr("diagnostics.cache.describe_load", lambda: "load 99 on 2 cores")
        cache = ProbeCache(tmp_path / "probes.json")
        probe_all(names=names, cache=cache, notice=told.append)
    assert told[0] == "probing cma, disk"
    assert told[1].startswith("probing disk; this machine is busy (load 99 on 2 cores)")


def test_the_key_of_our_own_part_follows_its_file_not_its_byte_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    part = tmp_path / "models" / "controller_cpu.py"
    part.write_text("1")
    monkeypatch.delitem(__import__("sys").modules, "models", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    before = cache_key(BY_NAME["controller_cpu"])
    (tmp_path / "models" / "__pycache__").mkdir()
    assert cache_key(BY_NAME["controller_cpu"]) == before
    os.utime(part, (1, 1))
    assert cache_key(BY_NAME["controller_cpu"]) != before


@pytest.mark.parametrize(
    "damage",
    [
        *("", "{", "[]", "null", "\x00", "[" * 99999, '{"schema": 1}'),
        '{"schema": 1, "entries": {"k": 3}}',
        '{"schema": 1, "entries": {"k": {"t": "x", "result": {}}}}',
    ],
    ids=range(9),
)
def test_a_damaged_cache_is_ignored_said_and_replaced(probes: Probes, damage: str) -> None:
    assert probes.path is not None
    probes.path.parent.mkdir()
    probes.path.write_text(damage)
    cache = ProbeCache(probes.path, probes.clock, probes.notices.append)
    assert cache.get("k") is None
    assert len(probes.notices) == 1
    assert "damaged" in probes.notices[0]
    cache.put("key", result(ProbeState.OK))
    cache.save()
    assert ProbeCache(probes.path, probes.clock).get("key") == result(ProbeState.OK)


def test_a_cache_of_another_schema_is_silently_empty(probes: Probes) -> None:
    assert probes.path is not None
    probes.path.parent.mkdir()
    probes.path.write_text('{"schema": 0, "entries": {}}')
    assert ProbeCache(probes.path, probes.clock, probes.notices.append).get("k") is None
    assert probes.notices == []


def test_a_place_that_cannot_be_written_costs_only_the_memory(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").touch()
    probes = Probes(tmp_path / "file" / "probes.json", clock)
    assert probes("shm", "cma") == ["ok", "ok"]
    assert len(probes.notices) == 1
    assert "cannot be written" in probes.notices[0]
    no_place = Probes(None, clock)
    assert no_place("cma") == ["ok"]
    assert no_place.notices == []


def test_where_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "curriculum" / "probes.json"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/the/home")
    assert default_path() == Path("/the/home/.cache/curriculum/probes.json")

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert default_path() is None


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'gymnasium'"):
        probe_all(names=["gymnasum"])


def test_remembering_everything_is_quick(tmp_path: Path) -> None:
    began = time.process_time()
    for component in BY_NAME.values():
        cache_key(component)
    assert time.process_time() - began < 1.0
