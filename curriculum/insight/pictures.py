"""What V and M make of reality, as strips: real above, imagined below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curriculum.insight.drawing import Draw, Picture, enlarge, strip
from curriculum.world.world_model import WorldModel
from models.interfaces import Vision
from models.shapes import Float32, UInt8

MOVED = 0.02
"""Change of a value, of 1, that counts as movement; `models.vae.ConvVAE` says so too."""

DREAM_STEPS = 15
COLUMNS = 8
DREAM_TEMPERATURE = 0.1
"""Low enough that a strip shows what M expects rather than what it could imagine."""


def motion_weights(
    frames: UInt8[np.ndarray, "n H W C"],
    previous: UInt8[np.ndarray, "n H W C"],
    *,
    motion_weight: float = 1.0,
    background_weight: float = 0.01,
) -> Float32[np.ndarray, "n H W"]:
    """Returns the weights `[n, H, W]` that V's loss gives to pixels (see `models.vae.ConvVAE`).

    Args:
        frames: `[n, H, W, C]` uint8.
        previous: `[n, H, W, C]` uint8, one step earlier.
        motion_weight: further weight of a pixel that changed, or one of whose eight neighbours did;
            at 0 all weights are 1.
        background_weight: weight of all others.
    """
    if motion_weight == 0:
        return np.ones(frames.shape[:3], np.float32)
    change = np.abs(frames.astype(np.int16) - previous.astype(np.int16)).max(axis=3)
    changed = np.pad(change > MOVED * 255.0, ((0, 0), (1, 1), (1, 1)))
    height, width = frames.shape[1:3]
    grown = np.zeros(frames.shape[:3], np.bool_)
    for row in range(3):
        for column in range(3):
            grown |= changed[:, row : row + height, column : column + width]
    return (background_weight + motion_weight * grown).astype(np.float32)


def vision_picture(
    vision: Vision,
    frames: UInt8[np.ndarray, "n H W C"],
    previous: UInt8[np.ndarray, "n H W C"],
    *,
    motion_weight: float = 1.0,
    background_weight: float = 0.01,
    draw: Draw = enlarge,
) -> Picture:
    """Sets frames above V's reconstructions, and below them where the loss looks.

    Args:
        vision: V.
        frames, previous: `[n, H, W, C]` uint8; n columns.
        motion_weight, background_weight: of the loss; white is the greatest weight.
        draw: turns one frame into a picture.
    """
    weights = motion_weights(
        frames, previous, motion_weight=motion_weight, background_weight=background_weight
    )
    brightest = max(float(weights.max()), 1e-12)
    looked_at = np.rint(255.0 * weights / brightest).astype(np.uint8)[..., None]
    rebuilt = vision.decode(vision.encode(frames))
    rows = (("real", frames), ("V", rebuilt))
    pictures = [(name, [draw(frame) for frame in seen]) for name, seen in rows]
    return strip([*pictures, ("loss looks", [enlarge(one) for one in looked_at])])


def memory_picture(
    world: WorldModel,
    observations: np.ndarray,
    actions: Float32[np.ndarray, "T A"],
    starts: Sequence[int],
    rng: np.random.Generator,
    *,
    dream_steps: int = DREAM_STEPS,
    temperature: float = DREAM_TEMPERATURE,
    draw: Draw = enlarge,
) -> Picture:
    """Sets what came above what M predicted of it one step before, and above a dream of it.

    Every start has three rows, with up to eight columns of 1 to `dream_steps` steps later: what was
    seen; what M predicted from all that was real until the step before; what it dreamed, having
    seen nothing real since the start. M follows the whole episode up to each.

    Args:
        world: V and M; they are only read.
        observations: `[T+1, ...]` of one episode.
        actions: `[T, A]`, encoded.
        starts: steps at which dreams begin, each at most T - dream_steps.
        rng: M's noise.
        dream_steps: length of a dream.
        temperature: of both kinds of prediction.
        draw: turns one observation into a picture.

    Raises:
        ValueError: there is no start, or a dream would go beyond the episode.
    """
    if not len(starts) or min(starts) < 0 or max(starts) + dream_steps > len(actions):
        raise ValueError(
            f"dreams of {dream_steps} steps were asked for from {list(starts)}, expected at least "
            f"one start and each from 0 to {len(actions) - dream_steps}"
        )
    latents = world.observe(observations)
    states, next_latents = _followed(world, latents, actions, temperature, rng)
    shown = np.linspace(1, dream_steps, min(COLUMNS, dream_steps)).round().astype(int)
    rows: list[tuple[str, list[Picture]]] = []
    for start in starts:
        taken = actions[start : start + dream_steps]
        dreamed = _dream(world, latents[start], states[start], taken, temperature, rng)
        seen = (
            (f"real {start}+", observations[start + shown]),
            ("1 step", world.draw(next_latents[start + shown - 1])),
            ("dream", world.draw(dreamed[shown - 1])),
        )
        rows += [(name, [draw(one) for one in some]) for name, some in seen]
    return strip(rows)


def _followed(
    world: WorldModel,
    latents: Float32[np.ndarray, "L Z"],
    actions: Float32[np.ndarray, "T A"],
    temperature: float,
    rng: np.random.Generator,
) -> tuple[Float32[np.ndarray, "T M"], Float32[np.ndarray, "T Z"]]:
    """Returns M's states before each z_t `[T, S]`, and z_{t+1} predicted from them `[T, Z]`."""
    state = world.begin(1)
    states, predicted = [], []
    for t in range(len(actions)):
        states.append(state[0])
        now = latents[t : t + 1]
        state, imagined = world.imagine(state, now, actions[t : t + 1], temperature, rng)
        predicted.append(imagined.latents[0])
    return np.stack(states), np.stack(predicted)


def _dream(
    world: WorldModel,
    latent: Float32[np.ndarray, " Z"],
    state: Float32[np.ndarray, " M"],
    actions: Float32[np.ndarray, "K A"],
    temperature: float,
    rng: np.random.Generator,
) -> Float32[np.ndarray, "K Z"]:
    """Returns the latents `[K, Z]` that M dreams after K actions `[K, A]`."""
    z, state = latent[None], state[None]
    dreamed = []
    for t in range(len(actions)):
        state, imagined = world.imagine(state, z, actions[t : t + 1], temperature, rng)
        z = imagined.latents
        dreamed.append(z[0])
    return np.stack(dreamed)
