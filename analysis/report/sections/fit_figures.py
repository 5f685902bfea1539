"""Figures of the scaling law: the fitted surface, its residuals, and what the compute would rather buy."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_bytes, format_count, format_flops
from analysis.plots import Curve, draw_marks, log_scales, name_curves, new_axes, styled

_DODGE = 1.06  # a mark's place at its N, as a factor of its neighbour's
_KINDS = {"compute-optimal": ("o", (0, (4, 2)), "0.45"), "MDL-optimal": ("*", "-", "black")}


def plot_fit(points: pd.DataFrame, lines: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Held-out loss against N: measured cells as marks, the fitted law as lines, one a dataset size.

    Tables as made by `lines.fit_points` and `lines.fit_lines`.
    """
    axes, curves = new_axes(ax), []
    for (subset_bytes, own), style in styled(points, "subset_bytes"):
        draw_marks(axes, own["n_params"].tolist(), own["loss"].tolist(), style)
        line = lines[lines["subset_bytes"] == subset_bytes]
        axes.plot(line["n_params"], line["loss"], **style | {"marker": None, "linewidth": 1.2})
        name = format_bytes(float(subset_bytes))
        curves.append(Curve(line["n_params"].tolist(), line["loss"].tolist(), name, style))
    log_scales(axes, format_count, lambda loss: f"{loss:g}")
    axes.set_xlabel("model size N, parameters")
    axes.set_ylabel("held-out loss, bits per byte")
    name_curves(axes, curves)
    return axes


def plot_residuals(points: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Measured over fitted loss, less one, against N; mark and colour say the dataset size, side by side at each N."""
    axes, groups = new_axes(ax), styled(points, "subset_bytes")
    axes.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    for i, ((subset_bytes, own), style) in enumerate(groups):
        beside = _DODGE ** (i - (len(groups) - 1) / 2)
        look = style | {"linestyle": "none", "markersize": 4, "label": format_bytes(float(subset_bytes))}
        axes.plot(own["n_params"] * beside, 100 * own["residual"], **look)
    log_scales(axes, format_count, None)
    axes.set_xlabel("model size N, parameters")
    axes.set_ylabel("residual: measured / fitted − 1, %")
    axes.legend(frameon=False, fontsize=9.5, loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1)
    return axes


def plot_compute(compute: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Model size against training FLOPs: which size the code pays for, and which the compute would.

    `compute` as in `study.Study`, of one group; intervals where `low` and `high` are known.
    """
    axes = new_axes(ax)
    for kind, (marker, line, color) in _KINDS.items():
        own = compute[(compute["kind"] == kind) & compute["n_params"].notna()].sort_values("flops")
        if own.empty:
            continue
        size = 10 if marker == "*" else 5
        axes.plot(own["flops"], own["n_params"], marker=marker, linestyle=line, color=color, markersize=size,
                  markerfacecolor="white", linewidth=1.3, label=kind)  # fmt: skip
        known = own[own["low"].notna() & own["high"].notna()]
        axes.vlines(known["flops"], known["low"], known["high"], color=color, linewidth=1)
    log_scales(axes, format_flops, format_count)
    axes.set_xlabel("training compute, FLOPs")
    axes.set_ylabel("model size N, parameters")
    axes.legend(frameon=False, fontsize=9.5)
    return axes
