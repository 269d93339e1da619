"""ONNX graphs of agents: they say what the agent says, or are not written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curriculum.agent.agent import Agent
from curriculum.backends import simulation
from curriculum.config.schema import TaskConfig
from curriculum.errors import ComponentMissing, ConfigError
from models.controller_cpu import CPUController

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
torch = pytest.importorskip("torch")

from curriculum.backends import full  # noqa: E402
from curriculum.onnx import writing  # noqa: E402
from curriculum.onnx.writing import write_onnx  # noqa: E402
from tests.agents import TASKS, agent_in  # noqa: E402


def agent_of(task: TaskConfig, seed: int = 0) -> Agent:
    """An agent as it is made, its V having seen something, C with random weights."""
    return agent_in(full.build({"cma": "ok"}, "cpu"), task, steps=3, seed=seed)


@pytest.mark.parametrize("name", ["pong", "lunarlander", "breakout", "carracing"])
def test_graphs_say_what_the_agent_says(name: str, tmp_path: Path) -> None:
    agent = agent_of(TASKS[name])
    graphs = {graph.file: graph for graph in write_onnx(agent, tmp_path)}
    told = json.loads((tmp_path / "onnx.json").read_text("utf-8"))
    assert [graph["file"] for graph in told["graphs"]] == list(graphs)
    assert told["features"] == list(agent.features)
    rng = np.random.default_rng(9)
    # C, on rows that it was not tried with.
    session = ort.InferenceSession(tmp_path / "controller.onnx")
    features = rng.standard_normal((50, agent.num_features)).astype(np.float32)
    _, actions = session.run(None, {"features": features})
    assert (actions == agent.controller.act(features)).mean() > 0.95
    # V.
    if agent.spec.observation == "pixels":
        frames = rng.integers(0, 256, (3, *agent.spec.shape), np.uint8)
        (z,) = ort.InferenceSession(tmp_path / "vision.onnx").run(None, {"frames": frames})
        np.testing.assert_allclose(z, agent.world.observe(frames), atol=0.05)
        decoder = ort.InferenceSession(tmp_path / "vision_decoder.onnx")
        (shown,) = decoder.run(None, {"z": z})
        assert np.abs(shown * 255.0 - agent.world.draw(z)).max() < 1.0
    else:
        states = rng.standard_normal((3, *agent.spec.shape)).astype(np.float32)
        (z,) = ort.InferenceSession(tmp_path / "vision.onnx").run(None, {"state": states})
        np.testing.assert_allclose(z, agent.world.observe(states), atol=1e-4)
    # M, two steps of which the second goes on from the first.
    memory = ort.InferenceSession(tmp_path / "memory.onnx")
    action = agent.spec.action
    state = agent.world.begin(3)
    h, c = np.split(state, 2, axis=1)
    for _ in range(2):
        encoded = action.encode(np.stack([action.sample(rng) for _ in range(3)]))
        given = {"z": z, "action": encoded, "h": h, "c": c}
        *mixture, _reward, end, h, c = memory.run(None, given)
        state = agent.world.remember(state, z, encoded)
        np.testing.assert_allclose(np.concatenate([h, c], axis=1), state, atol=1e-4)
        np.testing.assert_allclose(np.exp(mixture[0]).sum(axis=2), 1.0, atol=1e-4)
        assert ((end > 0) & (end < 1)).all()


def test_a_numpy_v_and_m_have_no_graphs(tmp_path: Path) -> None:
    backend = simulation.build({}, "cpu")
    spec = backend.make_env(TASKS["pong"], 1, lambda text: None).spec
    task = replace(TASKS["pong"], vae=replace(TASKS["pong"].vae))
    agent = Agent.build(backend, task, spec)
    assert [graph.file for graph in write_onnx(agent, tmp_path)] == ["controller.onnx"]


def test_a_graph_that_says_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_of(TASKS["lunarlander"])
    other = agent.controller.get_parameters()[::-1].copy()
    monkeypatch.setattr(CPUController, "get_parameters", lambda self: other)
    with pytest.raises(ConfigError, match=r"controller\.onnx says something else than the agent"):
        write_onnx(agent, tmp_path)
    assert not (tmp_path / "controller.onnx").exists()


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ComponentMissing, match="pip install onnx"):
        writing._require()
    del tmp_path
