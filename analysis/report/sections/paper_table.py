"""The paper's Table 1 on our data: classical coders and trained models on any data, the paper's rates beside.

From what `mdl baselines` leaves. The paper's own rates are in `analysis/report/paper/table1.csv`, with their citation.
"""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis.codes import adjusted_compression_rate, classical_rates, raw_rate
from analysis.records import Row, Table, rows_of, short_source
from analysis.report.csv_tables import CsvTable
from analysis.report.paper.table1 import PAPER_CODERS, PAPER_DATA_SETS, TABLE_1
from analysis.report.rows.comparisons import PaperRow
from analysis.report.section import Figure, Measured, WideSection, register_section
from analysis.report.sections.paper_table_figures import plot_position_panels, sizes_in_color
from analysis.report.sections.paper_table_page import paper_table as write
from analysis.study import Study

PAPER_BYTES = 10**9  # of each of the paper's data sets
_NAMES = {"text": "text", "image": "images", "audio": "speech", "random": "random bytes", "bytes": "bytes"}
# As records name the paper's shapes, their heads included: 64x4 alone has other heads.
_PAPER_SHAPES = {"64x4h4": "Transformer 200K", "128x4": "Transformer 800K", "256x4": "Transformer 3.2M"}
_DATA = ["sha256", "heldout_bytes", "subset_bytes"]
COLUMNS = list(PaperRow.__annotations__)


def paper_table(table: Table) -> pd.DataFrame:
    """One row per (data set, chunk length, compressor), in the paper's order; none of a folder that is a plain sweep.

    data         text, images, speech, random; with the source and D where there are several of a kind
    kind         classical, model, or paper: one of the paper's own models, which has no rate of ours
    own_corpus   whether the model learned from a part of the same corpus
    raw_rate     of what was coded; a chunked classical coder's header counts once, as in the paper
    context_bytes  of a model; 0: none
    adjusted_rate  with 2 bytes per parameter over D; adjusted_rate_1gb the same if D were the paper's 1 GB
    """
    if table.transfers.empty and len(table.runs):
        return pd.DataFrame(columns=COLUMNS)
    own = pd.concat([_classical(table.baselines), _models(table.transfers)], ignore_index=True)
    if own.empty:
        return pd.DataFrame(columns=COLUMNS)
    data = _data_sets(own)
    own["paper_coder"] = [_paper_coder(row) for row in rows_of(own)]
    paper = _paper().rename(columns={"compressor": "paper_coder"})
    rows = (
        own.drop(columns="source")
        .merge(data, on=_DATA)
        .merge(paper, on=["paper_data", "chunk_bytes", "paper_coder"], how="left")
    )
    theirs = _of_the_papers_models(data)
    every = pd.concat([rows, theirs], ignore_index=True)
    every["_chunked"] = every["chunk_bytes"] > 0
    every["_kind"] = every["kind"].map({"classical": 0, "model": 1, "paper": 2})
    order = {name: i for i, name in enumerate(dict.fromkeys(_paper()["compressor"]))}
    every["_coder"] = every["compressor"].map(order).fillna(len(order))
    every["n_params"] = every["n_params"].astype("Int64")
    ordered = every.sort_values(
        ["_kind", "_chunked", "_coder", "n_params", "compressor", "trained_on", "_data"], kind="stable"
    )
    return ordered[COLUMNS].reset_index(drop=True)


def _classical(baselines: pd.DataFrame) -> pd.DataFrame:
    """The source's own order; chunk_bytes 0: whole."""
    own = classical_rates(baselines[baselines["order"] == "contiguous"])
    chunks = own["chunk_bytes"].astype(float).fillna(0)
    rates = own["rate"].where(chunks == 0, own["rate_header_once"])
    return own[[*_DATA, "source", "modality", "sample_bytes"]].assign(
        kind="classical",
        chunk_bytes=chunks,
        compressor=own["coder"],
        trained_on="",
        own_corpus=False,
        n_params=0,
        context_bytes=0,
        raw_rate=rates,
        adjusted_rate=rates,
        adjusted_rate_1gb=rates,
    )


def _models(transfers: pd.DataFrame) -> pd.DataFrame:
    raw = raw_rate(transfers["code_bits"].astype(float), transfers["sample_bytes"].astype(float))
    N, D = (transfers[name].astype(float) for name in ("n_params", "subset_bytes"))
    return transfers[[*_DATA, "source", "modality", "sample_bytes", "n_params", "context_bytes"]].assign(
        kind="model",
        chunk_bytes=transfers["chunk_bytes"].astype(float).fillna(0),
        compressor=transfers["size"],
        trained_on=[trained_on(row) for row in rows_of(transfers)],
        own_corpus=[(row["trained_on"] or {}).get("sha256") == row["sha256"] for row in rows_of(transfers)],
        raw_rate=raw,
        adjusted_rate=adjusted_compression_rate(raw, N, D),
        adjusted_rate_1gb=adjusted_compression_rate(raw, N, PAPER_BYTES),
    )


def _paper_coder(row: Row) -> str:
    """The paper's name of the same: a model of its three shapes stands beside it where that learned from text too."""
    name = str(row["compressor"])
    if row["kind"] == "classical":
        return name
    return _PAPER_SHAPES.get(name, "") if row["trained_on"] == _NAMES["text"] else ""


def trained_on(row: Row) -> str:
    """text, images, speech …: what a model of `Table.transfers` learned from."""
    corpus = row["trained_on"] or {}
    return _NAMES.get(_kind(str(corpus.get("source", "")), str(corpus.get("modality", ""))), "unknown")


def _kind(source: str, modality: str) -> str:
    return "random" if source.startswith("random:") else modality


def _data_sets(own: pd.DataFrame) -> pd.DataFrame:
    """Each data set once, in the paper's order: its name here and the paper's."""
    sets = own.drop_duplicates(_DATA)  # of two spellings of one source the first
    kinds = [_kind(*pair) for pair in zip(sets["source"], sets["modality"], strict=True)]
    sets = sets[[*_DATA]].assign(
        kind=kinds, name=[_NAMES.get(kind, kind) for kind in kinds], source=sets["source"].map(short_source)
    )
    several = sets["kind"].duplicated(keep=False)
    full = sets["name"] + " (" + sets["source"] + ", " + sets["subset_bytes"].map("{:,}".format) + " bytes)"
    order = sets["kind"].map({kind: i for i, kind in enumerate(_NAMES)}).fillna(len(_NAMES))
    named = sets.assign(
        data=sets["name"].where(~several, full), paper_data=sets["kind"].map(PAPER_DATA_SETS), _data=order
    )
    return named[[*_DATA, "data", "source", "paper_data", "_data"]].sort_values("_data", kind="stable")


def _paper() -> pd.DataFrame:
    """The paper's rates, a row per (data set, chunk length, compressor); fractions."""
    return pd.DataFrame(
        {
            "compressor": row.compressor,
            "chunk_bytes": row.chunk_bytes or 0,
            "paper_data": name,
            "paper_raw_rate": row.raw[name],
            "paper_adjusted_rate": row.adjusted[name],
        }
        for name in PAPER_DATA_SETS.values()
        for row in TABLE_1
    )


def _of_the_papers_models(data: pd.DataFrame) -> pd.DataFrame:
    """Rows of the models that only the paper has, for the kinds of data that are here."""
    theirs = _paper()
    models = theirs[~theirs["compressor"].isin(PAPER_CODERS)]
    rows = data.merge(models, on="paper_data")
    return rows.assign(kind="paper", trained_on="", own_corpus=False)


def position_curves(transfers: pd.DataFrame) -> pd.DataFrame:
    """Bits per byte by position in the window, of the shortest chunks: a row per bin.

    Columns data, compressor, trained_on, n_params, position (the bin's geometric middle, from 1), bits_per_byte.
    """
    columns = ["data", "compressor", "trained_on", "n_params", "position", "bits_per_byte"]
    if transfers.empty:
        return pd.DataFrame(columns=columns)
    own = transfers[transfers["chunk_bytes"].notna()]
    data = _data_sets(own).set_index(_DATA)
    rows = [
        {
            "data": data.loc[tuple(row[name] for name in _DATA), "data"],
            "compressor": row["size"],
            "trained_on": trained_on(row),
            "n_params": row["n_params"],
            "position": _middle(b),
            "bits_per_byte": b["code_bits"] / b["n_bytes"],
        }
        for row in rows_of(own)
        for b in row["positions"]
    ]
    order = {name: i for i, name in enumerate(data["data"])}  # the paper's order of data sets
    return pd.DataFrame(rows, columns=columns).sort_values("data", key=lambda names: names.map(order), kind="stable")


def _middle(b: Row) -> float:
    """Of positions [start, end), counted from 1."""
    return float(((b["start"] + 1) * b["end"]) ** 0.5)


_CAPTION = (
    "Bits per byte by position in the window, in bins of a quarter octave. Each model was trained on one kind of data "
    "and codes every kind. Dotted: 8 bits per byte, which is no compression."
)


def _figures(study: Study, _: Measured) -> list[Figure]:
    """One of all data sets."""
    curves = position_curves(study.table.transfers)
    if curves.empty:
        return []
    gray = " Thin and gray: smaller models." if len(sizes_in_color(curves)) < curves["n_params"].nunique() else ""
    return [Figure(name="transfer", plot=partial(plot_position_panels, curves), caption=_CAPTION + gray)]


register_section(
    WideSection(
        name="paper_table",
        title="The paper's table on this data",
        measure=lambda study: {"paper_table": paper_table(study.table)},
        write=write,
        draw=_figures,
        shows=("transfer",),
        tables=(CsvTable("paper_table"),),
    ),
)
