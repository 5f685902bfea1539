"""The files of the figures that the records allow."""

from __future__ import annotations

from pathlib import Path

from analysis.plots import save_figure
from analysis.report.elements import Picture
from analysis.report.section import SECTIONS, Measured
from analysis.study import Study


def draw(study: Study, measured: Measured, folder: Path, width_inches: float | None = None) -> list[Picture]:
    """Every section's figures, as PDF and SVG in `folder`, which is made. `measured` as of `summary.measure`.

    `width_inches`: of each file; None: the usual one.
    """
    folder.mkdir(parents=True)
    pictures = []
    for figure in [figure for page in SECTIONS.values() for figure in page.figures(study, measured)]:
        save_figure(figure.plot, folder / figure.file, width_inches)
        pictures.append(Picture(figure.file, figure.caption, figure.name))
    return pictures
