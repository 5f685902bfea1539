"""Which estimator foretells the code length of a shape that it has not seen: on the committed records of the studies.

python -m benchmarks leave_one_shape_out [reports/study-text/records …]. Each shape is left out at all dataset sizes; at
those where it lies in the law's window and is not the outermost, its code length is foretold by the smooth law with its
slope over depth, and by the local interpolation. Beside it by how much N* moves without the shape, as a factor.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.codes import shortest_codes
from analysis.costs import PAPER
from analysis.critical import Column, columns, critical_size, estimate_all
from analysis.critical.depth_factor import depth_beside_usual
from analysis.critical.group_fit import fit_group
from analysis.critical.interpolation import total_between
from analysis.records import load, longest

STUDIES = ("study-text", "study-images", "study-speech", "study-other-texts")


def without(column: Column, n_params: float) -> Column:
    """The column without a shape."""
    kept = column.sizes != n_params
    noise = None if column.noise is None else column.noise[kept]
    return replace(
        column, sizes=column.sizes[kept], mean=column.mean[kept], n_seeds=column.n_seeds[kept],
        price=column.price[kept], draws=None, noise=noise, depth=None if column.depth is None else column.depth[kept],
    )  # fmt: skip


def errors(found: list[Column]) -> Iterator[tuple[float, float, float, float]]:
    """Relative errors of the law and of the local interpolation, and log ratios by which their N* move."""
    whole = [estimate.row for estimate in estimate_all(found, 10)]
    names = np.unique(np.concatenate([column.sizes for column in found]))
    deep = depth_beside_usual(found, names)
    for shape, beyond in zip(names, deep, strict=True):
        rest = [without(column, shape) for column in found]
        of_depth = 1 + beyond * fit_group(rest).depth_slope
        for column, fewer, row, estimate in zip(found, rest, whole, estimate_all(rest, 10), strict=True):
            at = np.flatnonzero(column.sizes == shape)
            if not at.size or estimate.minimum is None or estimate.row["status"] != "bracketed":
                continue
            low, high = np.exp(estimate.minimum.window)
            if not low < shape < high:
                continue
            measured, n = float(column.mean[at[0]]), np.array([shape])
            local = float(total_between(fewer.sizes, fewer.mean, fewer.n_seeds, fewer.price, n)[0])
            local -= float(column.price[at[0]]) * shape
            alone = critical_size(fewer.sizes, fewer.mean, fewer.price, fewer.n_seeds).n_params
            moved = np.log(float(str(estimate.row["n_params"])) / float(str(row["n_params"])))
            by_itself = np.log((alone or np.nan) / float(str(row["n_local"])))
            yield of_depth * estimate.minimum.code_bits(shape) / measured - 1, local / measured - 1, moved, by_itself


def main() -> None:
    """A line a group of cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", default=[Path("reports") / n / "records" for n in STUDIES])
    print(f"{'':44}  rms error: law, local    N* moves, rms: law, local    at most")
    for folder in parser.parse_args().folders:
        table = load(folder)
        chosen = shortest_codes(replace(table, cells=longest(table.cells)), PAPER)
        for group, own in chosen.groupby("group"):
            law, local, moved, alone = np.array(list(errors(columns(own, 0)))).T
            rms = [float(np.sqrt(np.nanmean(v**2))) for v in (law, local, moved, alone)]
            most = [float(np.exp(np.nanmax(np.abs(v)))) for v in (moved, alone)]
            print(
                f"{table.name} {str(group)[:28]:28}  {100 * rms[0]:.2f} %, {100 * rms[1]:.2f} %    "
                f"{100 * rms[2]:.1f} %, {100 * rms[3]:.1f} %    x{most[0]:.2f}, x{most[1]:.2f}  ({law.size})",
                flush=True,
            )


if __name__ == "__main__":
    main()
