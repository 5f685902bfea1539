"""A figure's files: PDF and SVG, in the one look of all figures."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_AN_INCH = 160  # of a PNG
Plot = Callable[[], Any]  # draws a figure and returns its Axes


def save_figure(plot: Plot, path: Path) -> None:
    """The figure that `plot` draws, as a PDF at `path` and an SVG beside it, in the one look of all figures."""
    with theme():
        from matplotlib import pyplot as plt

        axes = plot()
        # No date and no producer's version: the same figure is the same bytes.
        axes.figure.savefig(path, metadata={"CreationDate": None, "Creator": None, "Producer": None})
        axes.figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})  # for web pages
        plt.close(axes.figure)


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
def theme() -> Iterator[None]:
    """The one look of all figures, in force while they are drawn."""
    import matplotlib as mpl
    import seaborn as sns

    ours = {
        "axes.grid": True,
        "grid.color": "0.92",
        "grid.linewidth": 0.6,
        "axes.linewidth": 0.8,
        "axes.edgecolor": "0.3",
        "font.family": ["STIXGeneral"],
        "mathtext.fontset": "stix",
        "font.size": 10,
        "axes.labelsize": 10.5,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "pdf.fonttype": 42,
        "svg.hashsalt": "mdl",
        "savefig.bbox": "tight",
    }
    with mpl.rc_context(sns.axes_style("ticks") | sns.plotting_context("paper") | ours):
        yield
