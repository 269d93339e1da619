"""Initial weights from a seed of their own, so that building a model disturbs no other stream."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def build(constructor: Callable[[], M], seed: int) -> M:
    """Constructs a module without torch's global generator and fills its weights from `seed`.

    Linear and convolutional weights are uniform within +-sqrt(6 / fan_in) (He et al. 2015, section
    2.2), an LSTM's within +-sqrt(3 / fan_in) for its inputs and +-1/sqrt(R) for its state. Biases
    are zero, those of an LSTM's forget gates one (Jozefowicz et al. 2015, section 3.2).

    Args:
        constructor: makes the module; it may hold Linear, Conv2d, ConvTranspose2d and LSTM layers.
        seed: of the weights.

    Returns:
        The module on the CPU, float32.
    """
    with torch.device("meta"):
        module = constructor()
    module.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            _fill(layer, generator)
    return module


def _fill(layer: nn.Module, generator: torch.Generator) -> None:
    if isinstance(layer, nn.LSTM):
        _fill_lstm(layer, generator)
    elif isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        bound = math.sqrt(6.0 / _fan_in(layer))
        layer.weight.uniform_(-bound, bound, generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    if isinstance(layer, nn.Linear):
        return layer.in_features
    fan_in = layer.in_channels * math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose2d):
        # A stride s spreads the kernel over s*s outputs, so each sees only that share of it.
        return fan_in / math.prod(layer.stride)
    return fan_in


def _fill_lstm(layer: nn.LSTM, generator: torch.Generator) -> None:
    for name, parameter in layer.named_parameters():
        if "weight" in name:
            # Unit-sized inputs and states then both reach the gates at a useful size, however few.
            gain = 3.0 if "ih" in name else 1.0
            bound = math.sqrt(gain / parameter.shape[1])
            parameter.uniform_(-bound, bound, generator=generator)
        else:
            parameter.zero_()
    for index in range(layer.num_layers):
        forget = slice(layer.hidden_size, 2 * layer.hidden_size)
        getattr(layer, f"bias_ih_l{index}")[forget] = 1.0
