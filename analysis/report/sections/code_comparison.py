"""Everything counted: the shortest code of each dataset size of every kind, in bits and as a rate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.codes import best_classical
from analysis.costs import COSTS, ParameterCost
from analysis.critical import averages
from analysis.formatting import format_bytes, format_count, format_percent, join
from analysis.report.elements import Block, Text, named_grid
from analysis.report.section import WideSection, register_section
from analysis.study import Study, shortest_codes
from analysis.types import Json

CODES = ("float16 two-part", "coded two-part", "prequential block", "prequential online", "best classical coder")
COLUMNS = ["group", "subset_bytes", "code", "n_params", "detail", "total_bits", "rate", "shortest"]


def who_wins(study: Study, blocks: pd.DataFrame, online: pd.DataFrame) -> pd.DataFrame:
    """Rows COLUMNS for what was measured, of sizes that were run (no interpolation); `shortest`: of its dataset size.

    `blocks` as from `block_codes.block_codes`, `online` from `online.online_codes`. Choosing among sizes is counted in
    prequential codes; a two-part code carries its size in its header, which is not counted. `detail`: which variant.
    """
    found = pd.concat(
        [
            _two_part(study, COSTS["float16"]),
            _two_part(study, COSTS["coded"]),
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
    frame = rows[["group", "subset_bytes", "code", "n_params", "detail", "total_bits"]]
    return frame.astype({"subset_bytes": "int64", "n_params": "float64", "total_bits": "float64"})


def _least(totals: pd.DataFrame, code: str) -> pd.DataFrame:
    """The shortest of one kind of code for every dataset size; `totals` has all columns of the result but the code."""
    best = totals.sort_values("total_bits", kind="stable").drop_duplicates(["group", "subset_bytes"])
    return _frame(best.assign(code=code))


def _two_part(study: Study, cost: ParameterCost) -> pd.DataFrame:
    """The least of code and parameters, each averaged over seeds."""
    means = averages(shortest_codes(study.table, cost))
    means["total_bits"] = means["own_bits"] + means["bits_per_param"] * means["n_params"]
    details = [f"{bits:.3g} bits a parameter" for bits in means["bits_per_param"]]
    return _least(means.assign(detail=details), f"{cost.name} two-part")


def _block(blocks: pd.DataFrame) -> pd.DataFrame:
    """Which of the variants was taken is announced."""
    places = ["group", "subset_bytes"]
    n_variants = blocks.groupby(places)["code"].transform("nunique").astype(float)
    announced = blocks.assign(total_bits=blocks["code_bits"].astype(float) + np.log2(n_variants))
    details = [f"{row.code}, {row.snapshot} snapshots" for row in blocks.itertuples()]
    return _least(announced.assign(detail=details), "prequential block")


def _online(online: pd.DataFrame) -> pd.DataFrame:
    """The choice among sizes is announced."""
    places = ["group", "subset_bytes"]
    n_sizes = online.groupby(places)["n_params"].transform("size").astype(float)
    announced = online.assign(total_bits=online["code_bits"].astype(float) + np.log2(n_sizes))
    return _least(announced.assign(detail="one pass"), "prequential online")


def _classical(study: Study) -> pd.DataFrame:
    """Of the same bytes, as everywhere."""
    places = (
        study.table.runs[["corpus", "group", "subset_bytes"]].drop_duplicates().sort_values(["group", "subset_bytes"])
    )
    known = places.merge(best_classical(study.table.baselines), on=["corpus", "subset_bytes"])
    details = [f"{row.coder}, {row.order} order" for row in known.itertuples()]
    total_bits = 8 * known["rate"].astype(float) * known["subset_bytes"]
    return _frame(known.assign(code="best classical coder", n_params=np.nan, detail=details, total_bits=total_bits))


def write(rows: list[Json]) -> list[Block]:
    """One row a dataset size and kind of code; the shortest of each dataset size marked."""
    if not rows:
        return []
    places = list(dict.fromkeys((row["group"], row["subset_bytes"]) for row in rows))
    codes = list(dict.fromkeys(sorted((row["code"] for row in rows), key=CODES.index)))
    found = {(row["group"], row["subset_bytes"], row["code"]): row for row in rows}
    cells = [(format_bytes(d), *(_won(found.get((group, d, code))) for code in codes)) for group, d in places]
    missing = [code for code in CODES if code not in codes]
    text = (
        "Rate of everything that is sent, and the model size or coder that sends it; of sizes that were run. * marks "
        "the shortest that was measured of a dataset size. Prequential codes hold their first block, the choice of "
        "size and, for best snapshots, the sample that chose them. No decoder's program is counted, neither a model's "
        "nor a classical coder's; nor is the time. Prequential codes are ideal ones: their decoder has to repeat the "
        "training to the bit, which a GPU's, adding in no fixed order, does not allow."
    )
    coders = dict.fromkeys(row["detail"].split(",")[0] for row in rows if row["code"] == CODES[-1])
    sizes = [f"{coder} {format_bytes(_DECODER_BYTES[coder])}" for coder in coders if coder in _DECODER_BYTES]
    if sizes:
        text += (
            f" The compiled library that decodes (x86-64 Linux): {join(sizes)}; a model's is this package and torch."
        )
    if missing:
        text += f" Not measured: {join(missing)}."
    grid = named_grid(("dataset", *codes), cells, "l" + "r" * len(codes), [group for group, _ in places])
    return [Text(text), grid]


# Of zlib 1.2.13, libbz2 1.0.8, liblzma 5.4.1 and pyppmd 1.3.1 as installed, encoder and all.
_DECODER_BYTES = {"gzip": 121_280, "bzip2": 74_688, "xz": 190_456, "ppmd": 357_016, "ppmd-o6": 357_016}


def _won(row: Json | None) -> str:
    if row is None:
        return "–"
    who = format_count(row["n_params"]) if row["n_params"] else row["detail"].split(",")[0]
    return f"{format_percent(row['rate'])}, {who}{' *' if row['shortest'] else ''}"


register_section(
    WideSection(
        name="who_wins", title="Who wins, everything counted", write=lambda summary: write(summary["who_wins"])
    ),
)
