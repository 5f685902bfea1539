"""Which cells to train next: shapes beyond the grid's edge where the minimum may lie there, then what narrows most.

An interval is of the shapes as much as of replicates: more seeds do not narrow what shapes are off, but another shape
about the minimum narrows both. Where the ladder has no other, more replicates are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.costs import require_price
from analysis.critical import Estimate, PowerLaw, columns, estimate_all
from analysis.errors import AnalysisError
from analysis.formatting import format_bytes, format_count
from analysis.study import Study

_MOST_SEEDS = 4  # more at once; ask again when they are recorded
_MOST_RUNGS = 3
_MOST_BETWEEN = 2  # shapes about a minimum at once
_ABOUT = math.log(6.0)  # how far from N* a shape still tells of it
_ALIKE = math.log(1.1)  # nearer to one that was run, a shape tells little more


class Rung(NamedTuple):
    """A shape that could be trained: its label, parameters, and training FLOPs per byte seen."""

    label: str
    n_params: int
    flops_per_byte: float


# By architecture, window length in bytes and recipe; ascending in n_params.
Ladder = Callable[[str, int, int], Sequence[Rung]]


@dataclass(frozen=True, kw_only=True)
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
    recipe: dict[str, Any]  # flat settings of the recorded cell nearest to it, resolved
    asked: dict[str, Any]  # the same as they were asked for, "auto" and all; empty where the record does not tell


def suggest(study: Study, ladder: Ladder, within: float = 1.25) -> list[Suggestion]:
    """What would bracket every critical size and bring the ends of its interval, as it is printed, within a factor.

    The widest interval comes first. AnalysisError without records to go by, for free parameters, or for a factor not
    above 1.
    """
    require_price(study.cost)
    if not (math.isfinite(within) and within > 1):
        raise AnalysisError(f"--within is {within:g}; want the interval's upper end / lower end, above 1, such as 1.25")
    chosen = study.codes.under(study.cost)
    read_bytes = chosen["vocabulary"] == 256  # the ladder's sizes are those of models of bytes
    chosen = chosen[chosen["config"].map(bool) & (chosen["flops"] > 0) & read_bytes]
    if chosen.empty:
        raise AnalysisError(
            f"{study.table.name} has no cell whose settings are recorded, or none of bytes; name a run folder"
        )
    found: list[tuple[float, list[Suggestion]]] = []
    for estimate in estimate_all(columns(chosen)):
        row = estimate.row
        own = chosen[(chosen["group"] == row["group"]) & (chosen["subset_bytes"] == row["subset_bytes"])]
        first = own.iloc[0]
        recipe = int(first["config"].get("train.recipe", 1))
        shapes = ladder(str(first["architecture"]), int(first["context_bytes"]), recipe)
        place = _Place(own, _speeds(study.table.runs), shapes)
        law = study.laws.get(str(row["group"]))
        if row["status"] != "bracketed":
            found.append((math.inf, list(place.wider(str(row["status"]), law))))
        else:
            width = float(str(row["high"])) / float(str(row["low"]))
            found.append((width, list(place.surer(estimate, width, within, law))))
    return [one for _, several in sorted(found, key=lambda pair: -pair[0]) for one in several]


def _telling(estimate: Estimate) -> npt.NDArray[np.float64]:
    """The two sizes whose noise of replicates moves N* most; without a law the outermost."""
    if estimate.minimum is None:
        return estimate.column.sizes[[0, -1]]
    error = estimate.minimum.error
    moved = np.abs(error.by_shape) * np.sqrt(error.noise)
    return np.sort(np.exp(error.log_n)[np.argsort(-moved, kind="stable")[:2]])


def _speeds(runs: pd.DataFrame) -> pd.DataFrame:
    """FLOPs per second of every cohort, or part of one that trained alone, measuring included, by n_params."""
    cohorts = (
        runs[runs["status"] == "ok"]
        .groupby(["cohort_id", "created", "training_seconds"], dropna=False, as_index=False)
        .agg(
            n_params=("n_params", "first"),
            flops=("flops", "mean"),
            n_cells=("cohort_size", "first"),
            measuring=("measuring_seconds", "first"),
        )
    )
    seconds = cohorts["training_seconds"] + cohorts["measuring"]
    return cohorts.assign(speed=cohorts["flops"] * cohorts["n_cells"] / seconds.where(seconds > 0))


class _Place:
    """One dataset size: its cells, and what is known for others."""

    def __init__(self, own: pd.DataFrame, speeds: pd.DataFrame, ladder: Sequence[Rung]) -> None:
        self.own, self.speeds, self.ladder = own, speeds, ladder
        self.sizes = np.unique(own["n_params"].to_numpy())

    def wider(self, status: str, law: PowerLaw | None) -> Iterator[Suggestion]:
        """The next shapes beyond the edge, as far as one past the law's critical size; both ways with too few sizes."""
        for sign in {"below": (-1,), "above": (1,)}.get(status, (-1, 1)):
            edge = self.sizes[0 if sign < 0 else -1]
            why = f"to bracket: the best size is {'at most' if sign < 0 else 'at least'} {format_count(edge)}"
            if status not in ("below", "above"):
                why = f"too few sizes: {self.sizes.size}"
            yield from self.beyond(sign, law, why)

    def beyond(self, sign: int, law: PowerLaw | None, why: str) -> Iterator[Suggestion]:
        """Shapes of the ladder past an end of the sizes, as far as one past the law's critical size."""
        fits = law is not None and law.gamma is not None
        expected = float(law.predict(float(self.own["subset_bytes"].iloc[0]))) if law is not None and fits else None
        smaller = [rung for rung in reversed(self.ladder) if rung.n_params < 0.9 * self.sizes[0]]
        larger = [rung for rung in self.ladder if rung.n_params > 1.1 * self.sizes[-1]]
        rungs = smaller if sign < 0 else larger
        for i, rung in enumerate(rungs[:_MOST_RUNGS]):
            if i and (expected is None or sign * (rungs[i - 1].n_params - expected) > 0):
                break
            yield self._new(rung.label, rung.n_params, rung.flops_per_byte, why)

    def surer(self, estimate: Estimate, width: float, within: float, law: PowerLaw | None) -> Iterator[Suggestion]:
        """Beyond an edge that the interval reaches; then, unless it is narrow, shapes about N*, or more replicates."""
        row = {name: float(str(estimate.row[name])) for name in ("n_params", "low", "high")}
        outer = self.sizes[min(1, self.sizes.size - 1)], self.sizes[-min(2, self.sizes.size)]
        reached = []
        if row["low"] < self.sizes[0] or row["n_params"] < outer[0]:
            reached += list(self.beyond(-1, law, f"the interval reaches down to {format_count(row['low'])}"))
        if row["high"] > self.sizes[-1] or row["n_params"] > outer[1]:
            reached += list(self.beyond(1, law, f"the interval reaches up to {format_count(row['high'])}"))
        if reached or width <= within:
            yield from reached
            return
        why = f"interval a factor of {width:.3g}"
        yield from list(self.between(row["n_params"], why)) or self.replicates(estimate, width, within, why)

    def replicates(self, estimate: Estimate, width: float, within: float, why: str) -> Iterator[Suggestion]:
        """More seeds at the sizes that tell most, or another draw of the corpus for all that the law goes by."""
        if estimate.row["interval"] in ("corpus seeds", "both"):
            fresh = _fresh(self.own["shuffle_seed"], 1)
            low, high = np.exp(estimate.minimum.window) if estimate.minimum else (0.0, math.inf)
            for n in self.sizes[(self.sizes >= 0.99 * low) & (self.sizes <= 1.01 * high)]:
                seeds = tuple(sorted(set(self._of(n)["seed"])))
                yield self._known(n, seeds, fresh, why + ", another sample of the corpus")
            return
        for n in _telling(estimate).round().astype(np.int64):
            cells = self._of(n)
            wanted = cells["seed"].nunique() * ((math.log(width) / math.log(within)) ** 2 - 1)
            more = min(max(1, math.ceil(wanted)), _MOST_SEEDS)
            yield self._known(n, _fresh(cells["seed"], more), tuple(sorted(set(cells["shuffle_seed"]))), why)

    def between(self, located: float, why: str) -> Iterator[Suggestion]:
        """Shapes about N* that are not like one that was run, the nearest first."""

        def apart(n: float) -> float:
            return float(np.abs(np.log(self.sizes / n)).min())

        def away(rung: Rung) -> float:
            return abs(math.log(rung.n_params / located))

        near = [rung for rung in self.ladder if away(rung) < _ABOUT and apart(rung.n_params) > _ALIKE]
        for rung in sorted(near, key=away)[:_MOST_BETWEEN]:
            yield self._new(rung.label, rung.n_params, rung.flops_per_byte, f"{why}, a shape about the minimum")

    def _of(self, n_params: int) -> pd.DataFrame:
        return self.own[self.own["n_params"] == n_params].sort_values(["seed", "shuffle_seed", "run_id"])

    def _known(self, n: int, seeds: tuple[int, ...], shuffles: tuple[int, ...], why: str) -> Suggestion:
        cells = self._of(n)
        first = cells.iloc[0]
        return self._suggestion(
            first,
            label=str(first["size"]),
            n_params=n,
            seeds=seeds,
            shuffle_seeds=shuffles,
            reason=why,
            flops=float(first["flops"]),
        )

    def _new(self, label: str, n_params: int, flops_per_byte: float, why: str) -> Suggestion:
        nearest = self.sizes[np.abs(np.log(self.sizes / n_params)).argmin()]
        cells = self._of(nearest)
        seeds, shuffles = (tuple(sorted(set(cells[name]))) for name in ("seed", "shuffle_seed"))
        first = cells.iloc[0]
        return self._suggestion(
            first,
            label=label,
            n_params=n_params,
            seeds=seeds,
            shuffle_seeds=shuffles,
            reason=why,
            flops=float(flops_per_byte * first["bytes_seen"]),
        )

    def _suggestion(
        self,
        like: pd.Series[Any],
        *,
        label: str,
        n_params: int,
        seeds: tuple[int, ...],
        shuffle_seeds: tuple[int, ...],
        reason: str,
        flops: float,
    ) -> Suggestion:
        """With the settings of the recorded cell `like`, at the speed of the shapes nearest in size."""
        far = np.abs(np.log(self.speeds["n_params"] / n_params))
        speed = float(self.speeds.loc[far == far.min(), "speed"].median())
        return Suggestion(
            group=str(like["group"]),
            subset_bytes=int(like["subset_bytes"]),
            size=label,
            n_params=int(n_params),
            seeds=tuple(map(int, seeds)),
            shuffle_seeds=tuple(map(int, shuffle_seeds)),
            reason=reason,
            flops=flops,
            seconds=flops / speed,
            recipe=dict(like["config"]),
            asked=dict(like["requested"]),
        )


def _fresh(used: pd.Series[int], n: int) -> tuple[int, ...]:
    """The first `n` seeds that are not used."""
    taken = set(used.tolist())
    return tuple([seed for seed in range(len(taken) + n) if seed not in taken][:n])


def describe(suggestions: Sequence[Suggestion]) -> list[tuple[str, ...]]:
    """Rows for a terminal: dataset, size, parameters, seeds, FLOPs, seconds, reason."""
    several = len({one.group for one in suggestions}) > 1
    return [
        (
            f"{one.group} {format_bytes(one.subset_bytes)}" if several else format_bytes(one.subset_bytes),
            one.size,
            f"{one.n_params:,}",
            ", ".join(map(str, one.seeds)),
            f"{one.flops * n_cells(one):.3g}",
            f"{one.seconds * n_cells(one):.3g}",
            one.reason,
        )
        for one in suggestions
    ]


def n_cells(one: Suggestion) -> int:
    """Cells that a suggestion asks for."""
    return len(one.seeds) * len(one.shuffle_seeds)
