"""Writes V, M and C of an agent as ONNX graphs, and checks that they say what the agent says."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.agent.agent import Agent
from curriculum.errors import ComponentMissing, ConfigError
from curriculum.records.files import write_bytes
from models.controller_cpu import SamplingController
from models.exported.modules import Normaliser, Policy
from models.mdnrnn import MDNRNN
from models.normaliser import LIMIT, StateVision
from models.vae import ConvVAE

OPSET = 18
ROWS = 7
"""Of what the graphs are tried with; any number is accepted afterwards."""
EXACT, ROUNDED = 1e-4, 2e-2
"""By which a graph may differ from the module it was made of, and from the agent, whose V encodes
in bfloat16 where that is fast; relative to the largest number it gives out."""
ABOUT = "onnx.json"
_INSTALL = "pip install onnx onnxscript onnxruntime"


@dataclass(frozen=True)
class Graph:
    """One written graph.

    Attributes:
        file: its name.
        inputs, outputs: names and shapes, N being any number of rows.
        difference: largest difference from the agent, relative to the largest number given out.
    """

    file: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    difference: float


@dataclass(frozen=True)
class _Part:
    """A module, what it is tried with, and what the agent itself says of that."""

    file: str
    module: nn.Module
    inputs: Mapping[str, np.ndarray]
    outputs: Sequence[str]
    expected: Mapping[str, np.ndarray]


def write_onnx(agent: Agent, directory: Path, seed: int = 0) -> list[Graph]:
    """Writes `controller.onnx` and, of the parts that are networks, V's two and M's one.

    Args:
        agent: of mode FULL; a numpy V or M has no graph, and is left out.
        directory: created if missing.
        seed: of what the graphs are tried with.

    Raises:
        ComponentMissing: onnx, its exporter or its runtime is not installed.
        ConfigError: a graph says something else than the agent.
    """
    _require()
    directory.mkdir(parents=True, exist_ok=True)
    graphs = [_written(part, directory) for part in _parts(agent, np.random.default_rng(seed))]
    action = agent.spec.action
    about = {
        "environment": agent.spec.env_id,
        "features": list(agent.features),
        "latent_size": agent.world.latent_size,
        "hidden_size": agent.world.hidden_size,
        "actions": {
            "kind": action.kind,
            "size": action.size,
            **({"low": action.low, "high": action.high} if action.low else {}),
            **({"meanings": action.meanings} if action.meanings else {}),
        },
        "opset": OPSET,
        "graphs": [asdict(graph) for graph in graphs],
    }
    write_bytes(directory / ABOUT, (json.dumps(about, indent=2) + "\n").encode())
    return graphs


def _parts(agent: Agent, rng: np.random.Generator) -> list[_Part]:
    world, parts = agent.world, []
    latents = rng.standard_normal((ROWS, world.latent_size)).astype(np.float32)
    if isinstance(world.vision, ConvVAE):
        encoder, decoder = world.vision.exported()
        frames = _seen(agent, rng)
        seen = {"z": world.observe(frames)}
        shown = {"frames": world.draw(latents).astype(np.float32) / 255.0}
        parts.append(_Part("vision.onnx", encoder, {"frames": frames}, ["z"], seen))
        parts.append(_Part("vision_decoder.onnx", decoder, {"z": latents}, ["frames"], shown))
    if isinstance(world.vision, StateVision):
        normaliser = Normaliser(*world.vision.scale(), LIMIT)
        states = _seen(agent, rng)
        seen = {"z": world.observe(states)}
        parts.append(_Part("vision.onnx", normaliser, {"state": states}, ["z"], seen))
    if isinstance(world.memory, MDNRNN):
        parts.append(_memory(agent, latents, rng))
    assert isinstance(agent.controller, SamplingController), "all of ours are"
    features = rng.standard_normal((ROWS, agent.num_features)).astype(np.float32)
    policy = Policy(agent.controller.shape, agent.controller.get_parameters())
    taken = {"action": agent.controller.act(features)}
    parts.append(
        _Part("controller.onnx", policy, {"features": features}, ["outputs", "action"], taken)
    )
    return parts


def _memory(agent: Agent, latents: np.ndarray, rng: np.random.Generator) -> _Part:
    world, action = agent.world, agent.spec.action
    assert isinstance(world.memory, MDNRNN)
    encoded = action.encode(np.stack([action.sample(rng) for _ in range(ROWS)]))
    state = 0.3 * rng.standard_normal((ROWS, 2 * world.hidden_size)).astype(np.float32)
    h, c = np.split(state, 2, axis=1)
    after = world.memory.step(state, latents, encoded)
    told = world.memory.predict(after, latents, 1.0, np.random.default_rng(0))
    inputs = {"z": latents, "action": encoded, "h": h, "c": c}
    outputs = ["log_weights", "means", "log_stds", "reward", "end", "next_h", "next_c"]
    next_h, next_c = np.split(after, 2, axis=1)
    expected = {"reward": told.rewards, "end": told.terminated, "next_h": next_h, "next_c": next_c}
    return _Part("memory.onnx", world.memory.exported(), inputs, outputs, expected)


def _seen(agent: Agent, rng: np.random.Generator) -> np.ndarray:
    """Returns observations of an episode played at random."""
    env, action = agent.make_env(1), agent.spec.action
    try:
        seen = [env.reset([0])[0].copy()]
        for _ in range(8 * ROWS):
            seen.append(env.step(action.sample(rng)[None]).observations[0].copy())
    finally:
        env.close()
    return np.stack(seen[:: len(seen) // ROWS][:ROWS])


def _written(part: _Part, directory: Path) -> Graph:
    names = list(part.inputs)
    given = [torch.from_numpy(np.ascontiguousarray(array)) for array in part.inputs.values()]
    data = _exported(part, names, given)
    found = dict(zip(part.outputs, _run(data, part), strict=True))
    with torch.inference_mode():
        made = part.module(*given)
    made = made if isinstance(made, tuple) else (made,)
    module = {n: tensor.numpy() for n, tensor in zip(part.outputs, made, strict=True)}
    _require_near(part, "the module it was made of", _apart(found, module), EXACT)
    apart = _apart(found, part.expected)
    _require_near(part, "the agent", apart, ROUNDED)
    write_bytes(directory / part.file, data)
    inputs = {name: _shape(array) for name, array in part.inputs.items()}
    return Graph(part.file, inputs, {n: _shape(a) for n, a in found.items()}, apart)


def _apart(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    return max(
        float(np.abs(found[name] - array).max(initial=0.0) / (1.0 + np.abs(array).max(initial=0.0)))
        for name, array in expected.items()
    )


def _require_near(part: _Part, other: str, apart: float, tolerance: float) -> None:
    if not apart <= tolerance:
        raise ConfigError(
            f"{part.file} says something else than {other}, by {apart:.2g}; expected "
            f"{tolerance:g} at most: nothing was written of it"
        )


def _exported(part: _Part, names: list[str], given: list[Tensor]) -> bytes:
    rows = torch.export.Dim("N", min=1, max=1 << 16)
    with _quiet():
        program = torch.onnx.export(
            part.module,
            tuple(given),
            dynamo=True,
            input_names=names,
            output_names=list(part.outputs),
            dynamic_shapes=tuple({0: rows} for _ in given),
            opset_version=OPSET,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def _run(data: bytes, part: _Part) -> list[Any]:
    """Runs a graph, with fewer rows than it was made with too."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    found = session.run(list(part.outputs), dict(part.inputs))
    fewer = session.run(list(part.outputs), {n: a[:2] for n, a in part.inputs.items()})
    for whole, start in zip(found, fewer, strict=True):
        if not np.allclose(whole[:2], start, atol=1e-4):
            raise ConfigError(f"{part.file} depends on how many rows it is given")
    return found


def _shape(array: np.ndarray) -> str:
    sizes = ", ".join(["N", *(str(size) for size in array.shape[1:])])
    return f"{array.dtype} [{sizes}]"


def _require() -> None:
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as e:
        raise ComponentMissing(f"ONNX graphs cannot be written: {e}; {_INSTALL}") from e
    del onnx, onnxruntime, onnxscript


@contextmanager
def _quiet() -> Any:
    """Keeps the exporter's account of its steps to itself."""
    with (
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
