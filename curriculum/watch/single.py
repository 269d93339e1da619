"""An agent's dream as one page that needs no server: weights, script and style in a single file."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curriculum.agent.action_trace import SPANS
from curriculum.agent.agent import Agent, chosen
from curriculum.errors import ConfigError
from curriculum.films.camera import opened as screen_of
from curriculum.films.camera import step_seconds
from curriculum.theatre.keys import KEYS, KeyMap
from curriculum.theatre.reality import Reality
from models.controller_cpu import SamplingController
from models.exported.modules import Decoder, MemoryStep
from models.mdnrnn import MDNRNN
from models.networks.convolutions import AutoEncoder
from models.normaliser import StateVision
from models.vae import ConvVAE

STATIC = Path(__file__).parent / "static"
STARTS, APART = 8, 40
"""Moments that dreams begin with, and the steps between them in what the agent plays for them."""
MOST_BYTES = 10_000_000

_BN_EPS = 1e-5  # of torch's batch_norm


def write_page(agent: Agent, title: str, temperature: float, seed: int = 0) -> bytes:
    """Returns the page.

    Args:
        agent: of mode FULL, whose M is the MDN-RNN.
        title: what it is called by.
        temperature: of dreams as they begin.
        seed: of the real episodes that dreams begin in.

    Raises:
        ConfigError: V or M is of another kind, or the page would be larger than 10 MB.
    """
    tensors = _Tensors()
    told = {
        "title": title,
        "env_id": agent.spec.env_id,
        "features": list(agent.features),
        "key_points": agent.key_points,
        "temperature": temperature,
        "spans": list(SPANS),
        **_controller(agent, tensors),
        **_memory(agent, tensors),
        "vision": _vision(agent, tensors),
        **_acting(agent),
        **_starts(agent, seed),
    }
    told["tensors"] = tensors.places
    page = _filled(told, tensors.joined())
    if len(page) > MOST_BYTES:
        raise ConfigError(
            f"the page would have {len(page):,} bytes, expected {MOST_BYTES:,} at most"
        )
    return page


class _Tensors:
    """Weights one after the other, and where each lies."""

    def __init__(self) -> None:
        self.places: dict[str, dict[str, Any]] = {}
        self._parts: list[np.ndarray] = []
        self._at = 0

    def add(self, name: str, values: Tensor | np.ndarray) -> None:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        array = np.ascontiguousarray(array, "<f4")
        self.places[name] = {"shape": list(array.shape), "at": self._at}
        self._parts.append(array.reshape(-1))
        self._at += array.size

    def layer(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.add(f"{name}.weight", weight)
        self.add(f"{name}.bias", bias)

    def joined(self) -> bytes:
        return np.concatenate(self._parts).tobytes()


def _controller(agent: Agent, tensors: _Tensors) -> dict[str, Any]:
    controller = agent.controller
    assert isinstance(controller, SamplingController), "all of ours are"
    shape = controller.shape
    layers = shape.layers(agent.controller.get_parameters(), greedy=False)
    for number, (weight, bias) in enumerate(layers):
        tensors.add(f"controller.{number}.weight", weight.T)
        tensors.add(f"controller.{number}.bias", bias[0])
    units = {"activation": shape.units.activation, "layer_norm": shape.units.layer_norm}
    return {"layers": len(layers), "units": units}


def _memory(agent: Agent, tensors: _Tensors) -> dict[str, Any]:
    memory = agent.world.memory
    if not isinstance(memory, MDNRNN):
        raise ConfigError(
            "only dreams of the MDN-RNN can be written as a page: this agent was learned in "
            "another mode, or its M is of another kind"
        )
    step: MemoryStep = memory.exported()
    w_x, w_h, b_x, b_h = step.network.lstm.all_weights[0]
    tensors.layer("lstm.inputs", w_x, b_x)
    tensors.layer("lstm.hidden", w_h, b_h)
    tensors.layer("heads", step.network.heads.weight, step.network.heads.bias)
    tensors.add("scales", step.scales)
    return {"mixtures": step.network.num_mixtures, "dropout": memory.dropout}


def _vision(agent: Agent, tensors: _Tensors) -> dict[str, Any]:
    vision = agent.world.vision
    if isinstance(vision, StateVision):
        mean, std = vision.scale()
        kind = "lander" if "lander" in agent.spec.env_id.lower() and mean.size == 8 else "bars"
        return {"kind": "state", "mean": mean.tolist(), "std": std.tolist(), "drawn": kind}
    if not isinstance(vision, ConvVAE):
        raise ConfigError("only dreams of the ConvVAE, or of states, can be written as a page")
    decoder: Decoder = vision.exported()[1]
    network = decoder.network
    tensors.layer("from_latent", network.from_latent.weight, network.from_latent.bias)
    for number, (weight, bias) in enumerate(_up(network)):
        tensors.layer(f"up.{number}", weight, bias)
    last = network.up[-1]
    tensors.layer("up.last", last.weight.flatten(1), last.bias)  # type: ignore[arg-type, operator]
    if network.key_points is not None:
        places = network.key_points
        tensors.layer("places.drawn", places.drawn.weight, _bias(places.drawn))
        tensors.layer("places.added", places.added.weight.flatten(1), _bias(places.added))
    tensors.add("mean_frame", decoder.mean_frame)
    return {
        "kind": "pixels",
        "up": len(network.up) - 1,
        "map_shape": list(network.map_shape),
        "channels": agent.spec.shape[-1],
        "frames": agent.spec.frames,
    }


def _up(network: AutoEncoder) -> list[tuple[Tensor, Tensor]]:
    """Returns weights and biases of the transposed convolutions, what normalises them folded in."""
    found = []
    for number, layer in enumerate(network.up[:-1], len(network.down)):
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
        if len(network.norms):
            norm = network.norms[number]
            gain = norm.weight / torch.sqrt(norm.running_variance + _BN_EPS)  # type: ignore[operator]
            weight = weight * gain[None, :, None, None]
            bias = (bias - norm.running_mean) * gain + norm.bias  # type: ignore[operator]
        found.append((weight, bias))
    return found


def _bias(layer: torch.nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _acting(agent: Agent) -> dict[str, Any]:
    action, keys = agent.spec.action, KeyMap.of(agent.spec)
    held = [[]] + [[one] for one in KEYS] + [[a, b] for a in KEYS[:2] for b in KEYS[2:4]]
    return {
        "actions": {
            "kind": action.kind,
            "size": action.size,
            "low": list(action.low),
            "high": list(action.high),
            "meanings": [list(vector) for vector in action.meanings],
        },
        "names": keys.names(),
        "words": keys.words,
        "keys": [[sorted(one), np.asarray(keys.chosen(one)).tolist()] for one in held],
    }


def _starts(agent: Agent, seed: int) -> dict[str, Any]:
    """Plays, and takes moments that dreams may begin with."""
    real, found = Reality(agent, shown=False), []
    try:
        real.begin(seed)
        for number in range(STARTS):
            present = real.present
            hidden, cell = np.split(present.memory[0], 2)
            moment = {"z": present.latents[0], "before": present.before[0], "h": hidden, "c": cell}
            moment["trace"] = present.state.get("trace", np.zeros((1, 0)))[0]
            found.append({name: np.round(v, 6).tolist() for name, v in moment.items()})
            for _ in range(APART):
                real.step(chosen(agent.controller, real.present.read, None)[0])
            if real.over:
                real.begin(seed + number + 1)
    finally:
        real.close()
    with screen_of(agent.make_screen) as screen:
        return {"starts": found, "step_seconds": step_seconds(agent.spec, screen)}


def _filled(told: dict[str, Any], weights: bytes) -> bytes:
    # Neither a name nor a number may end the script that it stands in.
    facts = json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    values = {
        "TITLE": html.escape(told["title"]),
        "STYLE": (STATIC / "dream.css").read_text("utf-8"),
        "ENGINE": (STATIC / "dream.js").read_text("utf-8"),
        "STAGE": (STATIC / "dream_page.js").read_text("utf-8"),
        "TOLD": facts,
        "WEIGHTS": base64.b64encode(weights).decode(),
    }
    frame = (STATIC / "dream.html").read_text("utf-8")
    # All at once: what stands in a title is no place for anything.
    return re.sub(r"/\*([A-Z]+)\*/", lambda found: values[found[1]], frame).encode()
