"""Observations as pictures: frames enlarged, states drawn, rows of pictures set side by side."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from curriculum.envs.interface import EnvSpec
from curriculum.envs.simulation.cartpole import draw_cartpole
from curriculum.records.files import write_bytes
from models.shapes import Shaped, UInt8

Picture = UInt8[np.ndarray, "_ _ 3"]
Draw = Callable[[np.ndarray], Picture]
"""Turns one observation into a picture `[H, W, 3]` uint8."""

SCALE = 4
SIZE = 256
GAP = 4
LABEL_WIDTH = 72
BACKGROUND, INK, ACCENT = (24, 24, 32), (225, 225, 225), (250, 180, 60)
LANDER_SIZE = 8
"""Numbers in LunarLander's state: x, y, their speeds, angle, its speed, two leg contacts."""
CARTPOLE_SIZE = 4
"""Numbers in CartPole's state: place, velocity, angle, angular velocity."""


def drawer(spec: EnvSpec, scale: int = SCALE) -> Draw:
    """Returns what draws an environment's observations: its newest frame, a picture, or bars.

    Args:
        spec: of the environment.
        scale: how many times as large as it is a frame is drawn.
    """
    if spec.observation == "pixels":
        newest = slice(-(spec.shape[-1] // spec.frames), None)
        return lambda frame: enlarge(frame[..., newest], scale)
    if "lander" in spec.env_id.lower() and spec.shape == (LANDER_SIZE,):
        return draw_lander
    if "cartpole" in spec.env_id.lower() and spec.shape == (CARTPOLE_SIZE,):
        return lambda state: enlarge(draw_cartpole(state[None])[0])
    return draw_bars


def enlarge(frame: UInt8[np.ndarray, "H W C"], scale: int = SCALE) -> Picture:
    """Enlarges a frame `[H, W, 1 or 3]` uint8, without smoothing; grey becomes RGB."""
    rgb = np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame
    return rgb.repeat(scale, axis=0).repeat(scale, axis=1)


def draw_lander(state: Shaped[np.ndarray, " 8"]) -> Picture:
    """Draws LunarLander's state `[8]`: the pad, and the lander at (x, y) with its angle."""
    image, draw = _canvas()
    x, y, _, _, angle, _, *legs = (float(v) for v in np.nan_to_num(state))
    ground = SIZE * 0.85
    draw.line([(0, ground), (SIZE, ground)], fill=INK, width=2)
    for flag in (-0.2, 0.2):
        at = (flag + 1) * SIZE / 2
        draw.line([(at, ground), (at, ground - 14)], fill=ACCENT, width=2)
    centre = np.array([(x + 1) * SIZE / 2, ground - 10 - y * SIZE * 0.55])
    cos, sin = np.cos(-angle), np.sin(-angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    body = np.array([[-9, 7], [-11, -1], [-7, -9], [7, -9], [11, -1], [9, 7]]) @ turn + centre
    draw.polygon([(px, py) for px, py in body.tolist()], fill=(128, 102, 230))
    for side, touching in zip((-1, 1), legs, strict=True):
        leg = np.array([[8 * side, 6], [13 * side, 12]]) @ turn + centre
        colour = ACCENT if touching > 0.5 else INK
        draw.line([(px, py) for px, py in leg.tolist()], fill=colour, width=3)
    return np.asarray(image)


def draw_bars(state: Shaped[np.ndarray, " D"]) -> Picture:
    """Draws a state `[D]` as one bar per number, squashed by tanh around the middle line."""
    image, draw = _canvas()
    values = np.tanh(np.nan_to_num(state))
    width = SIZE / len(values)
    middle = SIZE / 2
    draw.line([(0, middle), (SIZE, middle)], fill=INK)
    for number, value in enumerate(values.tolist()):
        top, bottom = sorted((middle, middle - value * (middle - 8)))
        left = number * width
        draw.rectangle([left + 1, top, left + max(width - 2, 2), bottom], fill=ACCENT)
    return np.asarray(image)


def strip(rows: Sequence[tuple[str, Sequence[Picture]]]) -> Picture:
    """Sets rows of equally large pictures below each other, each with its name at the left.

    Args:
        rows: name and pictures `[H, W, 3]`; all rows have equally many.

    Returns:
        `[H', W', 3]` uint8.
    """
    height, width = rows[0][1][0].shape[:2]
    columns = len(rows[0][1])
    size = LABEL_WIDTH + columns * (width + GAP), len(rows) * (height + GAP) + GAP
    image = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(image)
    for row, (name, pictures) in enumerate(rows):
        top = GAP + row * (height + GAP)
        draw.text((6, top + height // 2 - 6), name, fill=INK)
        for column, picture in enumerate(pictures):
            image.paste(Image.fromarray(picture), (LABEL_WIDTH + column * (width + GAP), top))
    return np.asarray(image)


def write_png(path: Path, picture: Picture) -> None:
    """Writes a picture atomically.

    Raises:
        RunIOError: the disk refused.
    """
    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="PNG", optimize=True)
    write_bytes(path, data.getvalue())


def write_gif(path: Path, pictures: Sequence[Picture], frame_ms: float) -> None:
    """Writes an animation that loops, atomically.

    Args:
        path: of the file.
        pictures: `[H, W, 3]` uint8 each, at least one.
        frame_ms: milliseconds that each is shown; at least 20, which is what viewers honour.

    Raises:
        RunIOError: the disk refused.
    """
    first, *others = (Image.fromarray(picture) for picture in pictures)
    data = io.BytesIO()
    first.save(
        data,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=max(round(frame_ms), 20),
        loop=0,
        optimize=True,
    )
    write_bytes(path, data.getvalue())


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (SIZE, SIZE), BACKGROUND)
    return image, ImageDraw.Draw(image)
