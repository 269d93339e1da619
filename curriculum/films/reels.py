"""Where pictures of an episode go, one after the other: an animation, a video, or a list."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Self

import numpy as np
from PIL import Image

from curriculum.errors import ComponentMissing, ConfigError, RunIOError
from curriculum.insight.drawing import Picture, write_gif

GIF_SECONDS, GIF_WIDTH = 30.0, 320
"""What an animation holds of an episode, its beginning, and how many pixels it is wide at most:
it packs moving pictures badly."""
GIF_SHORTEST_S = 0.02
"""What viewers show a picture for at least."""
VIDEO_SMALLEST = 256
"""Pixels that a video is wide at least; players blur what they have to enlarge."""
SUFFIXES = (".gif", ".mp4")

_INSTALL = 'pip install "imageio[ffmpeg]"'


class Reel:
    """Takes pictures of equal size; a context, whose end keeps them. This one keeps none."""

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return True

    def take(self, picture: Picture) -> None:
        """Takes the next picture, `[H, W, 3]` uint8."""

    def end(self, well: bool) -> None:
        """Is over; what was taken is worth keeping if all went well."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end(well=kind is None)


class Pictures(Reel):
    """Keeps pictures.

    Args:
        most: how many; 0 sets no limit.

    Attributes:
        taken: the pictures.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self.taken: list[Picture] = []

    @property
    def full(self) -> bool:
        return bool(self._most) and len(self.taken) >= self._most

    def take(self, picture: Picture) -> None:
        self.taken.append(picture)


class Together(Reel):
    """Gives pictures to several reels, whose contexts are others' affair.

    Args:
        reels: to which.
    """

    def __init__(self, reels: Sequence[Reel]) -> None:
        self._reels = reels

    @property
    def full(self) -> bool:
        return all(reel.full for reel in self._reels)

    def take(self, picture: Picture) -> None:
        for reel in self._reels:
            if not reel.full:
                reel.take(picture)


class Gif(Reel):
    """Writes the first `GIF_SECONDS` as an animation that loops.

    Args:
        path: of the file, which is there when the context ends well.
        step_seconds: that a picture lasts.
    """

    def __init__(self, path: Path, step_seconds: float) -> None:
        self._path = path
        self._stride = max(1, math.ceil(GIF_SHORTEST_S / step_seconds - 1e-6))
        self._seconds = step_seconds * self._stride
        self._seen = 0
        self._pictures: list[Picture] = []

    @property
    def full(self) -> bool:
        return len(self._pictures) * self._seconds >= GIF_SECONDS

    def take(self, picture: Picture) -> None:
        if self._seen % self._stride == 0:
            self._pictures.append(_at_most(picture, GIF_WIDTH))
        self._seen += 1

    def end(self, well: bool) -> None:
        """Writes it; raises `RunIOError` where the disk refused."""
        if well and self._pictures:
            write_gif(self._path, self._pictures, 1000.0 * self._seconds)


class Video(Reel):
    """Writes all of an episode as a video, H.264 in MP4; picture by picture.

    Args:
        path: of the file, which is there when the context ends well.
        step_seconds: that a picture lasts.

    Raises:
        ComponentMissing: imageio with its ffmpeg is not installed.
    """

    def __init__(self, path: Path, step_seconds: float) -> None:
        try:
            import imageio.v2 as imageio
            import imageio_ffmpeg  # noqa: F401  (what writes MP4)
        except ImportError as e:
            raise ComponentMissing(f"an MP4 cannot be written: {e}; {_INSTALL}") from e
        self._open: Callable[..., Any] = imageio.get_writer
        self._path, self._rate = path, 1.0 / step_seconds
        self._writer: Any = None
        self._draft: Path | None = None

    @property
    def full(self) -> bool:
        return False

    def take(self, picture: Picture) -> None:
        picture = _even(_at_least(picture, VIDEO_SMALLEST))
        try:
            self._writer = self._writer or self._begun()
            self._writer.append_data(picture)
        except OSError as e:
            raise RunIOError(f"{self._path} cannot be written: {e}") from e

    def _begun(self) -> Any:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(
            dir=self._path.parent, prefix=".", suffix=".mp4", delete=False
        ) as draft:
            self._draft = Path(draft.name)
        # Flat colours and sharp edges; players want pixels in 4:2:0.
        return self._open(
            self._draft,
            format="FFMPEG",
            mode="I",
            fps=self._rate,
            codec="libx264",
            pixelformat="yuv420p",
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-crf", "18", "-movflags", "+faststart"],
        )

    def end(self, well: bool) -> None:
        """Ends the file and puts it where it belongs, or takes it away."""
        if self._writer is None or self._draft is None:
            return
        self._writer.close()
        if well:
            self._draft.chmod(0o644)
            self._draft.replace(self._path)
        else:
            self._draft.unlink(missing_ok=True)


def reel_for(path: Path, step_seconds: float) -> Reel:
    """Returns what writes a film as its name says: `.gif` or `.mp4`; raises as `check_name`."""
    check_name(path)
    return (Gif if path.suffix.lower() == ".gif" else Video)(path, step_seconds)


def check_name(path: Path) -> None:
    """Raises ConfigError where a file's name is not one of a film."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"a film was to be written to {path}; expected a name that ends with "
            f"{' or '.join(SUFFIXES)}"
        )


def side_by_side(pictures: Sequence[Picture], height: int) -> Picture:
    """Returns pictures set side by side, each as high as said, without smoothing."""
    parts = []
    for picture in pictures:
        width = round(picture.shape[1] * height / picture.shape[0])
        image = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
        parts += [np.asarray(image), np.full((height, 8, 3), 24, np.uint8)]
    return np.concatenate(parts[:-1], axis=1)


def _at_least(picture: Picture, width: int) -> Picture:
    """Returns a picture enlarged by a whole number until it is as wide."""
    times = -(-width // picture.shape[1])
    return picture.repeat(times, axis=0).repeat(times, axis=1) if times > 1 else picture


def _at_most(picture: Picture, width: int) -> Picture:
    """Returns a picture made small until it is no wider."""
    high, wide = picture.shape[:2]
    if wide <= width:
        return picture
    size = (width, round(high * width / wide))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _even(picture: Picture) -> Picture:
    """Returns a picture whose sides are even, which the codec needs."""
    rows, columns = picture.shape[0] % 2, picture.shape[1] % 2
    return np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="edge")
