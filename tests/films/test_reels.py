"""Films on the disk: their pictures, their speed, their names; and nothing half-written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curriculum.errors import ComponentMissing, ConfigError
from curriculum.films.reels import Gif, Pictures, Reel, Together, Video, reel_for, side_by_side


def pictures(count: int, height: int = 20, width: int = 30) -> list[np.ndarray]:
    """Each is red by its number."""
    made = np.zeros((count, height, width, 3), np.uint8)
    made[..., 0] = (np.arange(count) % 256)[:, None, None]
    return list(made)


def filmed(reel: Reel, taken: list[np.ndarray]) -> None:
    with reel:
        for picture in taken:
            if not reel.full:
                reel.take(picture)


@pytest.mark.parametrize(
    ("seconds", "count", "frames", "shown_ms"),
    [(1 / 15, 40, 40, 60), (0.02, 40, 40, 20), (1 / 60, 40, 20, 30), (1 / 15, 2000, 450, 60)],
)
def test_an_animation_has_the_games_speed_and_its_first_half_minute(
    tmp_path: Path, seconds: float, count: int, frames: int, shown_ms: int
) -> None:
    path = tmp_path / "a.gif"
    # Equal neighbours would be put together by the format.
    filmed(Gif(path, seconds), pictures(count))
    with Image.open(path) as image:
        assert image.n_frames == frames and image.size == (30, 20)
        assert image.info["duration"] == pytest.approx(shown_ms, abs=10) and image.info["loop"] == 0


def test_a_large_animation_is_made_small() -> None:
    reel = Gif(Path("nowhere.gif"), 0.05)
    reel.take(np.zeros((400, 600, 3), np.uint8))
    assert reel._pictures[0].shape == (213, 320, 3)


# imageio's reader leaves a pipe to be closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("height", "width", "size"), [(21, 31, (280, 190)), (400, 600, (600, 400))]
)
def test_a_video_holds_every_picture_at_the_games_speed(
    tmp_path: Path, height: int, width: int, size: tuple[int, int]
) -> None:
    imageio = pytest.importorskip("imageio.v2")
    path = tmp_path / "a.mp4"
    filmed(Video(path, 1 / 15), pictures(33, height, width))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    with imageio.get_reader(path) as reader:
        facts = reader.get_meta_data()
        assert facts["fps"] == 15.0 and facts["size"] == size
        assert sum(1 for _ in reader) == 33


def test_a_film_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    for reel in (Gif(tmp_path / "a.gif", 0.05), Video(tmp_path / "a.mp4", 0.05)):
        with pytest.raises(ValueError, match="broke"), reel:
            for picture in pictures(3):
                reel.take(picture)
            raise ValueError("broke")
    assert not list(tmp_path.iterdir())


def test_a_video_without_its_writer_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ComponentMissing, match=r"imageio\[ffmpeg\]"):
        reel_for(tmp_path / "a.mp4", 0.05)


@pytest.mark.parametrize("name", ["a.avi", "a", "gif"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.gif or \.mp4"):
        reel_for(Path(name), 0.05)


def test_reels_together_are_full_when_all_are() -> None:
    few, many = Pictures(2), Pictures(4)
    both = Together([few, many])
    filmed(both, pictures(9))
    assert (len(few.taken), len(many.taken)) == (2, 4) and both.full
    assert Together([]).full and Reel().full


def test_pictures_side_by_side_are_equally_high() -> None:
    wide, high = pictures(1, 20, 60)[0], pictures(1, 64, 32)[0]
    assert side_by_side([wide, high], 64).shape == (64, 192 + 8 + 32, 3)
