"""A sweep's records as tables. What was not evaluated is NaN here; nothing is averaged or chosen yet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.errors import AnalysisError
from analysis.records import columns as records
from analysis.records.columns import Row
from analysis.records.groups import Group, corpus_names, groups_of, leak_texts, named
from analysis.records.named_columns import column_numbers, find_column, given, refusals
from analysis.records.plugin_versions import newest
from analysis.records.segments import segments_by, span_bits
from analysis.records.table_file import TableFile, read_table
from mdl.records import RunPaths, read_manifest, was_searched


@dataclass(frozen=True, kw_only=True)
class Table:
    """A sweep. The columns read from records are described, with units, in `analysis.records.columns`; added ones here.

    runs       one row per record, failed ones too: RUN_COLUMNS, and
               corpus  short name of the corpus, the same for cells and baselines of the same bytes
               group   cells whose sizes can be compared: corpus, and architecture, context and vocabulary where there
                       are several
               byte_group  the group without the vocabulary
               clean_group  the group of the same cells without a leak; is_online  an online prequential run
               peer_group  the group without the architecture
    cells      one row per (run_id, snapshot) of runs that are neither online nor in `for_code`: the columns of `runs`,
               SNAPSHOT_COLUMNS, and
               own_bits      code length of the own subset [0, D), bits; NaN if not evaluated in full
               heldout_bits  code length of the whole held-out part, bits; NaN if not evaluated in full
    for_code   one row per (run_id, snapshot) of runs that were trained for their coded weights (`train.weight_bits`):
               the columns of `cells`, own_bits under the weights as they decode, tokenizer_bits, and
               bits_per_param  what their code takes, bits per parameter
    segments   one row per segment: run_id, snapshot, SEGMENT_COLUMNS
    overlapping  one row per segment of the second code length, of windows every stride_bytes, where measured, and with
               bucket_bits (NaN: without) mixed with contexts:
               run_id, snapshot, OVERLAPPING_COLUMNS; no other table holds any of it, unless `by_second_code` made it
    positions  one row per position bin: run_id, snapshot, POSITION_COLUMNS
    coded      one row per precision of a snapshot's weights that were rounded after training, where measured: run_id,
               snapshot, CODED_COLUMNS
    online     one row per place of an online run's cumulative code: run_id, ONLINE_COLUMNS
    curves     one row per look during training: run_id, CURVE_COLUMNS
    baselines  one row per classical coder's record: BASELINE_COLUMNS, and corpus
    transfers  one row per trained model on any data (`mdl baselines --model`): TRANSFER_COLUMNS, and positions
    groups     the parts of every label in the columns corpus, group, byte_group and clean_group
    """

    name: str
    runs: pd.DataFrame
    cells: pd.DataFrame
    segments: pd.DataFrame
    positions: pd.DataFrame
    curves: pd.DataFrame
    coded: pd.DataFrame
    online: pd.DataFrame
    baselines: pd.DataFrame
    manifest: dict[str, Any]  # sweep.json, empty where there is none
    transfers: pd.DataFrame = field(default_factory=pd.DataFrame)
    overlapping: pd.DataFrame = field(default_factory=pd.DataFrame)
    stride_bytes: int | None = None  # of the second code length that stands in `cells` and `segments`; None: the first
    is_mixed: bool = False  # and that is of the model mixed with contexts
    groups: dict[str, Group] = field(default_factory=dict)
    for_code: pd.DataFrame = field(default_factory=pd.DataFrame)
    needless_runs: pd.DataFrame = field(  # longer trainings that were left out, foretold to gain too little
        default_factory=lambda: pd.DataFrame(columns=["run_id", "subset_bytes", "n_params"])
    )
    is_searched: bool = False  # cells of `mdl size`: trainings of several lengths, of which those of one tell the size
    superseded: tuple[str, ...] = ()  # run ids of cells that a newer version of their plugin made again

    @property
    def needless(self) -> tuple[str, ...]:
        """Their run ids."""
        return tuple(self.needless_runs["run_id"])

    @property
    def failed(self) -> pd.DataFrame:
        """The runs without a result: run_id, reason and the rest."""
        return self.runs[self.runs["status"] == "failed"]

    @property
    def n_missing(self) -> int:
        """Cells that the sweep asks for and that have no record yet."""
        return len(set(self.manifest.get("run_ids", [])) - {*self.runs["run_id"], *self.needless, *self.superseded})


def load(path: str | Path, *, n: str = "N", d: str = "D", code_bits: str = "code_bits", seed: str = "seed") -> Table:
    """A run folder, or a table with columns of N (parameters), D (bytes) and code_bits, optionally seed, so named.

    A table is CSV, JSON or Parquet (`table_file`). AnalysisError, naming the file, for what cannot be read as either.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path)
    if path.is_file():
        return _load_csv(path, {"N": n, "D": d, "code_bits": code_bits, "seed": seed})
    raise AnalysisError(f"no sweep at {path}; name a run folder, which mdl sweep makes, or a CSV with N, D, code_bits")


def _load_folder(folder: Path) -> Table:
    with records.readable():
        content = read_manifest(RunPaths(folder))
    cells = [records.read_cell(p) for p in sorted(folder.glob("*/record.json"))]
    baselines = [records.read_baseline(p) for p in sorted((folder / "baselines").glob("*.json"))]
    transfers = [records.read_transfer(p) for p in sorted((folder / "transfer").glob("*.json"))]
    if not (content or cells or baselines or transfers):
        raise AnalysisError(f"no sweep at {folder}: it holds no records; name a run folder, which mdl sweep makes")
    cells, superseded = newest(cells, set(content.get("run_ids", [])))
    trained = [cell for cell in cells if cell.run["status"] != "needless"]
    needless = _frame((cell.run for cell in cells if cell.run["status"] == "needless"), records.RUN_COLUMNS)
    table = _table(str(content.get("name", name_of(folder))), trained, baselines, content)
    transferred = _frame(transfers, records.TRANSFER_COLUMNS)
    return replace(
        table,
        transfers=transferred,
        needless_runs=needless,
        superseded=superseded,
        is_searched=was_searched(RunPaths(folder)),
    )


def _table(name: str, read: list[records.CellRows], baselines: list[Row], manifest: dict[str, Any]) -> Table:
    key, own = ["run_id"], ["run_id", "snapshot"]
    runs = _frame((c.run for c in read), records.RUN_COLUMNS)
    classical = _frame(baselines, records.BASELINE_COLUMNS)
    repeated = runs.loc[runs["run_id"].duplicated(), "run_id"]
    if len(repeated):
        raise AnalysisError(f"{name} has two records of {repeated.iloc[0]}; delete one of them")
    names = corpus_names([frame for frame in (runs, classical) if len(frame)] or [runs])
    reads_bytes = runs["vocabulary"].isna()
    for column, known in (("vocabulary", 256), ("tokenizer_bytes", 0), ("n_tokens", runs["subset_bytes"])):
        runs[column] = runs[column].astype(float).mask(reads_bytes, known).astype("int64")
    groups: dict[str, Group] = {}
    for frame in (runs, classical):
        frame["leak_fraction"] = frame["leak_fraction"].astype(float).fillna(0.0)
        both = zip(named(frame, names), leak_texts(frame["leak_fraction"]), strict=True)
        corpora = [Group(corpus=corpus, leak=leak) for corpus, leak in both]
        labels = [of.label for of in corpora]
        frame["corpus"] = pd.Series(labels, index=frame.index, dtype=object)  # text, also of no rows
        groups |= {of.label: of for of in corpora}
    for column, found in vars(groups_of(runs, named(runs, names))).items():
        runs[column] = pd.Series([group.label for group in found], index=runs.index, dtype=object)
        groups |= {group.label: group for group in found}
    online = _frame((p for c in read for p in c.online), [*key, *records.ONLINE_COLUMNS])
    runs["is_online"] = runs["run_id"].isin(online["run_id"])
    snapshots = _frame((s for c in read for s in c.snapshots), [*key, *records.SNAPSHOT_COLUMNS])
    segments = _frame((s for c in read for s in c.segments), [*own, *records.SEGMENT_COLUMNS])
    positions = _frame((p for c in read for p in c.positions), [*own, *records.POSITION_COLUMNS])
    curves = _frame((p for c in read for p in c.curves), [*key, *records.CURVE_COLUMNS])
    coded = _frame((c for read_one in read for c in read_one.coded), [*own, *records.CODED_COLUMNS])
    cells = snapshots.merge(runs[~runs["is_online"]], on="run_id", validate="many_to_one")
    measured = with_code_lengths(cells, segments)
    is_plain = measured["weight_bits"].isna()
    overlapping = _frame((s for c in read for s in c.overlapping), [*own, *records.OVERLAPPING_COLUMNS])
    return Table(
        name=name,
        runs=runs,
        cells=measured[is_plain],
        for_code=_with_their_code(measured[~is_plain], coded),
        segments=segments,
        positions=positions,
        curves=curves,
        coded=coded[coded["coded_file"].isna()],
        online=online,
        baselines=classical,
        manifest=manifest,
        overlapping=overlapping,
        groups=groups,
    )


def _frame(rows: Iterable[Row], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns)


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """A dictionary per row."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def known_rows(frame: pd.DataFrame) -> list[Row]:
    """The same; what is not known is None, not NaN."""
    return [{name: None if _is_nan(value) else value for name, value in row.items()} for row in rows_of(frame)]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def name_of(path: Path) -> str:
    """What a run folder or a CSV is called; records kept beside their report have its name."""
    whole = path.resolve()
    if whole.is_file():
        return whole.stem
    return whole.parent.name if whole.name == "records" else whole.name


def with_code_lengths(cells: pd.DataFrame, segments: pd.DataFrame) -> pd.DataFrame:
    """Add own_bits and heldout_bits: sums of the segments that tile the part exactly."""
    parts, none = segments_by(segments, ["run_id", "snapshot", "part"]), np.empty((0, 3))

    def bits(part: str, end: str) -> list[float]:
        keys = zip(cells["run_id"], cells["snapshot"], cells[end], strict=True)
        return [span_bits(parts.get((run, snapshot, part), none), 0, n_bytes) for run, snapshot, n_bytes in keys]

    own, heldout = bits("train", "subset_bytes"), bits("heldout", "heldout_bytes")
    return cells.assign(own_bits=own, heldout_bits=heldout).astype({"own_bits": float, "heldout_bits": float})


_MOST = 1e18
_LEAST = {"N": 1.0, "D": 1.0, "code_bits": 1e-9, "seed": 0.0}
MOST_TABLE_ROWS = 100_000  # that a report takes in
MOST_TABLE_SIZES = 300  # of datasets, each a curve with its own intervals


def _load_csv(path: Path, named: dict[str, str]) -> Table:
    table = read_table(path)
    if table.frame.empty and len(table.frame.columns):
        raise AnalysisError(f"{path} has only a header; want a line for each model and dataset size")
    columns = {wanted: _column(table, path, wanted, named[wanted]) for wanted in _LEAST}
    frame = pd.DataFrame({w: _checked(table, path, w, name) for w, name in columns.items() if name is not None})
    if "seed" not in frame:  # what is given twice was run twice
        frame["seed"] = frame.groupby(["N", "D"]).cumcount()
    twice = frame.duplicated(["N", "D", "seed"])
    if twice.any():
        line = table.lines[int(twice.to_numpy().argmax())]
        raise AnalysisError(f"{path}, line {line} repeats the N, D and seed of another")
    if len(frame) > MOST_TABLE_ROWS or frame["D"].nunique() > MOST_TABLE_SIZES:
        raise AnalysisError(
            f"{path} has {len(frame):,} rows over {frame['D'].nunique():,} dataset sizes; a report takes at most "
            f"{MOST_TABLE_ROWS:,} rows over {MOST_TABLE_SIZES} sizes: keep some of them"
        )
    return _table(path.stem, [_csv_cell(path.stem, i, row) for i, row in enumerate(frame.to_dict("records"))], [], {})


def _column(table: TableFile, path: Path, wanted: str, named: str) -> str | None:
    found = find_column(table.frame, path, wanted, named, unit="bytes")
    if found is None and wanted != "seed":
        hint = "want N (parameters), D (bytes), code_bits; see --n, --d, --code-bits"
        raise AnalysisError(f"{path} has no column '{wanted}'; it has {given(table.frame)}; {hint}")
    return found


def _checked(table: TableFile, path: Path, wanted: str, name: str) -> npt.NDArray[np.float64]:
    """A column's numbers, each in its range; AnalysisError naming the first line whose is not."""
    numbers = column_numbers(table.frame, name)
    refusals({name: numbers}, table.frame, table.lines, path)
    least = _LEAST[wanted]
    bad = ~((numbers.values >= least) & (numbers.values < _MOST))
    if bad.any():
        row = int(bad.argmax())
        want = "a number above 0" if least else "a number of at least 0"
        got, read = str(table.frame[name].iloc[row]), numbers.values[row]
        tried = numbers.refused.get(row) or ("" if _is_plain(got, read) else f"read as {read:g}")
        said = f" ({tried})" if tried else ""
        raise AnalysisError(f"{path}, line {table.lines[row]}: {name} is {got:.40}{said}; want {want}, below 1e18")
    return numbers.values


def _is_plain(text: str, read: float) -> bool:
    """Whether what stands there and what was read are the same to anyone."""
    try:
        return np.isnan(read) or float(text) == read
    except ValueError:
        return False


def _csv_cell(name: str, i: int, row: dict[Any, Any]) -> records.CellRows:
    """A line of a CSV as a record that knows only its size, its data and its code length."""
    run = records.blank_run()
    n, d = int(row["N"]), int(row["D"])
    run |= {"run_id": f"{name}-{i + 1}", "status": "ok", "cohort_id": f"{name}-{i + 1}", "source": name}
    run |= {"size": str(n), "n_params": n, "subset_bytes": d, "train_bytes": d, "seed": int(row["seed"])}
    own = {"run_id": run["run_id"], "snapshot": "final"}
    segment = own | {"part": "train", "start_bytes": 0, "end_bytes": d, "code_bits": float(row["code_bits"])}
    return records.CellRows(run=run, snapshots=[own | {"step": 0}], segments=[segment])


def _with_their_code(cells: pd.DataFrame, coded: pd.DataFrame) -> pd.DataFrame:
    """As `Table.for_code`."""
    own = ["run_id", "snapshot"]
    codes = coded.loc[coded["coded_file"].notna(), [*own, "model_bits", "data_bits"]]
    found = cells.merge(codes, on=own, validate="one_to_one")
    bits_per_param = found["model_bits"].astype(float) / found["n_params"].astype(float)
    own_bits = found["data_bits"].astype(float)
    return found.assign(own_bits=own_bits, tokenizer_bits=0.0, bits_per_param=bits_per_param).drop(
        columns=["model_bits", "data_bits"]
    )
