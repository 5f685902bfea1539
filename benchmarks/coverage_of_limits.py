"""Is the critical size of endless training where the first budgets foretell it? On records of several budgets.

python -m benchmarks coverage_of_limits [RECORDS ...] [--leave-out 1]

Of every corpus and dataset size, each budget but the last is set beside its half, as if there were no more of them, and
the size foretold of endless training beside that which the last budget and its half give: a reference with an error of
its own, in brackets. Where shapes are left out, each of those between the ends in turn, the same is foretold by fewer
of them: `mdl size` has time for five to nine. `miss` is the logarithm of the one over the other; `to come` the share of
the rate that is still to come by the gain, of which `analysis.critical.convergence` takes the uncertainty: its two
numbers are fitted here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.costs import parse_cost
from analysis.records import Table, load
from analysis.study import study

_REPORTS = Path(__file__).parents[1] / "reports"
RECORDS = tuple(_REPORTS / name / "records" for name in ("size-budgets", "study-text-converged"))
_TO_COME = 1 / (2**0.75 - 1)  # of the last doubling's gain
_LEAST_SHAPES = 5
_PRICE = parse_cost("float16")


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """The size of endless training by a budget and its half."""

    source: str
    subset_bytes: int
    n_shapes: int
    passes: float
    here: float  # N* at this training
    to_come: float  # share of the rate
    limit: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The same beside a reference, all as logarithms over it."""

    foretold: Foretold
    miss: float
    low: float
    high: float
    own: float  # half a width of the reference's interval

    @property
    def is_inside(self) -> bool:
        """Do the intervals meet?"""
        return self.low <= self.own and self.high >= -self.own


def of_records(table: Table, leave_out: bool) -> Iterator[Judged]:
    """Of each corpus and dataset size what each budget foretells, beside what the last one does with all shapes."""
    cells = table.cells[table.cells["snapshot"] == "final"]
    for (source, subset_bytes), own in cells.groupby(["source", "subset_bytes"]):
        budgets = [_of_both(own, less, more) for less, more in pairwise(sorted(own["bytes_seen"].unique()))]
        budgets = [both for both in budgets if both["n_params"].nunique() >= _LEAST_SHAPES]
        known = [f for both in budgets if (f := _foretold(table, str(source), int(subset_bytes), both))]
        if not known:
            continue
        yield from (_judged(one, known[-1]) for one in known[:-1])
        for both in budgets[: (len(known) - 1) * leave_out]:
            inner = sorted(both["n_params"].unique())[1:-1]
            some = [both[both["n_params"] != n] for n in inner if len(inner) + 1 >= _LEAST_SHAPES]
            fewer = [_foretold(table, str(source), int(subset_bytes), cells) for cells in some]
            yield from (_judged(one, known[-1]) for one in fewer if one)


def _of_both(cells: pd.DataFrame, less: float, more: float) -> pd.DataFrame:
    """Of shapes that were trained for both."""
    both = cells[cells["bytes_seen"].isin([less, more])]
    trained = both.groupby("n_params")["bytes_seen"].nunique()
    return both[both["n_params"].isin(trained.index[trained == 2])]


def _foretold(table: Table, source: str, subset_bytes: int, cells: pd.DataFrame) -> Foretold | None:
    """None: not bracketed."""
    row = study(replace(table, cells=cells), _PRICE).convergence.iloc[-1]
    if not np.isfinite(row["limit"]):
        return None
    whole = cells[cells["bytes_seen"] == cells["bytes_seen"].max()]
    least = float((whole["own_bits"] / 8 + 2 * whole["n_params"]).min()) / subset_bytes
    n_params = float(row["n_params"])
    return Foretold(
        source=Path(source).name,
        subset_bytes=subset_bytes,
        n_shapes=whole["n_params"].nunique(),
        passes=float(row["bytes_seen"]) / subset_bytes,
        here=n_params,
        to_come=float(row["points"]) / least * _TO_COME,
        limit=n_params * float(row["limit"]),
        low=n_params * float(row["limit_low"]),
        high=n_params * float(row["limit_high"]),
    )


def _judged(one: Foretold, last: Foretold) -> Judged:
    low, miss, high = (float(np.log(size / last.limit)) for size in (one.low, one.limit, one.high))
    return Judged(foretold=one, low=low, miss=miss, high=high, own=float(np.log(last.high / last.low)) / 2)


def fitted(found: Sequence[Judged]) -> tuple[float, float]:
    """Standard deviation per share of the rate to come, and that which is there anyway: the likeliest normal ones."""
    miss, share = (
        np.array([value(one) for one in found]) for value in (lambda o: o.miss, lambda o: o.foretold.to_come)
    )
    grid = [(k, a) for k in np.arange(0.0, 4.0, 0.05) for a in np.arange(0.005, 0.1, 0.005)]

    def surprise(k: float, a: float) -> float:
        variance = a**2 + (k * share) ** 2
        return float((np.log(variance) + miss**2 / variance).sum())

    best = min(grid, key=lambda pair: surprise(*pair))
    return float(best[0]), float(best[1])


def line(one: Judged) -> str:
    """Of a budget."""
    f = one.foretold
    return (
        f"{f.source:20} {f.subset_bytes:>10,} bytes, {f.passes:5.3g} passes, {f.n_shapes:2} shapes: {f.here:7,.0f}, "
        f"endless {f.limit:7,.0f} ({f.low:,.0f} to {f.high:,.0f}); to come {f.to_come:6.2%}, "
        f"miss {one.miss:+.3f} (± {one.own:.3f}) {'inside' if one.is_inside else 'OUTSIDE'}"
    )


def main() -> None:
    """A line a budget, then all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="*", type=Path, default=RECORDS)
    parser.add_argument("--leave-out", type=int, default=0, choices=(0, 1), help="shapes")
    given = parser.parse_args()
    every = []
    for folder in given.records:
        for one in of_records(load(folder), bool(given.leave_out)):
            every.append(one)
            print(line(one), flush=True)
    inside, met = (np.mean(some) for some in zip(*((o.low <= 0 <= o.high, o.is_inside) for o in every), strict=True))
    misses, (per_share, anyway) = np.array([one.miss for one in every]), fitted(every)
    print(
        f"{len(every)} foretold: the reference inside {inside:.0%}, its interval met by {met:.0%}; miss "
        f"{misses.mean():+.3f}, rms {np.sqrt((misses**2).mean()):.3f}; likeliest {per_share:.2f} per share to come, "
        f"{anyway:.3f} anyway"
    )


if __name__ == "__main__":
    main()
