"""Which cells to train next: beyond the grid's edge where a size is not bracketed, more seeds where it is not sure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.critical import Column, PowerLaw, columns, minima
from analysis.errors import AnalysisError
from analysis.formatting import format_bytes, format_count
from analysis.study import Study, shortest_codes

_FIRST_SEEDS = 2  # more, where there is one: three give a spread
_MOST_SEEDS = 4  # more at once; ask again when they are recorded
_MOST_RUNGS = 3


class Rung(NamedTuple):
    """A shape that could be trained: its label, parameters, and training FLOPs a byte seen."""

    label: str
    n_params: int
    flops_per_byte: float


Ladder = Callable[[int], Sequence[Rung]]  # by window length, bytes; ascending in n_params


@dataclass(frozen=True)
class Suggestion:
    """Cells of one dataset and size: one for each training seed and corpus seed."""

    group: str
    subset_bytes: int
    size: str
    n_params: int
    seeds: tuple[int, ...]
    shuffle_seeds: tuple[int, ...]
    reason: str
    flops: float  # of one cell
    seconds: float  # of one cell, training and measuring; NaN where no record tells
    recipe: dict[str, Any]  # flat settings of the recorded cell nearest to it


def suggest(study: Study, ladder: Ladder, within: float = 1.25) -> list[Suggestion]:
    """What would bracket every critical size and bring its interval's ends, and its estimators, within a factor.

    The widest interval comes first. AnalysisError without records to go by, for free parameters, or for a factor not
    above 1.
    """
    if study.cost.bytes_per_param == 0:
        raise AnalysisError("free parameters have no critical size to look for; give --cost a price, such as float16")
    if not (math.isfinite(within) and within > 1):
        raise AnalysisError(f"--within is {within:g}; want the interval's upper end / lower end, above 1, such as 1.25")
    chosen = shortest_codes(study.table, study.cost)
    read_bytes = chosen["vocabulary"] == 256  # the ladder's sizes are those of models of bytes
    chosen = chosen[chosen["config"].map(bool) & (chosen["flops"] > 0) & read_bytes]
    if chosen.empty:
        raise AnalysisError(
            f"{study.table.name} has no cell whose settings are recorded, or none of bytes; name a run folder"
        )
    drawn = {(column.group, column.subset_bytes): column for column in columns(chosen)}
    found: list[tuple[float, list[Suggestion]]] = []
    for row in study.critical.itertuples():
        own = chosen[(chosen["group"] == row.group) & (chosen["subset_bytes"] == row.subset_bytes)]
        if own.empty:
            continue
        place = _Place(own, _speeds(study.table.runs), ladder(int(own["context_bytes"].iloc[0])))
        if row.status == "bracketed":
            width = float(str(row.high)) / float(str(row.low))
            at = _telling(drawn[str(row.group), int(str(row.subset_bytes))], row.n_params)
            found.append((width if width == width else math.inf, list(place.surer(row, at, width, within))))
        else:
            found.append((math.inf, list(place.wider(str(row.status), study.laws[str(row.group)]))))
    return [one for _, several in sorted(found, key=lambda pair: -pair[0]) for one in several]


def _telling(column: Column, located: Any) -> npt.NDArray[np.float64]:
    """The two sizes whose noise moves N* most, by least squares of log N* on log code lengths over the draws.

    Without draws the sizes either side of N*.
    """
    right = int(np.clip(np.searchsorted(column.sizes, located), 1, column.sizes.size - 1))
    if column.draws is None:
        return column.sizes[[right - 1, right]]
    x, y = np.log(column.draws), np.log(minima(column.sizes, column.draws, column.n_seeds, column.price).n_params)
    x, y = x - x.mean(axis=0), y - y.mean()
    moved = np.abs(np.linalg.lstsq(x, y, rcond=None)[0]) * x.std(axis=0)
    return column.sizes[np.sort(np.argsort(-moved, kind="stable")[:2])]


def _speeds(runs: pd.DataFrame) -> pd.DataFrame:
    """FLOPs a second of every cohort, measuring included, by n_params."""
    cohorts = runs[runs["status"] == "ok"].groupby("cohort_id").agg(
        n_params=("n_params", "first"), flops=("flops", "mean"), n_cells=("cohort_size", "first"),
        training=("training_seconds", "first"), measuring=("measuring_seconds", "first"),
    )  # fmt: skip
    seconds = cohorts["training"] + cohorts["measuring"]
    return cohorts.assign(speed=cohorts["flops"] * cohorts["n_cells"] / seconds.where(seconds > 0))


class _Place:
    """One dataset size: its cells, and what is known for others."""

    def __init__(self, own: pd.DataFrame, speeds: pd.DataFrame, ladder: Sequence[Rung]) -> None:
        self.own, self.speeds, self.ladder = own, speeds, ladder
        self.sizes = np.unique(own["n_params"].to_numpy())

    def wider(self, status: str, law: PowerLaw) -> Iterator[Suggestion]:
        """The next shapes beyond the edge, as far as one past the law's critical size; both ways with too few sizes."""
        expected = float(law.predict(float(self.own["subset_bytes"].iloc[0]))) if law.gamma is not None else None
        smaller = [rung for rung in reversed(self.ladder) if rung.n_params < 0.9 * self.sizes[0]]
        larger = [rung for rung in self.ladder if rung.n_params > 1.1 * self.sizes[-1]]
        sides = {"below": [(smaller, -1)], "above": [(larger, 1)]}.get(status, [(smaller, -1), (larger, 1)])
        for rungs, sign in sides:
            for i, rung in enumerate(rungs[:_MOST_RUNGS]):
                if i and (expected is None or sign * (rungs[i - 1].n_params - expected) > 0):
                    break
                edge = self.sizes[0 if sign < 0 else -1]
                why = f"to bracket: the best size is {'at most' if sign < 0 else 'at least'} {format_count(edge)}"
                if status not in ("below", "above"):
                    why = f"too few sizes: {self.sizes.size}"
                yield self._new(rung.label, rung.n_params, rung.flops_per_byte, why)

    def surer(
        self, row: Any, telling: npt.NDArray[np.float64], width: float, within: float
    ) -> Iterator[Suggestion]:  # fmt: skip
        """More seeds: at the sizes that tell most, or another draw of the corpus for the whole column."""
        if width <= within:
            yield from self.between(float(row.n_params), float(row.n_closed_form), within)
            return
        why = "no interval yet" if math.isnan(width) else f"interval a factor of {width:.3g}"
        if row.interval in ("corpus seeds", "both"):
            fresh = _fresh(self.own["shuffle_seed"], 1)
            for n in self.sizes:
                cells = self._of(n)
                yield self._known(n, tuple(sorted(set(cells["seed"]))), fresh, why + ", another draw of the corpus")
            return
        for n in telling.astype(np.int64):
            cells = self._of(n)
            more = _FIRST_SEEDS
            if not math.isnan(width):
                wanted = cells["seed"].nunique() * ((math.log(width) / math.log(within)) ** 2 - 1)
                more = min(max(1, math.ceil(wanted)), _MOST_SEEDS)
            yield self._known(n, _fresh(cells["seed"], more), tuple(sorted(set(cells["shuffle_seed"]))), why)

    def between(self, located: float, closed: float, within: float) -> Iterator[Suggestion]:
        """A shape between the two sizes about N*, where its estimators differ by more than the wish."""
        apart = math.exp(abs(math.log(closed / located)))
        right = int(np.clip(np.searchsorted(self.sizes, located), 1, self.sizes.size - 1))
        low, high = 1.15 * self.sizes[right - 1], self.sizes[right] / 1.15
        rungs = [rung for rung in self.ladder if low < rung.n_params < high]
        if apart > within and rungs:
            rung = min(rungs, key=lambda r: abs(math.log(r.n_params / located)))
            yield self._new(rung.label, rung.n_params, rung.flops_per_byte, f"estimators a factor of {apart:.3g} apart")

    def _of(self, n_params: int) -> pd.DataFrame:
        return self.own[self.own["n_params"] == n_params].sort_values(["seed", "shuffle_seed", "run_id"])

    def _known(self, n: int, seeds: tuple[int, ...], shuffles: tuple[int, ...], why: str) -> Suggestion:
        return self._suggestion(self._of(n), str(self._of(n)["size"].iloc[0]), n, seeds, shuffles, why, None)

    def _new(self, label: str, n_params: int, flops_per_byte: float, why: str) -> Suggestion:
        nearest = self.sizes[np.abs(np.log(self.sizes / n_params)).argmin()]
        cells = self._of(nearest)
        seeds, shuffles = (tuple(sorted(set(cells[name]))) for name in ("seed", "shuffle_seed"))
        return self._suggestion(cells, label, n_params, seeds, shuffles, why, flops_per_byte)

    def _suggestion(
        self, like: pd.DataFrame, label: str, n: int, seeds: tuple[int, ...], shuffles: tuple[int, ...], why: str,
        flops_per_byte: float | None,
    ) -> Suggestion:  # fmt: skip
        first = like.iloc[0]
        flops = float(first["flops"] if flops_per_byte is None else flops_per_byte * first["bytes_seen"])
        far = np.abs(np.log(self.speeds["n_params"] / n))
        speed = float(self.speeds.loc[far == far.min(), "speed"].median())
        return Suggestion(
            str(first["group"]), int(first["subset_bytes"]), label, int(n), tuple(map(int, seeds)),
            tuple(map(int, shuffles)), why, flops, flops / speed, dict(first["config"]),
        )  # fmt: skip


def _fresh(used: pd.Series[int], n: int) -> tuple[int, ...]:
    """The first `n` seeds that are not used."""
    taken = set(used.tolist())
    return tuple([seed for seed in range(len(taken) + n) if seed not in taken][:n])


def describe(suggestions: Sequence[Suggestion]) -> list[tuple[str, ...]]:
    """Rows for a terminal: dataset, size, parameters, seeds, FLOPs, seconds, reason."""
    several = len({one.group for one in suggestions}) > 1
    return [
        (
            f"{one.group} " * several + format_bytes(one.subset_bytes), one.size, f"{one.n_params:,}",
            ", ".join(map(str, one.seeds)), f"{one.flops * n_cells(one):.3g}", f"{one.seconds * n_cells(one):.3g}",
            one.reason,
        )
        for one in suggestions
    ]  # fmt: skip


def n_cells(one: Suggestion) -> int:
    """Cells that a suggestion asks for."""
    return len(one.seeds) * len(one.shuffle_seeds)
