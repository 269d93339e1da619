from __future__ import annotations

import argparse
import json
import mmap
from functools import partial
from pathlib import Path

import pytest

from curriculum.envs.interface import Step
from curriculum.envs.simulation import SIMULATIONS
from curriculum.errors import ConfigError
from diagnostics import bench
from diagnostics.bench import envs, growth, measuring
from diagnostics.bench.measuring import Case, NotMeasured, measure
from diagnostics.bench.table import show_figures, show_growths
from tests.curriculum.counting_env import CountingEnv


def run(tmp_path: Path, *suites: str, repeats: int = 1) -> dict:
    out = tmp_path / "figures.json"
    args = argparse.Namespace(suites=suites, repeats=repeats, check=False, json=str(out))
    code = bench.main(args)
    assert code == 0
    return json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("suite", ["controller", "dream"])
def test_every_figure_is_a_median_between_its_extremes(tmp_path: Path, suite: str, monkeypatch):
    monkeypatch.setattr(measuring, "MIN_SECONDS", 0.01)
    figures = run(tmp_path, suite, repeats=3)["figures"]
    assert figures
    for figure in figures:
        assert 0 < figure["lowest"] <= figure["median"] <= figure["highest"]
        assert figure["runs"] == 3 and figure["suite"] == suite
    assert {f["implementation"] for f in figures} >= {"numpy"}
    if suite == "controller":
        names = " ".join(f["name"] for f in figures)
        assert all(count in names for count in ("1,734", "9,446", "37,766"))


class Clock:
    """Time that passes only where somebody works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(measuring.time, "perf_counter", lambda: self.now)

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_rate_is_items_per_second(clock: Clock) -> None:
    case = Case("s", "n", "i", "items", 10, lambda: clock.work(0.02))
    (figure,) = measure([case], 3)
    assert figure.median == pytest.approx(500)


def test_a_group_is_compared_turn_by_turn_and_closed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def case(name: str, seconds: float, **more) -> Case:
        def work() -> None:
            order.append(name)
            clock.work(seconds)

        close = partial(order.append, f"{name} closed")
        return Case("s", "n", name, "items", 1, work, calls=2, close=close, **more)

    wanted = {"slow": 2.0, "absent": 1.0, "slower": 9.0}
    group = [case("fast", 0.01, wanted=wanted), case("slow", 0.03), case("slower", 0.05)]
    figures = measure(group, 2)
    names = ["fast", "slow", "slower"]
    assert order == names * 5 + [f"{name} closed" for name in names]
    ratios = {ratio.to: ratio.median for ratio in figures[0].ratios}
    assert ratios == {"slow": pytest.approx(3), "slower": pytest.approx(5)}
    show_figures(figures, ["a thing: pip install it"], None)
    shown = capsys.readouterr().out
    assert "reached" in shown and "MISSED" in shown and "pip install it" in shown


@pytest.mark.parametrize(
    ("seconds", "code", "rounds"),
    [
        ([3.0], 0, 1),
        ([1.1], 0, 1),
        ([0.9, 0.9, 3.0], 0, 3),
        ([0.9, 0.9, 0.9, 3.0], 1, 3),
    ],
)
def test_what_lags_is_measured_again_before_it_counts(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: list[float], code: int, rounds: int
) -> None:
    """The rival's time in the rounds of measurements; ours takes a second and wants half of it."""
    taken = 0

    def rival() -> None:
        nonlocal taken
        # The first call is a warm-up.
        clock.work(seconds[max(0, taken - 1)])
        taken += 1

    ours = Case("s", "n", "ours", "x", 1, lambda: clock.work(1.0), wanted={"rival": 2.0}, calls=1)
    theirs = Case("s", "n", "rival", "x", 1, rival, calls=1)
    monkeypatch.setattr(bench, "_groups", lambda suite, skipped: iter([[ours, theirs]]))
    args = argparse.Namespace(suites=("env",), repeats=1, check=True, json=None)
    assert bench.main(args) == code
    assert taken == rounds + 1


def test_a_group_that_fails_is_closed_too() -> None:
    closed: list[int] = []

    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        measure([Case("s", "n", "i", "x", 1, fail, close=lambda: closed.append(1))], 1)
    assert closed == [1]


def test_what_is_missing_is_named_and_the_simulations_are_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MIN_SECONDS", 0.01)
    monkeypatch.setattr(envs, "find_spec", lambda name: None)
    report = run(tmp_path, "env")
    assert {f["name"] for f in report["figures"]} == {f"simulated {name}" for name in SIMULATIONS}
    assert len(report["not_measured"]) == 5
    assert "LunarLander needs gymnasium, Box2D" in " ".join(report["not_measured"])


@pytest.mark.slow
@pytest.mark.gym
def test_lunar_lander_is_measured_beside_its_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("Box2D")
    monkeypatch.setattr(envs, "LANDER_STEPS", 20)
    monkeypatch.setattr(envs, "LANDER_ENVS", 32)
    groups = [group for group in envs._lunar_lander() if not isinstance(group, NotMeasured)]
    assert len(groups) == 2
    figures = {f.implementation: f for f in measure(groups[0], 3)}
    for case in groups[1]:
        case.close()
    assert "DummyVecEnv of SB3" in figures
    assert figures["ours, in process"].ratios[0].median > 0


class Leaking(CountingEnv):
    """Keeps something of every step, in pages of its own: freed memory could hold it unseen."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.kept: list[mmap.mmap] = []

    def recv(self) -> Step:
        pages = mmap.mmap(-1, 2**17)
        pages.write(b"x" * 2**17)
        self.kept.append(pages)
        return super().recv()


@pytest.mark.parametrize(("leaks", "verdict"), [(False, "within noise"), (True, "GROWS")])
def test_growth_is_seen(leaks: bool, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = Leaking(4) if leaks else CountingEnv(4)
    found = growth.grow("counting", env, steps=4000, warm_up=400)
    assert found.steps == 4000 and found.within_noise is not leaks
    show_growths([found], None)
    assert verdict in capsys.readouterr().out


@pytest.mark.parametrize(("suites", "repeats"), [(("nope",), 1), ((), 0)])
def test_wrong_usage_is_told(tmp_path: Path, suites: tuple, repeats: int) -> None:
    with pytest.raises(ConfigError):
        run(tmp_path, *suites, repeats=repeats)
