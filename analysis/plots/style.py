"""How lines look and are named: what all figures share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Affine2D
from scipy.optimize import isotonic_regression

from analysis.plots.free_side import Box, free_side

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
# Without a patch to keep clear of, a straight line costs no search for where it meets one.
_LEADER: dict[str, Any] = {
    "arrowstyle": "-",
    "color": "0.75",
    "linewidth": 0.6,
    "relpos": (0, 0.5),
    "patchA": None,
    "shrinkA": 1,
    "shrinkB": 0,
}
MOST_COLORS = 8  # more cannot be told apart
GRAY = "0.8"  # a curve that is neither named nor told from its neighbors
_LINE_POINTS = 11.5  # from one curve's name to the next
_MARK_POINTS = 5.0  # half the width of a mark, with room about it
OF_OURS = "a whole figure"  # what axes are called that have a margin for names
_FOOT_POINTS, _FEET = 35.0, (0.055, 0.945)  # from one name at the foot to the next; where these may stand
LETTER_POINTS = 5.0  # of a name, at least
_SHORT = 0.6  # of the width: a curve that ends before is named there
HALO = [withStroke(linewidth=2.5, foreground="white")]


class Curve(NamedTuple):
    """One line: x, y, its name and its look."""

    x: Sequence[float]
    y: Sequence[float]
    label: str
    style: dict[str, Any]


def ordered_colors(n: int, on_dark: bool = False) -> list[tuple[float, float, float]]:
    """Of n curves in order, from dark to light; without the two palest, or on dark paper without the two darkest."""
    return list(sns.color_palette("viridis", n + 2)[2 if on_dark else 0 :][:n])


def styled(
    frame: pd.DataFrame, by: str, first: Collection[Any] = ()
) -> list[tuple[tuple[Any, pd.DataFrame], dict[str, Any]]]:
    """Groups of a frame in order, each with its look: eight at most in color, the others in gray.

    Groups named in `first` have a color before others; of more than there are colors for, some evenly spread.
    """
    groups = list(frame.groupby(by, sort=True))
    wanted = [i for i, (name, _) in enumerate(groups) if name in first]
    shown = _spread(wanted, MOST_COLORS)
    shown = sorted([*shown, *_spread([i for i in range(len(groups)) if i not in wanted], MOST_COLORS - len(shown))])
    looks = dict(zip(shown, map(_look, range(len(shown)), ordered_colors(len(shown))), strict=True))
    return [(group, looks.get(i) or _look(i, GRAY) | {"linewidth": points(0.8)}) for i, group in enumerate(groups)]


def _spread(items: Sequence[int], most: int) -> list[int]:
    """So many of them at most, evenly."""
    at = np.linspace(0, len(items) - 1, max(0, min(len(items), most))).round().astype(int)
    return [items[i] for i in at]


def said_of_gray(n_curves: int) -> str:
    """What a caption says of curves that `styled` left without a color; nothing where all have one."""
    return " Thin and gray: sizes beyond eight." if n_curves > MOST_COLORS else ""


def _look(i: int, color: Any) -> dict[str, Any]:
    return {
        "color": color,
        "marker": "" if color == GRAY else _MARKERS[i % len(_MARKERS)],
        "linestyle": "-" if color == GRAY else _LINES[i % len(_LINES)],
        "markersize": points(4.5),
        "linewidth": points(1.5),
        "zorder": 1.8 if color == GRAY else 2,
    }


def new_axes(ax: Axes | None) -> Axes:
    """The given axes, or new ones in a figure of the size in force; without a frame at the top and the right."""
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(subplot_kw={"label": OF_OURS})[1]
    sns.despine(ax=ax)
    return ax


def points(size: float) -> float:
    """A length in points where text has 10, in figures whose text is as large as the one in force."""
    return size * float(mpl.rcParams["font.size"]) / 10


def size_curves(rows: pd.DataFrame, x: str, y: str, by: str = "n_params", **look: Any) -> list[Curve]:
    """A curve per model size of two columns of `rows`, named by the column `size`; `by` tells the sizes apart."""
    return [
        Curve(own[x].tolist(), own[y].tolist(), str(own["size"].iloc[0]), style | look)
        for (_, own), style in styled(rows, by)
    ]


def draw(axes: Axes, curves: Sequence[Curve]) -> None:
    """The lines, without a legend: `name_curves` names them."""
    for curve in curves:
        axes.plot(curve.x, curve.y, markeredgewidth=0, **curve.style)


def draw_lines(axes: Axes, curves: Sequence[Curve]) -> None:
    """As `draw`, without marks."""
    draw(axes, [curve._replace(style=curve.style | {"marker": ""}) for curve in curves])


def draw_marks(axes: Axes, x: Sequence[float], y: Sequence[float], style: dict[str, Any]) -> None:
    """The points of a curve whose line is another's."""
    axes.plot(x, y, markeredgewidth=0, **style | {"linestyle": "none"})


def name_curves(
    axes: Axes,
    curves: Sequence[Curve],
    marks: Sequence[tuple[float, float]] = (),
    named_below: Collection[str] = (),
) -> None:
    """Each curve's name where it ends on the right, or where it leaves through the top; kept apart from each other.

    One that ends far from the right has its name at its end: a line to the margin would cross the others. It has none
    where it is `named_below`. Axes that were given may have others beside them, so their names are in a legend inside.
    Gray ones have no names. No name stands on one of the `marks`, which are drawn otherwise.
    """
    drawn = curves
    curves = [curve for curve in curves if curve.style["color"] != GRAY]
    if axes.get_label() != OF_OURS:
        axes.legend(handles=[_key(curve) for curve in curves], loc="best", frameon=False, fontsize="small")
        return
    high = axes.get_ylim()[1]
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = [(c, *to_axes.transform((c.x[-1], c.y[-1]))) for c in curves if c.y[-1] <= high]
    to_points = axes.transData + Affine2D().scale(72 / axes.figure.dpi)
    taken: list[Box] = [(place - _MARK_POINTS, place + _MARK_POINTS) for place in map(to_points.transform, marks)]
    lines = [to_points.transform(np.column_stack([c.x, c.y])) for c in drawn]
    for curve in (c for c, x, _ in placed if x < _SHORT and c.label not in named_below):
        size = points(LETTER_POINTS) * len(curve.label), points(9.5)
        end = curve.x[-1], curve.y[-1]
        (offset, side), box = free_side(to_points.transform(end), size, lines, taken)
        taken.append(box)
        label(axes, curve.label, end, offset, ha=side, color=curve.style["color"])
    inside = [place for place in placed if place[1] >= _SHORT]
    ends = [end for _, _, end in inside]
    line = points(_LINE_POINTS) / (axes.get_window_extent().height * 72 / axes.figure.dpi)
    for (curve, x, end), y in zip(inside, _apart(ends, line, (line / 2, np.inf)), strict=True):
        axes.annotate(
            curve.label,
            (x, end),
            (1.015, y),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=points(9.5),
            color=curve.style["color"],
            arrowprops=_LEADER,
        )
    outside = [c for c in curves if c.y[-1] > high]
    exits = [to_axes.transform((_crossing(c, high), high))[0] for c in outside]
    for curve, x, at in zip(outside, exits, _apart(exits, 0.14), strict=True):
        text = f"{curve.label} ↑"
        axes.annotate(
            text,
            (x, 1.0),
            (at, 1.03),
            xycoords="axes fraction",
            textcoords="axes fraction",
            ha="center",
            fontsize=points(9.5),
            color=curve.style["color"],
        )


def _key(curve: Curve) -> Line2D:
    shown = ("color", "marker", "linestyle", "markersize")
    return Line2D([], [], label=curve.label, **{name: look for name, look in curve.style.items() if name in shown})


def _crossing(curve: Curve, level: float) -> float:
    """Where the drawn line, straight on logarithmic axes, last rises through a level."""
    i = next(k for k in range(len(curve.y) - 1, -1, -1) if k == 0 or curve.y[k - 1] <= level)
    if i == 0:
        return float(curve.x[0])
    return float(np.exp(np.interp(np.log(level), np.log(curve.y[i - 1 : i + 1]), np.log(curve.x[i - 1 : i + 1]))))


def _apart(places: Sequence[float], least: float, within: tuple[float, float] = (-np.inf, np.inf)) -> list[float]:
    """The places in the same order, `within` bounds and at least `least` apart, moved as little as it takes.

    By least squares. Where so many do not fit in the bounds they stand closer.
    """
    order = np.argsort(places, kind="stable")
    low, high = within
    step = min(least, (high - low) / max(1, order.size - 1))
    steps = step * np.arange(order.size)
    moved = np.empty(order.size)
    if order.size:
        free = isotonic_regression(np.asarray(places, float)[order] - steps).x
        moved[order] = np.clip(free, low, high - steps[-1]) + steps
    return [float(place) for place in moved]


def name_below(
    axes: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str], colors: Sequence[Any] | None = None
) -> list[int]:
    """Names of points at the foot of the axes where no curve is, each with a line up to its point.

    Where there is no room for all, every second is named, or every third. Returns the places in `names` of those.
    """
    least = points(_FOOT_POINTS) / (axes.get_window_extent().width * 72 / axes.figure.dpi)
    every = max(1, int(np.ceil((len(x) - 1) * least / (_FEET[1] - _FEET[0]))))
    shown = list(range(0, len(x), every))
    ends = np.column_stack([x, y])[shown]
    places = axes.transAxes.inverted().transform(axes.transData.transform(ends)) if shown else ()
    feet = _apart([place[0] for place in places], least, within=_FEET)
    for i, at in zip(shown, feet, strict=True):
        axes.annotate(
            names[i],
            (x[i], y[i]),
            (at, 0.02),
            textcoords="axes fraction",
            ha="center",
            fontsize=points(9),
            color=mpl.rcParams["text.color"] if colors is None else colors[i],
            path_effects=HALO,
            zorder=3,
            arrowprops=_LEADER | {"relpos": (0.5, 1), "linestyle": ":", "color": "0.5"},
        )
    return shown


def label(axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **how: Any) -> None:
    """Text near a point, readable over lines; `offset` in points."""
    axes.annotate(
        text, at, offset, textcoords="offset points", fontsize=points(9.5), path_effects=HALO, zorder=6, **how
    )
