"""How often a 95 % interval of a critical size covers the truth: synthetic sweeps whose shapes scatter as real ones do.

python -m benchmarks coverage_of_critical [--trials 400] [--only NAME] [--workers 2] [--seconds 500]. A worker is a
process of one thread; when the seconds are over what there is is printed. Wanted, of all settings together: 94–96.5 %
for N*, γ and a predicted size, no setting below 91 %; doubtful at most 10 % of the sizes inside a grid, at least 80 %
of those at its edge; a median width of at most 1.3 of an oracle's that knows the shapes' variance. `told` is the width
over that of the same estimator told it; `all told`, harder, over least squares of E + A·N^−a by one who knows all
variances, and that no exponent drifts. What several ways gave is logged in benchmarks/README.md; --set tries others.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import itertools
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from analysis.critical import columns, estimate_all, law, predictions
from analysis.critical.group_fit import fit_group
from analysis.critical.smooth_law import smooth_law

PRICE = 16.0
DATA = np.array([100_000, 300_000, 1_000_000, 3_000_000, 10_000_000])
PREDICTED = 100_000_000
_AT_A_TIME = 5  # trials
_TOLD_EVERY = 5  # trials an oracle that is told the shapes' variance is asked
_ORACLE_FACTOR = 3.3  # the oracle goes by seven shapes, and all within this factor of N*
CELL_SD, CORPUS_SD, COLUMN_SD = 0.004, 0.003, 0.01  # of a cell; of a cell by its corpus; of all of a (corpus, D)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Bits a byte: E + A·N^−a, from `bend` on with the exponent `after`; and a term in D, which moves no N*."""

    E: float
    A: float
    a: float
    after: float | None = None
    bend: float = 2e4
    width: float = 0.5  # in log N, over which the exponent changes

    def bits(self, n: np.ndarray, d: np.ndarray | float) -> np.ndarray:
        """Of the code of d bytes."""
        bent = 1.0
        if self.after is not None:
            bent = (1 + (n / self.bend) ** (1 / self.width)) ** (-self.width * (self.after - self.a))
        return d * (self.E + self.A * n**-self.a * bent + 20 * d**-0.3)

    def minimum(self, d: float) -> float:
        """N* of d bytes, parameters."""

        def total(x: float) -> float:
            return float(self.bits(np.exp(x), d) + PRICE * np.exp(x))

        grid = np.linspace(np.log(50), np.log(1e9), 600)
        k = int(np.argmin([total(x) for x in grid]))
        return float(np.exp(minimize_scalar(total, bounds=(grid[k - 1], grid[k + 1]), method="bounded").x))


TRUTHS = {
    "floor .4": Truth(E=1.5, A=60.0, a=0.4),
    "floor .25": Truth(E=1.0, A=16.0, a=0.25),
    "steeper": Truth(E=1.2, A=16.0, a=0.25, after=0.45),
    "flatter": Truth(E=1.2, A=60.0, a=0.45, after=0.28),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A kind of sweep."""

    truth: str
    n_shapes: int
    shape_sd: float  # of what a shape's code length is off, the same at every D
    n_corpora: int
    n_seeds: int
    most: float = 900_000.0  # parameters of the largest shape
    grows: float = 0.0  # the shapes' effect grows as N to this power

    @property
    def name(self) -> str:
        """As it is printed."""
        more = f", grows N^{self.grows:g}" if self.grows else ""
        edge = f", up to {self.most:,.0f}" if self.at_edge else ""
        replicates = f"{self.n_corpora}x{self.n_seeds}"
        return f"{self.truth}, {self.n_shapes} shapes, {100 * self.shape_sd:g} %, {replicates}{more}{edge}"

    @property
    def at_edge(self) -> bool:
        """Does the largest dataset's minimum lie between the two largest shapes?"""
        return self.most < 900_000

    def sizes(self) -> np.ndarray:
        """Unevenly apart, as widths and depths make them; the same in every trial."""
        rng = np.random.default_rng(self.n_shapes)
        x = np.linspace(np.log(1228), np.log(self.most), self.n_shapes)
        x[1:-1] += rng.uniform(-0.25, 0.25, self.n_shapes - 2) * (x[1] - x[0])
        return np.round(np.exp(x))

    def effect_sd(self) -> np.ndarray:
        """Of every shape."""
        sizes = self.sizes()
        return self.shape_sd * (sizes / np.exp(np.log(sizes).mean())) ** self.grows

    def noise(self) -> float:
        """Relative variance of an average, but for what all shapes have in common."""
        corpus = CORPUS_SD**2 / self.n_corpora if self.n_corpora > 1 else 0.0
        return corpus + CELL_SD**2 / (self.n_corpora * self.n_seeds)


def _settings() -> Iterator[Setting]:
    replicates = itertools.cycle([(1, 1), (1, 2), (5, 3), (2, 1)])
    for truth, n_shapes, sd in itertools.product(("floor", "bent"), (8, 13, 20), (0.0, 0.005, 0.015, 0.03)):
        names = {"floor": ("floor .4", "floor .25"), "bent": ("steeper", "flatter")}[truth]
        of = names[(n_shapes + round(1000 * sd)) % 2]
        n_corpora, n_seeds = next(replicates)
        yield Setting(truth=of, n_shapes=n_shapes, shape_sd=sd, n_corpora=n_corpora, n_seeds=n_seeds)
        if sd == 0.03:
            next(replicates)  # so that each scatter meets each number of replicates
    for n_shapes, sd in ((8, 0.005), (13, 0.015), (20, 0.015), (20, 0.03)):
        yield Setting(truth="floor .4", n_shapes=n_shapes, shape_sd=sd, n_corpora=2, n_seeds=1, most=150_000.0)
    for n_shapes in (8, 13):
        yield Setting(truth="floor .4", n_shapes=n_shapes, shape_sd=0.012, n_corpora=2, n_seeds=1, grows=0.25)


SETTINGS = tuple(_settings())


def sweep(trial: int, of: Setting) -> pd.DataFrame:
    """Cells with log-normal noise, as `analysis.study` has them."""
    rng, sizes = np.random.default_rng([trial, of.n_shapes, round(1e4 * of.shape_sd)]), of.sizes()
    corpus, d, n, seed = (i.ravel() for i in np.indices((of.n_corpora, DATA.size, sizes.size, of.n_seeds)))
    shapes = rng.normal(0, 1, sizes.size) * of.effect_sd()
    shared = rng.normal(0, COLUMN_SD, (of.n_corpora, DATA.size))[corpus, d]
    own = rng.normal(0, CORPUS_SD * (of.n_corpora > 1), (of.n_corpora, DATA.size, sizes.size))[corpus, d, n]
    noise = np.exp(shapes[n] + shared + own + rng.normal(0, CELL_SD, d.size))
    return pd.DataFrame({
        "group": "g", "subset_bytes": DATA[d], "n_params": sizes[n], "seed": seed, "shuffle_seed": corpus,
        "own_bits": TRUTHS[of.truth].bits(sizes[n], DATA[d].astype(float)) * noise, "bits_per_param": PRICE,
    })  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Found:
    """One interval of one trial; of an N* alone `doubtful`, and its width over those of two oracles."""

    trial: int
    what: str
    covers: bool
    doubtful: bool | None = None
    all_told: float | None = None
    told: float | None = None


def trial_of(trial: int, of: Setting, n_draws: int = 400) -> Iterator[Found]:
    """The intervals of one sweep; a size that is not bracketed has none."""
    truth = TRUTHS[of.truth]
    true = [truth.minimum(float(d)) for d in DATA]
    own = columns(sweep(trial, of), n_draws, trial)
    found = estimate_all(own, n_draws)
    told = fit_group(own, max(float(np.sqrt((of.effect_sd() ** 2).mean())), 1e-4)) if trial % _TOLD_EVERY == 0 else None
    sizes = of.sizes()
    for k, (d, n, estimate) in enumerate(zip(DATA, true, found, strict=True)):
        row = estimate.row
        if row["status"] == "bracketed":
            low, high = float(str(row["low"])), float(str(row["high"]))
            inside = sizes[1] < n < sizes[-2]
            what = "N*" if inside else "N* at an edge"
            wide, is_doubtful = float(np.log(high / low)), bool(row["doubt"])
            widths = {"all_told": wide / _oracle(of, truth, float(d))}
            if told is not None:
                widths["told"] = wide / float(np.log(np.divide(*told.minima[k].interval[::-1])))
            yield Found(trial=trial, what=what, covers=low <= n <= high, doubtful=is_doubtful, **widths)
        elif not sizes[1] < n < sizes[-2]:
            # No size is given, and the edge is told.
            yield Found(trial=trial, what="N* at an edge", covers=True, doubtful=True)
    fitted, draws = law(found)
    if draws is None or fitted.gamma_low is None or fitted.gamma_high is None:
        return
    gamma, log_k = np.polyfit(np.log(DATA), np.log(true), 1)
    yield Found(trial=trial, what="gamma", covers=fitted.gamma_low <= gamma <= fitted.gamma_high)
    if TRUTHS[of.truth].after is None:  # else there is no law that could foretell it
        (row,) = predictions("g", fitted, draws, rates=None, grid_bytes=DATA.tolist(), asked=[PREDICTED])
        there = float(np.exp(log_k + gamma * np.log(PREDICTED)))
        yield Found(trial=trial, what="predicted", covers=float(str(row["low"])) <= there <= float(str(row["high"])))


_ORACLES: dict[tuple[Setting, float], float] = {}


def _oracle(of: Setting, truth: Truth, d: float) -> float:
    """log high/low of the law's least squares by one that knows all variances, and that no exponent drifts."""
    if (of, d) not in _ORACLES:
        sizes = of.sizes()
        fitted = smooth_law(sizes, truth.bits(sizes, d), np.full(sizes.size, PRICE), factor=_ORACLE_FACTOR)
        variance = of.noise() + (of.effect_sd()[fitted.chosen] ** 2).mean()
        known = np.append(np.full(fitted.log_n.size, 1 / variance), 1.0)  # and the exponent to 1, as by the estimator
        weighed = fitted.tangent.T * known
        covariance = np.linalg.inv(weighed @ fitted.tangent)
        k = int((fitted.bits + fitted.price_bits)[1:-1].argmin()) + 1
        slope, price, tangent = (
            np.gradient(v, fitted.places, axis=0) for v in (fitted.bits, fitted.price_bits, fitted.tangent_bits)
        )
        curvature = np.gradient(slope + price, fitted.places)[k]
        _ORACLES[of, d] = float(2 * 1.96 * np.sqrt(tangent[k] @ covariance @ tangent[k]) / curvature)
    return _ORACLES[of, d]


def run(of: Setting, n_trials: int, first: int = 0) -> list[Found]:
    """All intervals of some trials of a setting."""
    return [found for trial in range(first, first + n_trials) for found in trial_of(trial, of)]


def try_instead(constants: Sequence[str]) -> None:
    """Another way: MODULE.NAME=VALUE of constants, such as analysis.critical.smooth_law.FACTOR=5."""
    for constant in constants:
        name, value = constant.split("=")
        module, _, attribute = name.rpartition(".")
        was = getattr(importlib.import_module(module), attribute)
        new = ast.literal_eval(value)
        setattr(importlib.import_module(module), attribute, np.array(new) if isinstance(was, np.ndarray) else new)


def run_all(
    chosen: Sequence[Setting], n_trials: int, n_workers: int, seconds: float, instead: Sequence[str] = ()
) -> dict[Setting, list[Found]]:
    """A few trials of every setting, then a few more; what is not begun when the seconds are over is left out."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    found: dict[Setting, list[Found]] = {of: [] for of in chosen}
    with ProcessPoolExecutor(n_workers, multiprocessing.get_context("spawn"), try_instead, (instead,)) as pool:
        jobs = {
            pool.submit(run, of, min(_AT_A_TIME, n_trials - first), first): of
            for first in range(0, n_trials, _AT_A_TIME)
            for of in chosen
        }
        try:
            for _ in as_completed(jobs, timeout=seconds):
                pass
        except TimeoutError:
            pool.shutdown(cancel_futures=True)
    for job, of in jobs.items():
        if not job.cancelled():
            found[of] += job.result()
    return found


def share(found: list[Found], what: str) -> float:
    """Of the intervals of a quantity those that cover the truth; NaN: none."""
    own = [one.covers for one in found if one.what == what]
    return float(np.mean(own)) if own else float("nan")


def _line(found: list[Found]) -> str:
    parts = [f"{what} {100 * share(found, what):5.1f}" for what in ("N*", "gamma", "predicted", "N* at an edge")]
    inside, edge = ([o for o in found if o.what == what] for what in ("N*", "N* at an edge"))
    parts.append(f"doubtful inside {100 * np.mean([o.doubtful for o in inside]) if inside else np.nan:4.1f}")
    parts.append(f"at an edge {100 * np.mean([o.doubtful for o in edge]) if edge else np.nan:5.1f}")
    for name in ("told", "all_told"):
        ratios = [ratio for one in inside if (ratio := getattr(one, name)) is not None]
        parts.append(f"width/{name.replace('_', ' ')} {np.median(ratios) if ratios else np.nan:.2f}")
    return "  ".join(parts)


def main() -> None:
    """A line a setting, then all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--only", default="")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=1e6)
    parser.add_argument("--set", action="append", default=[], metavar="MODULE.NAME=VALUE", help="of constants")
    options = parser.parse_args()
    chosen = [of for of in SETTINGS if options.only in of.name]
    began = time.perf_counter()
    every = run_all(chosen, options.trials, options.workers, options.seconds, options.set)
    worst: dict[str, list[float]] = defaultdict(list)
    for of, found in every.items():
        for what in ("N*", "gamma", "predicted"):
            worst[what].append(share(found, what))
        n_trials = len({one.trial for one in found})
        print(f"{of.name:52}  {n_trials:4} trials  {_line(found)}")
    print(f"{'pooled':52}  {'':11}  {_line([one for found in every.values() for one in found])}")
    print("worst setting: ", {what: round(100 * float(np.nanmin(values)), 1) for what, values in worst.items()})
    print(f"{len(chosen)} settings in {time.perf_counter() - began:.0f} s, {options.workers} workers")


if __name__ == "__main__":
    main()
