"""What the numbers say that V and M are measured by: their meaning, and which way is good."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

ACCURATE = 0.05
"""A pixel's value, of [0, 1], is accurate within this."""


class Measure(NamedTuple):
    """What one number says.

    Attributes:
        meaning: in a few words, with its unit.
        good: which way is good: `more`, `less`, or what it should be near; empty where neither is.
    """

    meaning: str
    good: str = ""


_VISION = {
    "loss": Measure("what learning makes small, on the data learned from", "less"),
    "reconstruction": Measure("how far pictures rebuilt from z are from what was seen", "less"),
    "coarse": Measure("the same at coarser scales: where things are, not their edges", "less"),
    "kl": Measure("nats that z tells of a picture", ""),
    "pixel_accuracy": Measure(f"share of pixels rebuilt within {ACCURATE} of [0, 1]", "more"),
    "moving_variance_explained": Measure("share of what moves that is rebuilt; 1 is all", "more"),
    "latent_magnitude": Measure("mean size of z, either sign", ""),
    "latent_mean": Measure("mean of z over all data", "0"),
    "latent_std": Measure("deviation of a latent over all data, mean of the latents", "1"),
    "latent_spread": Measure("the same of the latent that varies most; 0 is a V that sees nothing"),
    "active_latents": Measure("latents that vary with what is seen", "more"),
    "posterior_std": Measure("how unsure V is of a latent", "less"),
    "beta": Measure("weight of the KL in the loss", ""),
    "reconstruction_mse": Measure("squared error of a rebuilt pixel, of [0, 1]", "less"),
    "reconstruction_bce": Measure(
        "binary cross-entropy of a rebuilt pixel, nats; above 0 where pixels are grey", "less"
    ),
    "key_point_nll": Measure("nats by which the places of changed pixels surprise V", "less"),
    "key_point_outliers": Measure("share of changed pixels that no key point explains", "less"),
    "key_point_restarts": Measure("whether key points began anew in the last updates"),
    "key_point_sharpness": Measure("how surely a key point points at one place; 1 is at most"),
    "key_point_sigma": Measure("size of what a key point follows, pixels of 64", ""),
    "key_point_smallest_sigma": Measure("size of the smallest such thing, pixels of 64", ""),
    "gradient_norm": Measure("size of the last gradient, before it is clipped", ""),
    "moving": Measure("share of pixels that changed since the frame before", ""),
    "explained_variance": Measure("share of what varies that the components hold", "more"),
    "frames": Measure("frames learned from", ""),
    "count": Measure("states learned from", ""),
    "constant": Measure("numbers of a state that never changed", ""),
}
_MEMORY = {
    "loss": Measure("what learning makes small, on the data learned from", "less"),
    "nll": Measure("nats by which the next z surprises M, per latent", "less"),
    "prediction_error": Measure("squared error of the z expected next, per latent", "less"),
    "copy_error": Measure("the same of expecting that nothing moves: what M has to beat"),
    "mixture_entropy": Measure("nats of doubt between M's Gaussians, 0 to the log of their number"),
    "reward_error": Measure("squared error of the reward expected", "less"),
    "reward_variance": Measure("the same of expecting the mean: what M has to beat", ""),
    "done_loss": Measure("nats by which ends of episodes surprise M", "less"),
    "weighted_done_loss": Measure("the same as it is learned from, ends counting more", "less"),
    "done_rate": Measure("how often an episode ended", ""),
    "done_probability": Measure("how often M expected it to", "the rate"),
    "gradient_norm": _VISION["gradient_norm"],
}
MEASURES: Mapping[str, Mapping[str, Measure]] = MappingProxyType(
    {"vision": MappingProxyType(_VISION), "memory": MappingProxyType(_MEMORY)}
)
"""By the stage that tells them, the numbers by their names in a ledger."""

HELD_OUT = "held_out_"
"""Before the name of a number: the same on data that nothing was learned from."""


def measure_of(stage: str, name: str) -> Measure:
    """Returns what a number says; nothing of one that is not known, e.g. a plugin's."""
    known = MEASURES.get(stage, {})
    if name in known:
        return known[name]
    found = known.get(name.removeprefix(HELD_OUT), Measure(""))
    if not found.meaning:
        return found
    return found._replace(meaning=f"{found.meaning}; on data not learned from")
