"""Synthetic sweeps whose shapes scatter as real ones do: a law of the code length, shapes, replicates, and cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

PRICE = 16.0
DATA = np.array([100_000, 300_000, 1_000_000, 3_000_000, 10_000_000])
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
    "steeper at once": Truth(E=1.2, A=22.0, a=0.3, after=0.42, bend=3e4, width=0.02),
    "flatter at once": Truth(E=1.2, A=70.0, a=0.45, after=0.32, bend=3e4, width=0.02),
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
    near: int | None = None  # shapes a dataset size, those next to its N*; None: all

    @property
    def name(self) -> str:
        """As it is printed."""
        more = f", grows N^{self.grows:g}" if self.grows else ""
        edge = f", up to {self.most:,.0f}" if self.at_edge else ""
        edge += f", {self.near} a size" if self.near else ""
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

    def near_sizes(self, d: float) -> np.ndarray:
        """Those of `sizes` that d bytes are run at."""
        sizes = self.sizes()
        if self.near is None:
            return sizes
        away = np.abs(np.log(sizes / TRUTHS[self.truth].minimum(d)))
        return np.sort(sizes[np.argsort(away)[: self.near]])

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
# Broken at one place, so that the slope of the code jumps there: no interval here covers the N* that lie at it.
AT_ONCE = tuple(
    Setting(truth=truth, n_shapes=n_shapes, shape_sd=sd, n_corpora=2, n_seeds=1)
    for truth in ("steeper at once", "flatter at once")
    for n_shapes, sd in ((13, 0.01), (20, 0.005))
)
# Few shapes a dataset size and one of each, as the study has with coded weights.
FEW = tuple(
    Setting(truth=truth, n_shapes=11, shape_sd=sd, n_corpora=1, n_seeds=1, near=near)
    for truth in ("floor .25", "steeper")
    for near, sd in ((4, 0.01), (5, 0.005), (5, 0.01), (5, 0.015), (6, 0.01))
)


def sweep(trial: int, of: Setting) -> pd.DataFrame:
    """Cells with log-normal noise, as `analysis.study` has them."""
    rng, sizes = np.random.default_rng([trial, of.n_shapes, round(1e4 * of.shape_sd)]), of.sizes()
    corpus, d, n, seed = (i.ravel() for i in np.indices((of.n_corpora, DATA.size, sizes.size, of.n_seeds)))
    shapes = rng.normal(0, 1, sizes.size) * of.effect_sd()
    shared = rng.normal(0, COLUMN_SD, (of.n_corpora, DATA.size))[corpus, d]
    own = rng.normal(0, CORPUS_SD * (of.n_corpora > 1), (of.n_corpora, DATA.size, sizes.size))[corpus, d, n]
    noise = np.exp(shapes[n] + shared + own + rng.normal(0, CELL_SD, d.size))
    cells = pd.DataFrame({
        "group": "g", "subset_bytes": DATA[d], "n_params": sizes[n], "seed": seed, "shuffle_seed": corpus,
        "own_bits": TRUTHS[of.truth].bits(sizes[n], DATA[d].astype(float)) * noise, "bits_per_param": PRICE,
    })  # fmt: skip
    if of.near is None:
        return cells
    run = [np.isin(cells["n_params"], of.near_sizes(float(d))) & (cells["subset_bytes"] == d) for d in DATA]
    return cells[np.any(run, axis=0)]
