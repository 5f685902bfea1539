"""The figure of `mdl fit -o`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mdl.errors import MdlError
from mdl.storage import require_writable, write_atomically

if TYPE_CHECKING:
    from analysis.scaling import Measurements, Report


def require_figure(path: Path) -> None:
    """MdlError or OSError before a long fit, where its figure could not be written."""
    from analysis.plots import FIGURE_FORMATS

    if path.suffix.removeprefix(".").lower() not in FIGURE_FORMATS:
        raise MdlError(f"-o {path}: want a figure that ends in {', '.join(f'.{name}' for name in FIGURE_FORMATS)}")
    require_writable(path)


def draw(measured: Measurements, made: Report, path: Path, *, of_records: bool) -> None:
    """Write the figure; AnalysisError where there is no law to draw."""
    from analysis.plots import figure_bytes, plot_scaling_fit
    from analysis.scaling import fit_tables

    tables = fit_tables(measured, made, in_bytes=of_records)
    plot = partial(
        plot_scaling_fit,
        points=tables.points,
        lines=tables.lines,
        tests=tables.tests,
        loss_name="held-out loss, bits per byte" if of_records else "loss L",
        data_name="dataset size D, bytes" if of_records else "dataset size D",
    )
    write_atomically(path, figure_bytes(plot, path.suffix.removeprefix(".").lower()))
