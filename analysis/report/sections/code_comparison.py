"""Everything counted: the shortest code of each dataset size of every kind, in bits and as a rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.codes import best_classical, shortest_codes
from analysis.costs import COSTS, ParameterCost
from analysis.critical import averages
from analysis.formatting import UNKNOWN, format_bytes, format_count, format_percent, join
from analysis.records import Table
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.codes import ShortestRow
from analysis.report.section import WideSection, register_section
from analysis.report.summary_keys import Summary
from analysis.study import Study

CLASSICAL = "best classical coder"
CODES = ("float16 two-part", "coded two-part", "prequential block", "prequential online", CLASSICAL)
COLUMNS = list(ShortestRow.__annotations__)


def who_wins(study: Study, blocks: pd.DataFrame, online: pd.DataFrame) -> pd.DataFrame:
    """Rows COLUMNS for what was measured, of sizes that were run (no interpolation); `shortest`: of its dataset size.

    `blocks` as from `block_codes.block_codes`, `online` from `online.online_codes`. Choosing among sizes is counted in
    prequential codes; a two-part code carries its size in its header, which is not counted. `variant` names the price,
    block code or coder; `detail` says the same in words.
    """
    found = pd.concat(
        [
            _two_part(averages(study.codes.under(COSTS["float16"])), COSTS["float16"]),
            _two_part(_coded(study.table), COSTS["coded"]),
            _block(blocks),
            _online(online),
            _classical(study),
        ]
    )
    found = found.assign(rate=found["total_bits"] / (8 * found["subset_bytes"].astype(float)))
    places = ["group", "subset_bytes"]
    found["shortest"] = found["total_bits"] == found.groupby(places)["total_bits"].transform("min")
    order = found["code"].map(CODES.index)
    return found.assign(order=order).sort_values([*places, "order"]).reset_index(drop=True)[COLUMNS]


def _frame(rows: pd.DataFrame) -> pd.DataFrame:
    frame = rows[["group", "subset_bytes", "code", "n_params", "detail", "variant", "total_bits"]]
    sizes = rows.get("decoder_bytes", np.nan)  # of a classical coder alone
    kinds = {"subset_bytes": "int64", "n_params": "float64", "total_bits": "float64", "decoder_bytes": "float64"}
    return frame.assign(decoder_bytes=sizes).astype(kinds)


def _least(totals: pd.DataFrame, code: str) -> pd.DataFrame:
    """The shortest of one kind of code for every dataset size; `totals` has all columns of the result but the code."""
    best = totals.sort_values("total_bits", kind="stable").drop_duplicates(["group", "subset_bytes"])
    return _frame(best.assign(code=code))


def _coded(table: Table) -> pd.DataFrame:
    """Averages of coded cells at every precision: here that is shortest which was measured, not the law's."""
    at_each = [replace(table, coded=own) for _, own in table.coded.groupby("precision_bits")]
    return pd.concat([averages(shortest_codes(some, COSTS["coded"])) for some in at_each or [table]])


def _two_part(means: pd.DataFrame, cost: ParameterCost) -> pd.DataFrame:
    """The least of code and parameters, each averaged over seeds."""
    means = means.reset_index(drop=True)
    means["total_bits"] = means["own_bits"] + means["bits_per_param"] * means["n_params"]
    details = [f"{bits:.3g} bits per parameter" for bits in means["bits_per_param"]]
    return _least(means.assign(detail=details, variant=cost.name), f"{cost.name} two-part")


def _block(blocks: pd.DataFrame) -> pd.DataFrame:
    """Which of the variants was taken is announced."""
    places = ["group", "subset_bytes"]
    n_variants = blocks.groupby(places)["code"].transform("nunique").astype(float)
    announced = blocks.assign(total_bits=blocks["code_bits"].astype(float) + np.log2(n_variants))
    details = [f"{row.code}, {row.snapshot} snapshots" for row in blocks.itertuples()]
    return _least(announced.assign(detail=details, variant=announced["code"]), "prequential block")


def _online(online: pd.DataFrame) -> pd.DataFrame:
    """The choice among sizes is announced."""
    places = ["group", "subset_bytes"]
    n_sizes = online.groupby(places)["n_params"].transform("size").astype(float)
    announced = online.assign(total_bits=online["code_bits"].astype(float) + np.log2(n_sizes))
    return _least(announced.assign(detail="one pass", variant="online"), "prequential online")


def _classical(study: Study) -> pd.DataFrame:
    """Of the same bytes, as everywhere."""
    places = (
        study.table.runs[["corpus", "group", "subset_bytes"]].drop_duplicates().sort_values(["group", "subset_bytes"])
    )
    known = places.merge(best_classical(study.table.baselines), on=["corpus", "subset_bytes"])
    details = [f"{row.coder}, {row.order} order" for row in known.itertuples()]
    total_bits = 8 * known["rate"].astype(float) * known["subset_bytes"]
    recorded = study.table.baselines.groupby("coder")["decoder_bytes"].first().dropna().to_dict()
    sizes = known["coder"].map(_DECODER_BYTES | recorded)
    named = known.assign(code=CLASSICAL, n_params=np.nan, detail=details, variant=known["coder"], decoder_bytes=sizes)
    return _frame(named.assign(total_bits=total_bits))


def write(summary: Summary) -> list[Block]:
    """One row per dataset size, one column per kind of code; the shortest of each dataset size marked."""
    rows = summary["who_wins"]
    if not rows:
        return []
    places = list(dict.fromkeys((row["group"], row["subset_bytes"]) for row in rows))
    codes = list(dict.fromkeys(sorted((row["code"] for row in rows), key=CODES.index)))
    found = {(row["group"], row["subset_bytes"], row["code"]): row for row in rows}
    cells = [(format_bytes(d), *(_won(found.get((group, d, code))) for code in codes)) for group, d in places]
    grid = named_grid(("dataset", *codes), cells, "l" + "r" * len(codes), [group for group, _ in places])
    return [Text(f"{_ABOUT}{_decoders(rows)}{_missing(codes)}"), grid]


_ABOUT = (
    "Rate of everything that is sent, and the model size or coder that sends it; only sizes that were run. * marks the "
    "shortest measured code of a dataset size. Prequential codes include their first block, the choice of size and, "
    "for best snapshots, the sample that chose them. No decoder's program is counted, neither a model's nor a "
    "classical coder's. Neither is the time. Prequential codes are ideal ones: their decoder must repeat the training "
    "bit by bit. A GPU does not allow that, because it adds in no fixed order."
)


def _decoders(rows: list[ShortestRow]) -> str:
    known = {row["variant"]: row["decoder_bytes"] for row in rows if row["code"] == CLASSICAL}
    sizes = [f"{coder} {format_bytes(n_bytes)}" for coder, n_bytes in known.items() if n_bytes is not None]
    if not sizes:
        return ""
    return (
        f" The compiled programs or libraries that decode have these sizes: {join(sizes)}. A model's decoder is this "
        "package and torch."
    )


def _missing(codes: list[str]) -> str:
    missing = [code for code in CODES if code not in codes]
    return f" Not measured: {join(missing)}." if missing else ""


# Of older records, which do not tell: of zlib 1.2.13, libbz2 1.0.8, liblzma 5.4.1 and pyppmd 1.3.1 (x86-64 Linux).
_DECODER_BYTES = {"gzip": 121_280, "bzip2": 74_688, "xz": 190_456, "ppmd": 357_016, "ppmd-o6": 357_016}


def _won(row: ShortestRow | None) -> str:
    if row is None:
        return UNKNOWN
    who = format_count(row["n_params"]) if row["n_params"] else row["variant"]
    return f"{format_percent(row['rate'])}, {who}{' *' if row['shortest'] else ''}"


register_section(
    WideSection(
        name="who_wins",
        title="The shortest code that was measured",
        write=write,
        tables=(CsvTable("who_wins"),),
    ),
)
