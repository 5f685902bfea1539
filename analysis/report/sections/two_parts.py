"""The two parts of the code at the critical size, and how much of its subset a model of that size knows by heart.

A bit that a parameter takes of the own subset beyond what it takes of unseen bytes is a bit learned by heart. At the
critical size one more parameter saves just what it costs, so this is the rate at which memory stops paying.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.costs import CAPACITY_BITS
from analysis.formatting import format_beside, format_bytes, format_known, format_percent
from analysis.records import Row, rows_of
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.critical import TwoPartsRow
from analysis.report.section import WideSection, register_section
from analysis.report.sections.answer_table import sizes_in_print
from analysis.report.summary_keys import Summary
from analysis.study import Study

_PLACE = ["group", "subset_bytes"]


def measure(study: Study) -> list[TwoPartsRow]:
    """A row per bracketed critical size; nothing is known by heart where no bytes behind the subset were coded."""
    found = study.critical[study.critical["status"] == "bracketed"]
    memorised = dict(list(memorised_bits(study).groupby(_PLACE)))
    return [_parts(row, memorised.get((row["group"], row["subset_bytes"]))) for row in rows_of(found)]


def _parts(critical: Row, memorised: pd.DataFrame | None) -> TwoPartsRow:
    """Of a row of `Study.critical`."""
    n_params, n_bits = float(critical["n_params"]), 8 * critical["subset_bytes"]
    data, total = critical["raw_rate"] * n_bits, critical["adjusted_rate"] * n_bits
    by_heart = None
    if memorised is not None:
        # The bits change little from shape to shape; those per parameter fall as 1/N, which no straight line follows.
        bits = np.interp(np.log(n_params), np.log(memorised["n_params"]), memorised["memorised_bits"])
        by_heart = float(bits / n_params)
    return {
        "group": critical["group"],
        "subset_bytes": critical["subset_bytes"],
        "n_params": n_params,
        "model_bits": total - data,
        "data_bits": data,
        "model_share": 1 - data / total,
        "memorised_bits_per_param": by_heart,
    }


def memorised_bits(study: Study) -> pd.DataFrame:
    """group, subset_bytes, n_params and memorised_bits, by which the own subset is shorter than as many of the bytes

    that follow it in the same shuffle, means over seeds, of the weights as they were trained. A held-out part is no
    measure of it: other files may be harder.
    """
    own, key = ["run_id", "snapshot"], [*_PLACE, "n_params"]
    chosen = study.codes.under(study.cost)[[*own, *key]]
    cells = chosen.merge(study.table.cells[[*own, "own_bits"]], on=own)
    cells = cells.merge(_following(study.table.segments, cells), on=own)
    bits = cells["following_bits_per_byte"] * cells["subset_bytes"] - cells["own_bits"]
    return cells.assign(memorised_bits=bits).groupby(key, as_index=False)[["memorised_bits"]].mean()


def _following(segments: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """run_id, snapshot, following_bits_per_byte of what was coded of the training part behind the own subset."""
    own = ["run_id", "snapshot"]
    behind = segments[segments["part"] == "train"].merge(cells[[*own, "subset_bytes"]], on=own)
    behind = behind[behind["start_bytes"] >= behind["subset_bytes"]]
    behind = behind.assign(n_bytes=behind["end_bytes"] - behind["start_bytes"])
    found = behind.groupby(own, as_index=False)[["code_bits", "n_bytes"]].sum()
    return found.assign(following_bits_per_byte=found["code_bits"] / found["n_bytes"])[
        [*own, "following_bits_per_byte"]
    ]


def write(summary: Summary) -> list[Block]:
    """A line per dataset size."""
    rows, sizes = summary["two_parts"], sizes_in_print(summary)
    if not rows:
        return []
    text = (
        "The two parts of the description at the critical size: the bytes of the parameters, and the bytes of the data "
        "given the parameters."
    )
    if any(row["memorised_bits_per_param"] is not None for row in rows):
        text += (
            " By heart: how many bits shorter the own subset is than the same number of bytes that follow it in the "
            "shuffle, divided by the parameters. A model that learns random data stores about "
            f"{CAPACITY_BITS} bits per parameter (Morris et al. 2025). At the critical size more memory no longer pays."
        )
    else:
        text += (
            " How many bits per parameter a model of this size knows by heart was not measured: that takes "
            "bytes behind the subset, which a sweep codes with measure.reach_ratio above 1."
        )
        if summary["memorising"]["largest_gap"]:
            text += (
                " The note on memorization compares the subset with held-out bytes instead. This shows which models "
                "memorize, but not how many bits, because held-out files may be harder."
            )
    ends = {(row["group"], row["subset_bytes"]): (row["low"], row["high"]) for row in summary["critical"]}
    header = ("dataset", "critical size", "model", "data", "model's share", "by heart, bits per parameter")
    cells = [
        (
            format_bytes(row["subset_bytes"]),
            sizes[row["group"], row["subset_bytes"]],
            _model(row, ends[row["group"], row["subset_bytes"]]),
            format_bytes(row["data_bits"] / 8),
            format_percent(row["model_share"]),
            format_known(row["memorised_bits_per_param"], lambda bits: f"{bits:.1f}"),
        )
        for row in rows
    ]
    return [Text(text), named_grid(header, cells, "lrrrrr", [row["group"] for row in rows])]


def _model(row: TwoPartsRow, ends: tuple[float | None, float | None]) -> str:
    """The parameters' bytes, of as many digits as their number."""
    return format_beside(row["model_bits"] / 8, row["n_params"], *ends, name=format_bytes)


register_section(
    WideSection(
        name="two_parts",
        title="The two parts of the code",
        measure=lambda study: {"two_parts": measure(study)},
        write=write,
        tables=(CsvTable("two_parts"),),
    ),
)
