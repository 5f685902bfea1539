"""The explorer: one self-contained page in which the price of a parameter and the code can be chosen."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.codes import fixed_sizes
from analysis.costs import PAPER, ParameterCost, known_costs
from analysis.critical import ENDS, Estimate, averages, columns, estimate_all
from analysis.study import Study, shortest_codes
from analysis.types import Json

_SCRIPTS = ("explorer_critical.js", "explorer_draw.js", "explorer.js")
PRICES_BITS = (0.5, 32.0)  # the slider's ends
_KEY = ["group", "subset_bytes", "n_params"]
_CODES = {
    "two-part": ("own subset, two-part", True, "The code of the model's own training subset, and its parameters."),
    "held-out": (
        "held-out rate × D",
        True,
        "What D unseen bytes would cost, and the parameters. What a model has memorized earns nothing. Seeds are "
        "averaged.",
    ),
    "prequential": (
        "block-prequential",
        False,
        "Each block is coded by the model trained on the blocks before it, the first at 8 bits per byte or by a "
        "classical coder. The decoder learns the parameters too, so they cost nothing (Blier & Ollivier 2018).",
    ),
}


def _own_prices(study: Study) -> dict[str, ParameterCost]:
    """By the code's key, prices that are no number, which the slider cannot set; the study's own among them."""
    every = [cost for cost in known_costs(study.cost) if cost.bytes_per_param is None]
    return {cost.name if cost.name not in _CODES else f"price {cost.name}": cost for cost in every}


def page(study: Study, subtitle: str, nothing: str = "", article: str = "") -> str:
    """The page as HTML. It loads nothing from anywhere; `nothing` is what it says where no cell was coded.

    `article`: the report itself as HTML, which stands below what can be chosen.
    """
    data = explorer_data(study) | {"subtitle": subtitle, "nothing": nothing}
    # Inside a script element only "<" can end the data.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, sort_keys=True).replace("<", "\\u003c")
    pieces = {
        "title": html.escape(f"{study.table.name}: critical model sizes"),
        "style": _template("explorer.css"),
        "script": "".join(map(_template, _SCRIPTS)),
        "data": text,
        "article": article,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: pieces[place[1]], _template("explorer.html"))


def _template(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def explorer_data(study: Study) -> Json:
    """What the page draws: per group and code, a curve per dataset size with mean code lengths in bits."""
    own = _own_prices(study)
    frames = {
        "two-part": _own_subset(study),
        **{key: _at_own_price(study, cost) for key, cost in own.items()},
        "held-out": _held_out(study),
        "prequential": _prequential(study),
    }
    laws = {"two-part": _estimates(study, PAPER if study.cost.bytes_per_param is None else study.cost)}
    laws |= {key: _estimates(study, cost) for key, cost in own.items()}
    groups = []
    for group in dict.fromkeys(study.rates["group"]):
        codes = [
            _code(key, frame, group, own.get(key), laws.get(key, {}))
            for key, frame in frames.items()
            if (frame["group"] == group).any()
        ]
        groups.append({"name": group, "codes": codes})
    start = study.cost.bits_per_param if study.cost.bytes_per_param is not None else PAPER.bits_per_param
    bits = min(max(start or 0.0, PRICES_BITS[0]), PRICES_BITS[1])
    prices = {cost.name: cost.bits_per_param for cost in known_costs() if cost.bytes_per_param}
    code = next((key for key, cost in own.items() if cost == study.cost), "two-part")
    return {"name": study.table.name, "code": code, "bits_per_param": bits, "prices": prices, "groups": groups}


def _own_subset(study: Study) -> pd.DataFrame:
    """By the weights as trained, which is what the slider's prices are of."""
    if study.cost.is_coded:
        return _of_cells(shortest_codes(study.table))
    rates = study.rates
    return rates.assign(bits=rates["code_bits"] + 8 * rates["tokenizer_bytes"], sd=rates["code_bits_sd"])


def _at_own_price(study: Study, cost: ParameterCost) -> pd.DataFrame:
    """A price that the slider cannot set: with the bits per parameter of every size."""
    return _of_cells(shortest_codes(study.table, cost)).rename(columns={"bits_per_param": "prices"})


def _held_out(study: Study) -> pd.DataFrame:
    """Held-out rate × 8 D bits, over the seeds whose held-out part was coded."""
    chosen = shortest_codes(study.table)
    chosen = chosen[chosen["heldout_bits"].notna() & (chosen["heldout_bytes"] > 0)]
    bits = 8 * chosen["subset_bytes"] * (chosen["heldout_bits"] / (8 * chosen["heldout_bytes"]))
    return _of_cells(chosen.assign(own_bits=bits + chosen["tokenizer_bits"]))


def _of_cells(chosen: pd.DataFrame) -> pd.DataFrame:
    """Over replicates: bits, as the report averages them, bits_per_param, sd, n_seeds and size."""
    mean = averages(chosen).rename(columns={"own_bits": "bits"})
    return _averaged(chosen.rename(columns={"own_bits": "bits"})).drop(columns="bits").merge(mean, on=_KEY)


def _prequential(study: Study) -> pd.DataFrame:
    """Without the smallest dataset size, whose code no model makes."""
    named = fixed_sizes(study.table).rename(columns={"raw_bytes": "subset_bytes", "code_bits": "bits"})
    sizes = study.rates[["group", "n_params", "size"]].drop_duplicates(["group", "n_params"])
    return _averaged(named.merge(sizes, on=["group", "n_params"]))


def _averaged(frame: pd.DataFrame) -> pd.DataFrame:
    """Over seeds: bits, sd, n_seeds and size."""
    return frame.groupby(_KEY, as_index=False).agg(
        size=("size", "first"), bits=("bits", "mean"), sd=("bits", "std"), n_seeds=("bits", "size")
    )


_Estimates = dict[tuple[str, int], Estimate]


def _estimates(study: Study, cost: ParameterCost) -> _Estimates:
    """By group and dataset size."""
    found = estimate_all(columns(shortest_codes(study.table, cost)))
    return {(one.column.group, one.column.subset_bytes): one for one in found}


def _at_any_price(estimate: Estimate) -> Json | None:
    """Places in N, the code there, and the prices at which these are the ends and the middle of N*'s interval."""
    minimum = estimate.minimum
    if minimum is None:
        return None
    ends = {name: minimum.prices(share).tolist() for name, share in zip(("low", "n", "high"), ENDS, strict=True)}
    at = np.exp(minimum.log_n)
    return {"at": at.tolist(), "code": [minimum.code_bits(n) for n in at.tolist()], "prices": ends}


def _at_own_prices(estimate: Estimate) -> Json | None:
    """N* and its interval, where it lies in the grid."""
    row = estimate.row
    if row["status"] != "bracketed":
        return None
    n, rate, raw = (float(str(row[name])) for name in ("n_params", "adjusted_rate", "raw_rate"))
    bits = 8 * estimate.column.subset_bytes
    return {"n": n, "low": row["low"], "high": row["high"], "total": rate * bits, "code": raw * bits}


def _code(key: str, frame: pd.DataFrame, group: str, cost: ParameterCost | None, laws: _Estimates) -> Json:
    """`cost`: that of a code with a price of its own."""
    if cost is None:
        name, priced, note = _CODES[key]
    else:
        name, priced = f"own subset, {cost.label}", False
        note = f"Two-part: the code of the model's own training subset, and its parameters. {cost.sentence}"
    own = frame[frame["group"] == group].sort_values(_KEY)
    columns = {"n_params": "n", "bits": "bits", "sd": "sd", "n_seeds": "n_seeds", "size": "size"}
    columns |= {"heldout_rate": "heldout_rate"} if "heldout_rate" in own else {}
    columns |= {"prices": "prices"} if cost else {}
    curves = []
    for subset_bytes, rows in own.groupby("subset_bytes", sort=True):
        values: Json = {short: _nulls(rows[column]) for column, short in columns.items()}
        estimate = laws.get((group, int(str(subset_bytes))))
        if estimate and cost:
            values["found"] = _at_own_prices(estimate)
        elif estimate:
            values["law"] = _at_any_price(estimate)
        curves.append({"d": int(str(subset_bytes)), **values})
    own_price = cost.noun if cost else None
    return {"key": key, "name": name, "priced": priced, "own_price": own_price, "note": note, "curves": curves}


def _nulls(column: pd.Series[Any]) -> list[Any]:
    """Plain values, None for NaN."""
    return [None if pd.isna(value) else value for value in column.tolist()]
