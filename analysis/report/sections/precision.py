"""Critical sizes when every weight is coded at one nominal precision, against the law of the price N* ∝ c^(−1/(1+α)).

The data are coded by the weights as they decode, so a precision pays for what rounding costs the data; c is the actual
size of the coded weights, what one more parameter costs at N*.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.costs import PAPER, parse_cost
from analysis.report.sections.parameter_costs import side_by_side
from analysis.study import Study
from analysis.types import Json

_N_STEPS = 40
LINES = ["group", "subset_bytes", "bits_per_param", "n_params"]


def precisions(study: Study) -> list[Json]:
    """Rows as of `cost_models.side_by_side`: the paper's float16, every precision in the records from the most bits

    down, and the shortest for each dataset size (coded). No rows without coded weights.
    """
    known = sorted({int(bits) for bits in study.table.coded["precision_bits"]}, reverse=True)
    if not known:
        return []
    return side_by_side(study, [PAPER, *(parse_cost(f"coded{bits}") for bits in known), parse_cost("coded")])


def law_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """The law through float16's critical size: LINES over the c of `rows`, columns as of `precisions`."""
    lines = []
    for (group, subset_bytes), own in rows[rows["n_predicted"].notna()].groupby(["group", "subset_bytes"]):
        known = np.log(own[["bits_per_param", "n_predicted"]].astype(float).sort_values("bits_per_param"))
        x = np.linspace(known["bits_per_param"].min(), known["bits_per_param"].max(), _N_STEPS)
        y = np.interp(x, known["bits_per_param"], known["n_predicted"])  # exact: the predictions lie on one line
        line = {"group": group, "subset_bytes": subset_bytes, "bits_per_param": np.exp(x), "n_params": np.exp(y)}
        lines.append(pd.DataFrame(line))
    return pd.concat(lines) if lines else pd.DataFrame(columns=LINES)


def nominal(name: str) -> str:
    """A row's cost in a table: float16, 4 bits, shortest."""
    bits = parse_cost(name).precision_bits
    return f"{bits} bits" if bits is not None else "shortest" if name == "coded" else name
