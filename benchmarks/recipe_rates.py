"""How much code the usual learning rate loses against the best one, from a sweep over `train.lr_scale` and seeds.

    mdl sweep benchmarks/recipe_rates.yaml --no-baselines && python -m benchmarks.recipe_rates runs/recipe-rates

A row is a shape, dataset size and length, optimizer and recipe: the own code's rate by factor, the best of the factors
from the least to the largest by a quadratic in log factor with a constant for every seed, what factor 1 loses against
it, in % of the code, the most that it loses where one seed is left out, and how far a run scatters.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.records import load

_ROW = ["group", "architecture", "subset_bytes", "n_params", "size", "n_steps", "recipe", "optimizer"]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A quadratic in log factor, among the factors that were tried."""

    best: float
    """The best factor."""
    at_edge: bool
    """Is it the least or the largest that was tried? Then it may lie beyond."""
    loss: float
    """What factor 1 loses against it, % of the code."""
    sd: float
    """Of a run about the curve and its seed's constant, %."""


def quadratic(runs: pd.DataFrame) -> Fitted:
    """Of runs by factor, seed and own_bits."""
    x = np.log2(runs["factor"].to_numpy(np.float64))
    y = 100 * np.log(runs["own_bits"].to_numpy(np.float64))
    design = np.column_stack([pd.get_dummies(runs["seed"]).to_numpy(np.float64), x, x**2])
    fitted = np.linalg.lstsq(design, y, rcond=None)[0]
    slope, bend = float(fitted[-2]), float(fitted[-1])
    tried = np.linspace(x.min(), x.max(), 1001)
    curve = slope * tried + bend * tried**2  # 0 at factor 1
    n_free = len(y) - design.shape[1]
    squares = float(np.sum((y - design @ fitted) ** 2))
    return Fitted(
        best=float(2 ** tried[curve.argmin()]),
        at_edge=curve.argmin() in (0, len(tried) - 1),
        loss=-float(curve.min()),
        sd=math.sqrt(squares / n_free) if n_free > 0 else math.nan,
    )


def rows(runs: pd.DataFrame) -> Iterator[str]:
    """A Markdown table."""
    factors = sorted(runs["factor"].unique())
    header = " | ".join(f"× {f:g}" for f in factors)
    yield f"| shape | N | D | steps | optimizer | seeds | {header} | best | × 1 loses, % | at most | sd of a run, % |"
    yield "|" + "---|" * (10 + len(factors))
    for _, own in runs.groupby(_ROW, sort=True):
        one, seeds, found = own.iloc[0], own["seed"].unique(), quadratic(own)
        at_most = max(quadratic(own[own["seed"] != seed] if len(seeds) > 1 else own).loss for seed in seeds)
        rates = 100 * own.groupby("factor")["own_bits"].mean() / (8 * one["subset_bytes"])
        told = " | ".join(f"{rates[f]:.2f}" if f in rates else "–" for f in factors)
        best = f"{found.best:.2f}{' or beyond' * found.at_edge}"
        yield (
            f"| {one['architecture']} {one['size']} | {one['n_params']:,} | {one['subset_bytes'] / 1e6:g} MB "
            f"| {one['n_steps']} | {one['optimizer']}, recipe {one['recipe']} | {len(seeds)} | {told} | {best} "
            f"| {found.loss:.2f} | {at_most:.2f} | {found.sd:.2f} |"
        )


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    cells = load(parser.parse_args(arguments).run).cells
    final = cells[(cells["snapshot"] == "final") & cells["own_bits"].notna()]
    factor = [config["train.lr_scale"] for config in final["config"]]
    for line in rows(final.assign(factor=factor)):
        print(line)


if __name__ == "__main__":
    main()
