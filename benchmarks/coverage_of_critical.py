"""How often a 95 % interval of a critical size covers the truth: synthetic sweeps whose shapes scatter as real ones do.

python -m benchmarks coverage_of_critical [--trials 400] [--only NAME] [--workers 2] [--seconds 500]. A worker is a
process of one thread; when the seconds are over what there is is printed. Wanted, of all settings together: 94–96.5 %
for N*, γ and a predicted size, no setting below 91 %; doubtful at most 10 % of the sizes inside a grid, at least 80 %
of those at its edge; a median width of at most 1.3 of an oracle's that knows the shapes' variance. `told` is the width
over that of the same estimator told it; `all told`, harder, over least squares of E + A·N^−a by one who knows all
variances, and that no exponent drifts. Laws broken at once stand apart, since no interval here covers an N* at the
break; so do sweeps of few shapes a dataset size.
What several ways gave is logged in benchmarks/README.md; --set tries others.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from analysis.critical import columns, estimate_all, law, predictions
from analysis.critical.group_fit import fit_group
from analysis.critical.smooth_law import smooth_law
from benchmarks.simulated_sweeps import AT_ONCE, DATA, FEW, PRICE, SETTINGS, TRUTHS, Setting, Truth, sweep

PREDICTED = 100_000_000
_AT_A_TIME = 5  # trials
_TOLD_EVERY = 5  # trials an oracle that is told the shapes' variance is asked
_ORACLE_FACTOR = 3.3  # the oracle goes by seven shapes, and all within this factor of N*


@dataclass(frozen=True, kw_only=True)
class Found:
    """One interval of one trial; of an N* alone `doubtful`, whether the sizes within 1 % have it, and widths.

    These are over those of two oracles.
    """

    trial: int
    what: str
    covers: bool
    doubtful: bool | None = None
    near: bool | None = None
    all_told: float | None = None
    told: float | None = None


def trial_of(trial: int, of: Setting, n_draws: int = 400) -> Iterator[Found]:
    """The intervals of one sweep; a size that is not bracketed has none."""
    truth = TRUTHS[of.truth]
    true = [truth.minimum(float(d)) for d in DATA]
    own = columns(sweep(trial, of), n_draws, trial)
    found = estimate_all(own, n_draws)
    told = fit_group(own, max(float(np.sqrt((of.effect_sd() ** 2).mean())), 1e-4)) if trial % _TOLD_EVERY == 0 else None
    for k, (d, n, estimate) in enumerate(zip(DATA, true, found, strict=True)):
        row, sizes = estimate.row, of.near_sizes(float(d))
        if row["status"] == "bracketed":
            low, high = float(str(row["low"])), float(str(row["high"]))
            inside = sizes[1] < n < sizes[-2]
            what = "N*" if inside else "N* at an edge"
            wide, is_doubtful = float(np.log(high / low)), bool(row["doubt"])
            more = {"near": float(str(row["near_low"])) <= n <= float(str(row["near_high"]))}
            widths = {"all_told": wide / _oracle(of, truth, float(d))}
            if told is not None:
                widths["told"] = wide / float(np.log(np.divide(*told.minima[k].interval[::-1])))
            yield Found(trial=trial, what=what, covers=low <= n <= high, doubtful=is_doubtful, **more, **widths)
        elif not sizes[1] < n < sizes[-2]:
            # No size is given, and the edge is told.
            yield Found(trial=trial, what="N* at an edge", covers=True, doubtful=True)
    fitted, draws = law(found)
    if draws is None or fitted.gamma_low is None or fitted.gamma_high is None:
        return
    gamma = np.polyfit(np.log(DATA), np.log(true), 1)[0]
    yield Found(trial=trial, what="gamma", covers=fitted.gamma_low <= gamma <= fitted.gamma_high)
    (row,) = predictions("g", fitted, draws, rates=None, grid_bytes=DATA.tolist(), asked=[PREDICTED])
    there = truth.minimum(PREDICTED)
    yield Found(trial=trial, what="predicted", covers=float(str(row["low"])) <= there <= float(str(row["high"])))


_ORACLES: dict[tuple[Setting, float], float] = {}


def _oracle(of: Setting, truth: Truth, d: float) -> float:
    """log high/low of the law's least squares by one that knows all variances, and that no exponent drifts."""
    if (of, d) not in _ORACLES:
        sizes, every = of.near_sizes(d), of.sizes()
        fitted = smooth_law(sizes, truth.bits(sizes, d), np.full(sizes.size, PRICE), factor=_ORACLE_FACTOR)
        variance = of.noise() + (of.effect_sd()[np.isin(every, sizes[fitted.chosen])] ** 2).mean()
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
    near = [one.near for one in inside if one.near is not None]
    parts.append(f"in the sizes within 1 % {100 * np.mean(near) if near else np.nan:5.1f}")
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
    chosen = [of for of in (*SETTINGS, *AT_ONCE, *FEW) if options.only in of.name]
    began = time.perf_counter()
    every = run_all(chosen, options.trials, options.workers, options.seconds, options.set)
    worst: dict[str, list[float]] = defaultdict(list)
    for of, found in every.items():
        for what in ("N*", "gamma", "predicted"):
            if of in SETTINGS:
                worst[what].append(share(found, what))
        n_trials = len({one.trial for one in found})
        print(f"{of.name:52}  {n_trials:4} trials  {_line(found)}")
    apart = (
        ("pooled, none of the next two", SETTINGS),
        ("of laws broken at once", AT_ONCE),
        ("of few shapes a size", FEW),
    )
    for name, settings in apart:
        print(f"{name:52}  {'':11}  {_line([one for of in settings for one in every.get(of, [])])}")
    print("worst setting of the first: ", {w: round(100 * float(np.nanmin(v)), 1) for w, v in worst.items()})
    print(f"{len(chosen)} settings in {time.perf_counter() - began:.0f} s, {options.workers} workers")


if __name__ == "__main__":
    main()
