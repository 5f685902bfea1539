"""How often a 95 % interval of a critical size covers the truth: synthetic sweeps, independent noise and shared noise.

python benchmarks/coverage_of_critical.py [--trials 400] [--noise cells|columns]. Wanted: 92–98 % of the trials for N*
by both estimators, γ, and the theory's α; `agrees`: how often the test of γ = 1/(1+α), here true, is passed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.critical import columns, estimate, law, theory

SIZES = np.array([1228, 2840, 7216, 10320, 32928, 115008, 213568, 820352])
DATA = np.array([100_000, 300_000, 1_000_000, 3_000_000, 10_000_000])
ALPHA, A, E, PRICE = 0.4, 60.0, 1.5, 16.0
TRUTH = (ALPHA * A * DATA / PRICE) ** (1 / (1 + ALPHA))
CELLS = {"n_seeds": 3, "n_corpora": 1, "cell_sd": 0.005, "column_sd": 0.0}  # 0.5 % a cell
COLUMNS = {"n_seeds": 1, "n_corpora": 5, "cell_sd": 0.005, "column_sd": 0.01}  # and 1 % shared by a (corpus seed, D)


def sweep(trial: int, n_seeds: int, n_corpora: int, cell_sd: float, column_sd: float) -> pd.DataFrame:
    """Cells of E + A·N^−α + 20·D^−0.3 bits a byte with log-normal noise, as `analysis.study` has them."""
    rng = np.random.default_rng(trial)
    corpus, d, n, seed = (i.ravel() for i in np.indices((n_corpora, DATA.size, SIZES.size, n_seeds)))
    shared = rng.normal(0, column_sd, (n_corpora, DATA.size))[corpus, d]
    noise = np.exp(shared + rng.normal(0, cell_sd, d.size))
    bits = DATA[d] * (E + A * SIZES[n] ** -ALPHA + 20 * DATA[d] ** -0.3) * noise
    return pd.DataFrame(
        {
            "group": "g",
            "subset_bytes": DATA[d],
            "n_params": SIZES[n],
            "seed": seed,
            "shuffle_seed": corpus,
            "own_bits": bits,
            "bits_per_param": PRICE,
        }
    )


def intervals(trial: int, settings: dict[str, float], n_replicates: int) -> Iterator[tuple[str, float, float, float]]:
    """(what, low, high, truth) of one sweep; a size that is not bracketed has none."""
    found = [estimate(column) for column in columns(sweep(trial, **settings), n_replicates, trial)]
    for d, truth, at in zip(DATA, TRUTH, found, strict=True):
        row = at.row
        if row["status"] == "bracketed":
            yield f"N* {d:>9}", row["low"], row["high"], truth
        if "closed_low" in row:
            yield f"closed {d:>9}", row["closed_low"], row["closed_high"], truth
    fitted, draws = law(found)
    if fitted.gamma_low is not None:
        yield "gamma", fitted.gamma_low, fitted.gamma_high, 1 / (1 + ALPHA)
    tested = theory(fitted, draws, found)
    if tested and tested["agrees"] is not None:
        yield "alpha", tested["alpha_low"], tested["alpha_high"], ALPHA
        yield "agrees", tested["difference_low"], tested["difference_high"], 0.0


def coverage(
    n_trials: int, settings: dict[str, float], n_replicates: int = 1000
) -> dict[str, tuple[float, int, float]]:
    """Per quantity: share of its intervals that cover the truth, how many there were, their median high − low."""
    covered, width = defaultdict(list), defaultdict(list)
    for trial in range(n_trials):
        for name, low, high, truth in intervals(trial, settings, n_replicates):
            covered[name].append(low <= truth <= high)
            width[name].append((high - low) / (truth or 1.0))
    return {name: (float(np.mean(hits)), len(hits), float(np.median(width[name]))) for name, hits in covered.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--noise", choices=("cells", "columns"), nargs="*", default=["cells", "columns"])
    arguments = parser.parse_args()
    for kind in arguments.noise:
        print(kind, CELLS if kind == "cells" else COLUMNS)
        for name, (share, n, width) in coverage(arguments.trials, CELLS if kind == "cells" else COLUMNS).items():
            print(
                f"  {name:18} {100 * share:5.1f} % of {n:4}, median width {100 * width:.1f} % of the truth", flush=True
            )
