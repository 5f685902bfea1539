"""Losses of trained models, to fit a law to: anyone's table or a sweep's records. Bad rows are named, not hidden."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.errors import AnalysisError
from analysis.formatting import format_counted, format_ratio, join
from analysis.records import Numbers, Table, column_numbers, find_column, given, longest, read_table, refusals
from analysis.types import Floats


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Rows left out for one reason. `lines` are the first few of them, counted from 1 without the header.

    `readings`: what stands in each of these, and what it was tried as.
    """

    reason: str
    n_rows: int
    lines: tuple[int, ...]
    readings: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The rows, and what stands in the first."""
        return f"row {', '.join(map(str, self.lines))}" + (f": {self.readings[0]}" if self.readings else "")


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """Usable rows, all of shape (n,) and positive, in the order of the table."""

    n_params: Floats  # N, parameters
    data: Floats  # D, the table's unit (tokens, as a rule); bytes for records
    loss: Floats  # L, the table's unit; held-out bits per byte for records
    flops: Floats  # C
    clusters: npt.NDArray[np.int64]  # rows with the same number share noise and are resampled together
    varies: str  # what resampling says about: the interval's meaning
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()
    epochs: Floats | None = None  # how often D was read, at least about 1; None: not told

    @property
    def times_read(self) -> Floats:
        """Of every row; once where it is not told."""
        return np.ones(self.loss.size) if self.epochs is None else self.epochs

    def where(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Measurements:
        """Some of the rows, by a mask or by their numbers."""
        return Measurements(
            n_params=self.n_params[chosen],
            data=self.data[chosen],
            loss=self.loss[chosen],
            flops=self.flops[chosen],
            clusters=self.clusters[chosen],
            varies=self.varies,
            epochs=None if self.epochs is None else self.epochs[chosen],
        )


def read_csv(
    path: Path,
    n: str = "N",
    d: str = "D",
    loss: str = "loss",
    c: str = "C",
    clusters: tuple[str, ...] = (),
    epochs: str = "epochs",
) -> Measurements:
    """A CSV with columns for N, the loss, and D or C or both: what is missing of D and C follows from C = 6·N·D.

    `epochs` names how often a model read its data, D then being the unique ones; there need not be such a column.
    `clusters` names columns whose equal values mark rows with common noise. A row without a positive number in each of
    N, D and loss is dropped and counted; rows that are given twice count twice. Tables are CSV, JSON or Parquet, their
    numbers as people write them. AnalysisError, in one line, for what is no table, a missing column, a number that may
    be read in two ways, or no usable row.
    """
    file = read_table(path)
    frame = file.frame
    n, d, loss, c = _columns(frame, path, {"N": n, "D": d, "loss": loss, "C": c}, clusters)
    times = find_column(frame, path, "epochs", epochs)
    known = [name for name in (n, loss, d, c, times) if name is not None and name in frame]
    numbers = {name: column_numbers(frame, name) for name in known}
    refusals(numbers, frame, file.lines, path)
    N, nothing = numbers[n].values, np.full(len(frame), np.nan)
    D, C = (numbers[name].values if name in numbers else nothing for name in (d, c))
    is_blank = np.isin(np.arange(len(frame)), list(numbers[d].missing)) if d in numbers else np.ones(len(frame), bool)
    derived = is_blank & (C > 0) & (N > 0)
    with np.errstate(all="ignore"):
        D = np.where(derived, C / (6 * N), D)
        C = np.where(C > 0, C, 6 * N * D)
    read = {times: numbers[times].values} if times is not None else {}
    dropped, usable = _dropped(frame, {n: N, d: D, loss: numbers[loss].values} | read, numbers)
    if not usable.any():
        raise AnalysisError(f"{path} has no usable row: {_why(dropped) or 'it has only a header'}")
    groups = frame.groupby(list(clusters), sort=False, dropna=False).ngroup().to_numpy() if clusters else None
    ids = np.arange(len(frame)) if groups is None else groups
    varies = f"whole groups of equal {join(clusters)} are resampled" if clusters else "rows are resampled"
    return Measurements(
        n_params=N[usable],
        data=D[usable],
        loss=numbers[loss].values[usable],
        flops=C[usable],
        clusters=ids[usable].astype(np.int64),
        varies=varies,
        dropped=dropped,
        notes=_notes(int(derived[usable].sum()), frame.loc[usable, list(numbers)]),
        epochs=read[times][usable] if times is not None else None,
    )


def _columns(
    frame: pd.DataFrame, path: Path, named: dict[str, str], clusters: tuple[str, ...]
) -> tuple[str, str, str, str]:
    """The columns of N, D, the loss and C; what is not there keeps the name that it was looked for by."""
    found = {wanted: find_column(frame, path, wanted, name) for wanted, name in named.items()}
    needed = ["N", "loss", *(["D"] if found["C"] is None else [])]
    missing = [named[wanted] for wanted in needed if found[wanted] is None]
    missing += [name for name in clusters if name not in frame]
    if missing:
        raise AnalysisError(f"{path} has no column '{missing[0]}'; it has {given(frame)}; see --n, --d, --loss, --c")
    n, d, loss, c = (found[wanted] or named[wanted] for wanted in ("N", "D", "loss", "C"))
    return n, d, loss, c


def _dropped(
    frame: pd.DataFrame, columns: dict[str, Floats], numbers: dict[str, Numbers]
) -> tuple[tuple[Dropped, ...], npt.NDArray[np.bool_]]:
    """Why rows are left out, each for the first reason that holds, and which remain."""
    usable, found = np.ones(len(frame), bool), []
    for name, values in columns.items():
        reasons = {
            f"{name} is missing or NaN": np.isnan(values)
            & ~np.isin(np.arange(len(frame)), list(_refused(numbers, name))),
            f"{name} is not a number": np.isnan(values),
            f"{name} is infinite": np.isinf(values),
            f"{name} is not above 0": values <= 0,
        }
        for reason, bad in reasons.items():
            rows = np.flatnonzero(bad & usable)
            if rows.size:
                said = tuple(_reading(frame, name, int(i), numbers) for i in rows[:5]) if name in frame else ()
                lines = tuple(int(i) + 1 for i in rows[:5])
                found.append(Dropped(reason=reason, n_rows=rows.size, lines=lines, readings=said))
                usable[rows] = False
    return tuple(found), usable


def _why(dropped: tuple[Dropped, ...]) -> str:
    return join(f"{d.reason} in {format_counted(d.n_rows, 'row')} ({d.where})" for d in dropped)


def _refused(numbers: dict[str, Numbers], name: str) -> dict[int, str]:
    return numbers[name].refused if name in numbers else {}


def _reading(frame: pd.DataFrame, name: str, row: int, numbers: dict[str, Numbers]) -> str:
    """What stands there, and what it was tried as."""
    tried = _refused(numbers, name).get(row)
    return f"'{frame[name].iloc[row]!s:.40}'" + (f", {tried}" if tried else "")


def _notes(n_derived: int, used: pd.DataFrame) -> tuple[str, ...]:
    notes = []
    if n_derived:
        notes.append(f"D = C / (6·N) in {n_derived} rows")
    n_repeated = int(used.duplicated().sum())
    if n_repeated:
        notes.append(f"{n_repeated} rows repeat another; each is kept")
    return tuple(notes)


def from_records(table: Table, group: str | None = None) -> Measurements:
    """Held-out bits per byte of a sweep's `best` snapshots on N and the unique bytes D; FLOPs count every byte seen.

    Of several budgets of one cell the longest counts, of several recipes then the least held-out loss. Cells of one
    (corpus seed, D) trained on the same bytes and share noise. `group` as in `table.Table`, needed where there are
    several. AnalysisError for none, or none with a held-out loss.
    """
    cells = longest(table.cells)
    cells = cells[cells["heldout_bits"].notna() & (cells["heldout_bytes"] > 0)]
    cells = cells.sort_values("snapshot").drop_duplicates("run_id")  # "best" < "final": best where there is one
    groups = sorted(set(cells["group"]))
    if (group is None and len(groups) > 1) or (group is not None and group not in groups):
        raise AnalysisError(f"{table.name} has the groups {', '.join(groups)}; choose one with --group")
    own = cells[cells["group"] == (group or (groups or [""])[0])]
    if own.empty:
        raise AnalysisError(f"{table.name} has no cell whose whole held-out part was coded; a fit needs it")
    loss = own["heldout_bits"] / own["heldout_bytes"]
    key = ["subset_bytes", "n_params", "seed", "shuffle_seed"]
    own = own.assign(loss=loss).sort_values([*key, "loss"]).drop_duplicates(key)
    columns = own.groupby(["shuffle_seed", "subset_bytes"], sort=True).ngroup().to_numpy().astype(np.int64)
    names = ("n_params", "subset_bytes", "loss", "flops", "bytes_seen")
    N, D, L, C, seen = (own[name].to_numpy(np.float64) for name in names)
    return Measurements(
        n_params=N,
        data=D,
        loss=L,
        flops=C,
        clusters=columns,
        varies=_varies(own),
        notes=_repeats(own),
        epochs=seen / D if (seen > 0).all() else None,  # 0: not told
    )


def _varies(own: pd.DataFrame) -> str:
    text = "whole (corpus seed, D) columns are resampled: "
    if own["shuffle_seed"].nunique() > 1:
        return text + "the interval is over corpus seeds and dataset sizes, and the training seeds within them"
    return (
        text + "one corpus seed, so the interval is over dataset sizes and does not cover another sample of the corpus"
    )


def _repeats(own: pd.DataFrame) -> tuple[str, ...]:
    epochs = own["bytes_seen"] / own["subset_bytes"]
    if epochs.max() <= 4:
        return ()
    return (
        f"subsets were repeated up to {format_ratio(epochs.max())} times; beyond about 4 a repeated byte is worth less "
        "(Muennighoff et al. 2023), so this is a law of unique bytes under this recipe, not of bytes seen",
    )
