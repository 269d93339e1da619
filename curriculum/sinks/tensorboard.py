"""TensorBoard: curves, histograms, pictures and films, in event files inside the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curriculum.sinks.sink import Moment, Told

BINS = 64


class TensorBoardSink:
    """Writes event files (`curriculum.sinks.sink.Sink`); a resumed run adds another one.

    Args:
        told: of the run.

    Raises:
        ImportError: tensorboard is not installed.
    """

    def __init__(self, told: Told) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        # Protocol buffers make their classes as they load, where no type checker sees them.
        self._event: Any = vars(event_pb2)["Event"]
        self._summary: Any = vars(summary_pb2)["Summary"]
        self._histogram: Any = vars(summary_pb2)["HistogramProto"]
        self._writer = EventFileWriter(str(told.directory / "tensorboard"))

    def scalars(self, values: dict[str, float], moment: Moment) -> None:
        self._add(moment, [{"tag": k, "simple_value": v} for k, v in values.items()])

    def histogram(self, name: str, values: NDArray[np.float32], moment: Moment) -> None:
        counts, edges = np.histogram(values.astype(np.float64), BINS)
        exact = values.astype(np.float64)
        histogram = self._histogram(
            min=exact.min(),
            max=exact.max(),
            num=exact.size,
            sum=exact.sum(),
            sum_squares=np.square(exact).sum(),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self._add(moment, [{"tag": name, "histo": histogram}])

    def image(self, name: str, path: Path, moment: Moment) -> None:
        self._picture(name, path, moment)

    def film(self, name: str, path: Path, moment: Moment) -> None:
        self._picture(name, path, moment)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _picture(self, name: str, path: Path, moment: Moment) -> None:
        """A GIF is a picture there as a PNG is, and moves."""
        with Image.open(path) as picture:
            width, height = picture.size
        image = self._summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes()
        )
        self._add(moment, [{"tag": name, "image": image}])

    def _add(self, moment: Moment, values: list[dict[str, Any]]) -> None:
        summary = self._summary(value=[self._summary.Value(**value) for value in values])
        self._writer.add_event(
            self._event(wall_time=moment.time, step=moment.step, summary=summary)
        )
