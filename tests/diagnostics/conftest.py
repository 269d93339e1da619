"""What the tests of diagnostics share: fake torches, and a look at who was left behind."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.patience import eventually

TOKEN = "CURRICULUM_TEST_TOKEN"


def _load_fakes() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "fake_torch", Path(__file__).with_name("fake_torch.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FAKE_TORCH = _load_fakes()


@pytest.fixture
def fake_torch() -> ModuleType:
    """The module `fake_torch.py` beside this file."""
    return FAKE_TORCH


@pytest.fixture(params=FAKE_TORCH.FAKES)
def fake_kind(request: pytest.FixtureRequest) -> str:
    """Each way in which a fake torch fails."""
    return request.param


@pytest.fixture
def left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Returns a function that lists living processes which this test started, however remotely."""
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    token = secrets.token_hex(8)
    monkeypatch.setenv(TOKEN, token)
    wanted = f"{TOKEN}={token}".encode()

    def look() -> list[str]:
        # Killed processes need a moment until the kernel has taken them away.
        if eventually(lambda: not found()):
            return []
        return [f"{p.name}: {(p / 'cmdline').read_bytes()!r}" for p in found()]

    def found() -> list[Path]:
        return [p for p in Path("/proc").iterdir() if p.name.isdigit() and carries(p)]

    def carries(process: Path) -> bool:
        try:
            return wanted in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            return False  # it ended, or is another user's

    yield look
    assert look() == []


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user cache directory; returns the file in which probes would be remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "curriculum" / "probes.json"
