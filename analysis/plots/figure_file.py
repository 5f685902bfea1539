"""A figure's files: PDF and SVG, in the one look of all figures."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_AN_INCH = 160  # of a PNG
_WIDTH_INCHES = 6.5  # of the axes with their labels
_HEIGHT, _MOST_INCHES = 0.6, 2.9  # over the width; and no higher, so that three stand on a page
Plot = Callable[[], Any]  # draws a figure and returns its Axes


def save_figure(plot: Plot, path: Path, width_inches: float | None = None) -> None:
    """The figure that `plot` draws, as a PDF at `path` and an SVG beside it, in the one look of all figures.

    `width_inches`: of the files, with all that stands beside the axes; None: axes of the usual width.
    """
    with theme(_WIDTH_INCHES if width_inches is None else _drawn_inches(plot, width_inches)):
        from matplotlib import pyplot as plt

        axes = plot()
        # No date and no producer's version: the same figure is the same bytes.
        axes.figure.savefig(path, metadata={"CreationDate": None, "Creator": None, "Producer": None})
        axes.figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})  # for web pages
        plt.close(axes.figure)


def _drawn_inches(plot: Plot, width_inches: float) -> float:
    """How wide to draw so that with all that stands beside the axes the file is `width_inches` wide."""
    drawn = width_inches
    for _ in range(2):  # what stands beside does not grow with the axes
        with theme(drawn):
            from matplotlib import pyplot as plt

            figure = plot().figure
            drawn += width_inches - _file_inches(figure)
            plt.close(figure)
    return drawn


def _file_inches(figure: Figure) -> float:
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    return float(re.findall(rb'<svg[^>]* width="([\d.]+)pt"', content.getvalue())[0]) / 72


_UNTOLD = {  # no date and no program's name: the same figure is the same bytes
    "pdf": ("CreationDate", "Creator", "Producer"),
    "svg": ("Date", "Creator"),
    "png": ("Software",),
}
FIGURE_FORMATS = tuple(_UNTOLD)


def figure_bytes(plot: Callable[[], Figure], file_format: str) -> bytes:
    """The figure that `plot` draws, as a file of one of FIGURE_FORMATS, in the one look of all figures."""
    with theme():
        from matplotlib import pyplot as plt

        figure, content = plot(), io.BytesIO()
        told = dict.fromkeys(_UNTOLD[file_format])
        figure.savefig(content, format=file_format, metadata=told, dpi=_DOTS_AN_INCH)
        plt.close(figure)
    return content.getvalue()


@contextmanager
def theme(width_inches: float = _WIDTH_INCHES) -> Iterator[None]:
    """The one look of all figures, in force while they are drawn; the text of narrow ones is smaller, 6.5 points."""
    import matplotlib as mpl
    import seaborn as sns

    text = min(1.0, max(0.65, width_inches / _WIDTH_INCHES))
    ours = {
        "figure.figsize": (width_inches, min(width_inches * _HEIGHT, _MOST_INCHES)),
        "axes.grid": True,
        "grid.color": "0.92",
        "grid.linewidth": 0.6,
        "axes.linewidth": 0.8,
        "axes.edgecolor": "0.3",
        "font.family": ["STIXGeneral"],
        "mathtext.fontset": "stix",
        "font.size": 10 * text,
        "axes.labelsize": 10.5 * text,
        "xtick.labelsize": 9.5 * text,
        "ytick.labelsize": 9.5 * text,
        "pdf.fonttype": 42,
        "svg.hashsalt": "mdl",
        "savefig.bbox": "tight",
    }
    with mpl.rc_context(sns.axes_style("ticks") | sns.plotting_context("paper") | ours):
        yield
