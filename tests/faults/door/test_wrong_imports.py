"""Components that work in their probes and go wrong where the run imports them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.conftest import Done, Sandbox
from tests.faults.door.conftest import WRONG, Surroundings, wrong_module

pytestmark = pytest.mark.gym

TASKS = {
    "cartpole": "{env_id: CartPole-v1, observation: state, target: 475}",
    "pong": "{vae: {z_dim: 4}}",
    "lunarlander": "{}",
}


def run(place: Sandbox, env: dict[str, str], task: str, *options: str) -> Done:
    text = (place.path / "tiny.yaml").read_text(encoding="utf-8")
    text = text.replace("mode: SIMULATION", "mode: auto, timeout_seconds: 5")
    text = text.replace("tasks: [lunarlander]", f"tasks: [{task}]")
    text += f"tasks: {{{task}: {TASKS[task]}}}\n"
    (place.path / "tiny.yaml").write_text(text, encoding="utf-8")
    return place("run", "tiny.yaml", *options, env=env)


def stepped_down(place: Sandbox, component: str) -> dict[str, Any]:
    (broken,) = place.events("component_broken")
    assert broken["component"] == component
    (down,) = place.events("stepped_down")
    assert component in down["reason"]
    return down


@pytest.mark.faults(
    "torch {how} when the run imports it, though its probe worked",
    expect="tried again where its process died, then GYM_ONLY with the reason; exit 3",
)
@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_torch(place: Sandbox, surroundings: Surroundings, how: str) -> None:
    env = surroundings(GRANTED="1")
    wrong_module(place.path / "site", "torch", how)
    done = run(place, env, "cartpole")
    assert done.code == 3, done.err
    assert "Traceback" not in done.err and "change permissions" not in done.err
    assert stepped_down(place, "torch")["to"] == "GYM_ONLY"
    assert place.events("verdict")[0]["mode"] == "GYM_ONLY"
    died = how in ("hangs", "segfaults", "exits with 0")
    assert [e["importing"] for e in place.events("engine_died")] == ["torch", "torch"] * died


@pytest.mark.faults(
    "{module} {how} when the run imports it, though its probe worked",
    expect="SIMULATION with the reason; exit 3, no traceback",
)
@pytest.mark.parametrize(
    ("task", "module", "how"),
    [
        ("lunarlander", "gymnasium", "exits with 0"),
        ("lunarlander", "gymnasium", "raises OSError"),
        ("lunarlander", "Box2D", "segfaults"),
        ("pong", "ale_py", "raises RuntimeError"),
    ],
)
def test_a_wrong_environment_library(
    place: Sandbox, surroundings: Surroundings, task: str, module: str, how: str
) -> None:
    env = surroundings(GRANTED="1")
    wrong_module(place.path / "site", module, how)
    done = run(place, env, task, "--set", "curriculum.max_retries=0")
    assert done.code in (0, 3), done.err
    assert "Traceback" not in done.err
    assert stepped_down(place, {"Box2D": "box2d"}.get(module, module))["to"] == "SIMULATION"


@pytest.mark.faults(
    "cma {how} when the run imports it, though its probe worked",
    expect="the numpy ES stands in for it, as a replacement; the mode stays",
)
@pytest.mark.parametrize("how", ["exits with 0", "raises OSError"])
def test_a_wrong_cma(place: Sandbox, surroundings: Surroundings, how: str) -> None:
    env = surroundings(GRANTED="1")
    wrong_module(place.path / "site", "cma", how)
    done = run(place, env, "cartpole", "--mode", "GYM_ONLY")
    assert done.code == 3, done.err
    assert place.events("component_broken")[0]["component"] == "cma"
    assert not place.events("stepped_down")
    assert "cma" in [e["component"] for e in place.events("replacement")]
    assert place.events("verdict")[0]["mode"] == "GYM_ONLY"


@pytest.mark.faults(
    "FULL is forced and torch {how} when the run imports it", expect="not_run, exit 4"
)
@pytest.mark.parametrize("how", ["segfaults", "raises OSError"])
def test_a_forced_mode(place: Sandbox, surroundings: Surroundings, how: str) -> None:
    env = surroundings(GRANTED="1")
    wrong_module(place.path / "site", "torch", how)
    done = run(place, env, "cartpole", "--mode", "FULL")
    assert done.code == 4, done.err
    assert place.events("verdict")[0]["verdict"] == "not_run"


@pytest.mark.faults(
    "a plugin that {how}", expect="a sentence that names the plugin, exit 8; no endless restarts"
)
@pytest.mark.parametrize("how", ["segfaults", "exits with 0"])
def test_a_plugin_that_ends_its_process(
    place: Sandbox, surroundings: Surroundings, how: str
) -> None:
    env = surroundings()
    wrong_module(place.path / "site", "fatal", how)
    done = place.begin("curriculum.plugins=[fatal]", env=env)
    assert done.code == 8, done.err
    assert "plugin fatal" in done.err and "Traceback" not in done.err


@pytest.mark.faults(
    "`evaluate --pretrained`: torch {how} when it is imported, though its probe worked",
    expect="a sentence, exit 4",
)
@pytest.mark.parametrize("how", ["exits with 0", "segfaults", "raises OSError"])
def test_evaluate_with_a_wrong_torch(place: Sandbox, surroundings: Surroundings, how: str) -> None:
    env = surroundings(GRANTED="1")
    wrong_module(place.path / "site", "torch", how)
    done = place("evaluate", "--pretrained", "lunarlander", "--episodes", "2", env=env)
    assert done.code == 4, done.err
    assert "torch" in done.err and "Traceback" not in done.err
