"""How a report is set so that no page has a hole: page by page, the longest run of rows without ink."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_TOP, _FOOT = 2 / 29.7, 1 - 2.1 / 29.7  # where the text of a page begins and ends: the margins of report.typ
_INK = 0.92  # of white
_NO_HOLE = 0.1  # of a page
_LAST_PAGE = 1 / 3  # of it may be blank
_HELD = (400, 200)
_LOOSE = (1, 0.97, 1.03, 0.94, 1.06, 0.91, 1.09, 0.88, 1.12, 0.85, 1.15, 1.18)


@dataclass(frozen=True)
class Layout:
    """How far lines stand apart, as a multiple, and the longest paragraph, in characters, that its table holds."""

    loose: float = 1
    held: int = _HELD[0]

    @property
    def inputs(self) -> dict[str, str]:
        """As the template takes them."""
        return {"loose": str(self.loose), "held": str(self.held)}


def filling(pages: Callable[[Layout], Sequence[bytes]]) -> Layout:
    """The first layout whose pages, as PNG, have no hole; else the one with the smallest."""
    holes: dict[Layout, float] = {}
    for held, loose in itertools.product(_HELD, _LOOSE):
        layout = Layout(loose, held)
        holes[layout] = widest_hole(pages(layout))
        if holes[layout] <= _NO_HOLE:
            return layout
    return min(holes, key=lambda layout: holes[layout])


def widest_hole(pages: Sequence[bytes]) -> float:
    """As a part of a page's height. The last page may end early, so that a third of it counts as a hole elsewhere."""
    *others, last = map(_hole, pages)
    return max(*others, last * _NO_HOLE / _LAST_PAGE, 0.0)


def _hole(page: bytes) -> float:
    from matplotlib.image import imread  # only where a report is set

    gray = imread(io.BytesIO(page))[..., :3].mean(axis=-1)
    first, end = round(_TOP * len(gray)), round(_FOOT * len(gray))
    inked = np.flatnonzero((gray[first:end] < _INK).any(axis=1))
    return float(np.diff([-1, *inked, end - first]).max() - 1) / len(gray)
