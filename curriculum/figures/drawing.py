"""How every figure is drawn: SVG in colours that suit a light page and a dark one.

What is black in a figure becomes the text colour of the page that it stands in.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#010203"
DASHES = (0, (4, 3))
_ALONE = "<style>svg{color:#1d2127}@media (prefers-color-scheme: dark){svg{color:#e4e7eb}}</style>"
_PLOT: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "study",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def below(axes: Axes) -> None:
    """Puts the legend below the axes, where it hides nothing."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(frameon=False, loc="outside lower center", ncols=2)


def svg(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    """Returns a figure as an SVG element, as wide as the page lets it be.

    Args:
        draw: fills the axes.
        size: width and height in inches, which give its proportions.
    """
    text = _svg(draw, size)
    # The page sets the size; the picture keeps its proportions.
    for side in ("width", "height"):
        text = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", text, count=1)
    return text


def as_file(figure: str) -> bytes:
    """Returns a figure of `svg` as a file of its own, which obeys the reader's light or dark theme.

    It is as large as it was asked for, in points.
    """
    size = re.search(r'viewBox="0 0 (\S+) (\S+)"', figure)
    assert size is not None
    end = figure.index(">")
    told = f' width="{size[1]}pt" height="{size[2]}pt">{_ALONE}'
    return f"{figure[:end]}{told}{figure[end + 1 :]}".encode()


def _svg(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    with mpl.rc_context(_PLOT):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")
