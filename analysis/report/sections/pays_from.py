"""From which dataset size on a model not trained here beats the best classical coder, its parameters counted.

Such a model is one and the same at every dataset size, so that its code and its price are known beyond those measured
as far as its rate stays what it is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.critical import crossing
from analysis.formatting import format_bytes, format_percent
from analysis.report.elements import Block, Text, named_grid
from analysis.report.rows.crossings import PaysFromRow
from analysis.report.section import Section, register_section
from analysis.study import Study


def measure(study: Study) -> list[PaysFromRow]:
    """A row per model that was not trained here, at the dataset sizes where a classical coder was run too."""
    points, rows = _points(study), []
    beside = study.critical[study.critical["classical_rate"].notna()]
    for group in dict.fromkeys(points["group"]):
        classical = beside[beside["group"] == group].set_index("subset_bytes")
        known = points[(points["group"] == group) & points["data_bytes"].isin(classical.index)]
        rows += [_row(group, own, classical) for _, own in known.groupby(["n_params", "size"], sort=True)]
    return rows


def _points(study: Study) -> pd.DataFrame:
    """Of each model by its name, two of one size too, and dataset size: the least of code and parameters, bits."""
    priced = study.cost.priced(study.table.cells, study.table.coded)
    cells = priced[(priced["n_steps"] == 0) & priced["own_bits"].notna()]
    points = cells.assign(
        data_bytes=cells["subset_bytes"],
        code_bits=cells["own_bits"],
        model_bits=cells["bits_per_param"] * cells["n_params"],
    )
    points = points.assign(total_bits=points["code_bits"] + points["model_bits"])
    key = ["group", "n_params", "size", "data_bytes"]
    return points.sort_values([*key, "total_bits", "run_id"]).drop_duplicates(key)


def _row(group: str, own: pd.DataFrame, classical: pd.DataFrame) -> PaysFromRow:
    """Of one model's points, ascending in D."""
    data = own["data_bytes"].to_numpy(np.float64)
    code, price = (own[name].to_numpy(np.float64) for name in ("code_bits", "model_bits"))
    best = classical.loc[own["data_bytes"]]
    saved = 8 * data * best["classical_rate"].to_numpy(np.float64) - code
    found = crossing(data, saved[None], price)
    row: PaysFromRow = {
        "group": group,
        "n_params": int(own["n_params"].iloc[0]),
        "size": str(own["size"].iloc[-1]),
        "from_bytes": None,
        "extrapolated": False,
        "message": "always",
        "first_bytes": int(data[0]),
        "subset_bytes": int(data[-1]),
        "raw_rate": float(code[-1] / (8 * data[-1])),
        "classical_rate": float(best["classical_rate"].iloc[-1]),
        "coder": str(best["coder"].iloc[-1]),
    }
    if found.crossed[0]:
        row |= {"from_bytes": float(found.subset_bytes[0]), "message": "crossed"}
    elif found.above[0] and saved[-1] > 0:
        row |= {"from_bytes": float(data[-1] * price[-1] / saved[-1]), "extrapolated": True, "message": "beyond"}
    elif found.above[0]:
        row["message"] = "never"
    return row


def write(rows: list[PaysFromRow]) -> list[Block]:
    """A line per model."""
    if not rows:
        return []
    text = (
        "Pays from: the dataset size from which on a model codes shorter than the best classical coder, its parameters "
        "counted. ≈: beyond what was measured, if both rates stay as they are at the largest dataset size. Never: at "
        "the largest dataset size the model's own code is no shorter than the classical coder's."
    )
    header = ("model", "parameters", "pays from", "of", "raw rate", "best classical coder")
    cells = [
        (
            row["size"],
            f"{row['n_params']:,}",
            _pays_from(row),
            format_bytes(row["subset_bytes"]),
            format_percent(row["raw_rate"]),
            f"{row['coder']} {format_percent(row['classical_rate'])}",
        )
        for row in rows
    ]
    return [Text(text), named_grid(header, cells, "lrrrrr", [row["group"] for row in rows])]


def _pays_from(row: PaysFromRow) -> str:
    if row["from_bytes"] is None:
        return f"≤ {format_bytes(row['first_bytes'])}" if row["message"] == "always" else "never"
    return ("≈ " if row["extrapolated"] else "") + format_bytes(row["from_bytes"])


register_section(
    Section(name="pays_from", title="From which dataset size on each model pays", measure=measure, write=write)
)
