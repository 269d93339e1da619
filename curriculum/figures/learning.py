"""What one run learned, as a picture beside its report."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from curriculum.figures.curve import Curve, Point
from curriculum.figures.drawing import DASHES, INK, as_file, below, svg
from curriculum.show.words import count

_CHECKED, _TRAINED = "#2f7ed8", "#8c8c8c"


def learning_picture(curve: Curve, target: float | None, score: float | None) -> bytes:
    """Returns an SVG file of a task's scores against real steps.

    Args:
        curve: of at least one point.
        target: that passes, dashed; None where it is not known.
        score: of the evaluation, at the end of the curve; None where there is none.
    """

    def draw(axes: Axes) -> None:
        if curve.training:
            steps, scores = _columns(curve.training)
            words = "training episodes, exploring"
            axes.plot(steps, scores, color=_TRAINED, linewidth=1.0, label=words)
        if curve.checks:
            steps, scores = _columns(curve.checks)
            words = "checks of what is deployed"
            axes.plot(steps, scores, "o-", color=_CHECKED, linewidth=1.3, markersize=4, label=words)
        if score is not None:
            last = max(point.steps for point in (*curve.training, *curve.checks))
            axes.plot([last], [score], "*", color=INK, markersize=10, label="evaluation")
        if target is not None:
            axes.axhline(target, color=INK, linewidth=0.8, linestyle=DASHES)
        axes.set_xlabel("real steps")
        axes.set_ylabel("score")
        axes.xaxis.set_major_formatter(lambda x, _: count(x))
        below(axes)

    return as_file(svg(draw, (6.4, 3.6)))


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.steps for point in points], [point.score for point in points]
