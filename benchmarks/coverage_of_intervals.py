"""How often a 95 % interval covers the truth: synthetic tables, independent noise and noise shared by a column.

python benchmarks/coverage_of_intervals.py [--trials 400] [--noise rows|columns]. Wanted: 92–98 % for every parameter.
"""

from __future__ import annotations

import argparse

import numpy as np

from analysis.scaling.bootstrap import NAMES, bootstrap
from analysis.scaling.law import locate
from analysis.scaling.measurements import Measurements

TRUTH = {"E": 1.82, "A": 482.0, "B": 2085.0, "alpha": 0.348, "beta": 0.366}
TRUTH |= {"log_A": float(np.log(TRUTH["A"])), "log_B": float(np.log(TRUTH["B"]))}
N_ROWS = 240
GRID_SEEDS, GRID_SIZES, GRID_DATA = 5, np.geomspace(44e6, 16e9, 8), np.geomspace(1e9, 1e12, 8)


def independent(seed: int) -> Measurements:
    """240 models of 44M to 16B parameters at 1e18 to 3e21 FLOPs, 1 % noise on each loss."""
    rng = np.random.default_rng(seed)
    C = 10 ** rng.uniform(18, np.log10(3e21), N_ROWS)
    N = np.clip(np.sqrt(C / 120) * np.exp(rng.normal(0, 1, N_ROWS)), 44e6, 16e9)
    D = C / (6 * N)
    return _measured(N, D, rng.normal(0, 0.01, N_ROWS), np.arange(N_ROWS))


def shared(seed: int) -> Measurements:
    """A grid of 8 sizes × 8 dataset sizes × 5 corpus seeds: 1 % noise a (corpus seed, D) column, 0.3 % a cell."""
    rng = np.random.default_rng(seed)
    column, size = (i.ravel() for i in np.indices((GRID_SEEDS * GRID_DATA.size, GRID_SIZES.size)))
    noise = rng.normal(0, 0.01, GRID_SEEDS * GRID_DATA.size)[column] + rng.normal(0, 0.003, column.size)
    return _measured(GRID_SIZES[size], GRID_DATA[column % GRID_DATA.size], noise, column)


def _measured(N: np.ndarray, D: np.ndarray, noise: np.ndarray, clusters: np.ndarray) -> Measurements:
    loss = TRUTH["E"] + TRUTH["A"] * N ** -TRUTH["alpha"] + TRUTH["B"] * D ** -TRUTH["beta"]
    return Measurements(
        n_params=N,
        data=D,
        loss=loss * np.exp(noise),
        flops=6 * N * D,
        clusters=clusters,
        varies="synthetic",
    )


def coverage(noise: str, n_trials: int) -> dict[str, float]:
    """Share of trials whose interval covers the truth, per parameter (δ: 1e-3 for rows, own for columns)."""
    make, delta = (independent, 1e-3) if noise == "rows" else (shared, None)
    covered = dict.fromkeys(NAMES, 0)
    n_intervals, errors, se = 0, [], []
    for trial in range(n_trials):
        measured = make(trial)
        at = locate(measured, delta)
        found = bootstrap(measured, at, seed=trial)
        n_intervals += bool(found.ci95)
        for name, (low, high) in found.ci95.items():
            covered[name] += low <= TRUTH[name] <= high
        if found.ci95:
            errors.append([getattr(at.fit, name) - TRUTH[name] for name in NAMES[:5]])
            se.append([found.se[name] for name in NAMES[:5]])
    print(f"{noise}: {n_intervals} of {n_trials} trials gave an interval")
    spread, typical = np.std(errors, axis=0), np.median(se, axis=0)
    print("median standard error / actual spread: ", *(f"{s / t:.2f}" for s, t in zip(typical, spread, strict=True)))
    return {name: n / max(n_intervals, 1) for name, n in covered.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--noise", choices=("rows", "columns"), nargs="*", default=["rows", "columns"])
    arguments = parser.parse_args()
    for kind in arguments.noise:
        for name, share in coverage(kind, arguments.trials).items():
            print(f"  {name:6} {100 * share:5.1f} %")
