"""What the explorer draws, as JSON: per group, training budget and code, a curve per dataset size in bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.codes import classical_of_subsets, fixed_sizes
from analysis.costs import PAPER, ParameterCost, known_costs
from analysis.critical import ENDS, Estimate, averages
from analysis.formatting import format_bytes
from analysis.records import Table
from analysis.study import Study, TwoPartCodes
from analysis.types import Json

PRICES_BITS = (0.5, 32.0)  # the slider's ends
_ENDS = ("low", "n", "high")
_KEY = ["group", "subset_bytes", "n_params"]
_NOT_ROUNDED = "Weights are not rounded; only the price changes."
_CODES = {
    "two-part": (
        "own subset, two-part",
        True,
        f"The code of the model's own training subset, and its parameters. {_NOT_ROUNDED}",
    ),
    "held-out": (
        "held-out rate × D",
        True,
        "What D unseen bytes would cost, and the parameters. What a model has memorized earns nothing. Seeds are "
        f"averaged. {_NOT_ROUNDED}",
    ),
    "prequential": (
        "block-prequential",
        False,
        "Each block is coded by the model trained on the blocks before it, the first at 8 bits per byte or by a "
        "classical coder. The decoder learns the parameters too, so they cost nothing (Blier & Ollivier 2018).",
    ),
}


def explorer_data(study: Study) -> Json:
    """All that the page shows; code lengths are means over seeds, in bits. See `_group` for what a group has."""
    own = _own_prices(study.cost)
    tables = (study.table, *study.shorter)
    shorter = [(table, TwoPartCodes(table, like=study.codes)) for table in study.shorter]
    budgets = [
        _budget(table, codes, study.cost, own, is_reported=codes is study.codes)
        for table, codes in [(study.table, study.codes), *shorter]
    ]
    names = [_budget_name(i, table) for i, table in enumerate(tables)]
    start = study.cost.bits_per_param if study.cost.bytes_per_param is not None else PAPER.bits_per_param
    return {
        "name": study.table.name,
        "code": next((key for key, cost in own.items() if cost == study.cost), "two-part"),
        "bits_per_param": min(max(start or 0.0, PRICES_BITS[0]), PRICES_BITS[1]),
        "fitted_bits": start,
        "prices": {cost.name: cost.bits_per_param for cost in known_costs() if cost.bytes_per_param},
        "groups": [_group(study, group, budgets, names) for group in dict.fromkeys(study.rates["group"])],
    }


def _own_prices(of_study: ParameterCost) -> dict[str, ParameterCost]:
    """By the code's key, prices that are no number, which the slider cannot set; the study's own among them."""
    every = [cost for cost in known_costs(of_study) if cost.bytes_per_param is None]
    return {cost.name if cost.name not in _CODES else f"price {cost.name}": cost for cost in every}


def _group(study: Study, group: str, budgets: list[dict[str, list[Json]]], names: list[str]) -> Json:
    """name; colors and classical coders by dataset size; law, that of the report; budgets, the longest first."""
    sizes = sorted({int(d) for d in study.rates.loc[study.rates["group"] == group, "subset_bytes"]})
    colors = dict(zip(map(str, sizes), _colors(len(sizes)), strict=True))
    law = study.laws[group]
    cost = {"cost": study.cost.name, "is_number": study.cost.bytes_per_param is not None}
    known = {"gamma": law.gamma, "low": law.gamma_low, "high": law.gamma_high, **cost}
    trained = [
        {"name": name, "codes": codes[group]} for name, codes in zip(names, budgets, strict=True) if group in codes
    ]
    classical = _classical(study, group)
    return {"name": group, "colors": colors, "classical": classical, "law": known, "budgets": trained}


def _colors(n: int) -> list[list[str]]:
    """The figures' own, for light and for dark paper."""
    from matplotlib.colors import to_hex

    from analysis.plots import ordered_colors

    pairs = zip(ordered_colors(n), ordered_colors(n, on_dark=True), strict=True)
    return [[to_hex(color) for color in pair] for pair in pairs]


def _classical(study: Study, group: str) -> Json:
    """By dataset size, every coder's name and rate, the least first."""
    corpus = study.rates.loc[study.rates["group"] == group, "corpus"].iloc[0]
    coders = classical_of_subsets(study.table.baselines)
    coders = coders[coders["corpus"] == corpus]
    return {
        str(int(str(d))): [[str(coder), float(rate)] for coder, rate in zip(own["coder"], own["rate"], strict=True)]
        for d, own in coders.groupby("subset_bytes")
    }


def _budget_name(halvings: int, table: Table) -> str:
    """The longest training: 24,000 steps, 98.3 MB; then about 1/2 of it, about 1/4 …"""
    whole = "the longest" if halvings == 0 else f"about 1/{2**halvings} of the longest"
    steps, seen = table.cells["n_steps"].dropna(), table.cells["bytes_seen"].dropna()
    if not len(steps):
        return whole
    told = [_from_to(f"{int(steps.min()):,}", f"{int(steps.max()):,}") + " steps"]
    return f"{whole} ({told[0]}, {_from_to(format_bytes(seen.min()), format_bytes(seen.max()))} read)"


def _from_to(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _budget(
    table: Table, two_part: TwoPartCodes, cost: ParameterCost, own: dict[str, ParameterCost], *, is_reported: bool
) -> dict[str, list[Json]]:
    """The codes of every group that was trained so long; `cost`: the study's. The report compares prices of one."""
    of_slider = PAPER if cost.bytes_per_param is None else cost
    frames = {
        "two-part": _of_cells(two_part.under(PAPER)),
        **{key: _at_own_price(two_part.under(price)) for key, price in own.items()},
        "held-out": _held_out(two_part.under(PAPER)),
        "prequential": _prequential(table),
    }
    named = [of_slider, *(price for price in known_costs() if price.bytes_per_param)] if is_reported else [of_slider]
    fits = {"two-part": {price.bits_per_param or 0.0: _estimates(two_part, price) for price in named}}
    fits |= {key: {0.0: _estimates(two_part, price)} for key, price in own.items() if len(frames[key])}
    return {
        group: [
            _code(key, frame, group, own.get(key), fits.get(key, {}))
            for key, frame in frames.items()
            if (frame["group"] == group).any()
        ]
        for group in dict.fromkeys(frames["two-part"]["group"])
    }


def _at_own_price(chosen: pd.DataFrame) -> pd.DataFrame:
    """A price that the slider cannot set: with the bits per parameter of every size."""
    return _of_cells(chosen).rename(columns={"bits_per_param": "prices"})


def _held_out(chosen: pd.DataFrame) -> pd.DataFrame:
    """Held-out rate × 8 D bits, over the seeds whose held-out part was coded."""
    chosen = chosen[chosen["heldout_bits"].notna() & (chosen["heldout_bytes"] > 0)]
    bits = 8 * chosen["subset_bytes"] * (chosen["heldout_bits"] / (8 * chosen["heldout_bytes"]))
    return _of_cells(chosen.assign(own_bits=bits + chosen["tokenizer_bits"]))


def _of_cells(chosen: pd.DataFrame) -> pd.DataFrame:
    """Over replicates: bits, as the report averages them, bits_per_param, sd, n_seeds, size, heldout_rate and sent:

    the tokenizer's part of the bits, which is in the adjusted rate alone.
    """
    mean = averages(chosen).rename(columns={"own_bits": "bits"})
    spread = _averaged(chosen.rename(columns={"own_bits": "bits"})).drop(columns="bits")
    unseen = chosen["heldout_bits"] / (8 * chosen["heldout_bytes"]).replace(0, np.nan)
    sent = chosen.groupby(_KEY[:2])["tokenizer_bits"].transform("mean")
    more = chosen.assign(heldout_rate=unseen, sent=sent).groupby(_KEY, as_index=False)[["heldout_rate", "sent"]].mean()
    return spread.merge(mean, on=_KEY).merge(more, on=_KEY)


def _prequential(table: Table) -> pd.DataFrame:
    """Without the smallest dataset size, whose code no model makes."""
    named = fixed_sizes(table).rename(columns={"raw_bytes": "subset_bytes", "code_bits": "bits"})
    sizes = table.cells[["group", "n_params", "size"]].drop_duplicates(["group", "n_params"])
    return _averaged(named.merge(sizes, on=["group", "n_params"]))


def _averaged(frame: pd.DataFrame) -> pd.DataFrame:
    """Over seeds: bits, sd, n_seeds and size."""
    return frame.groupby(_KEY, as_index=False).agg(
        size=("size", "first"), bits=("bits", "mean"), sd=("bits", "std"), n_seeds=("bits", "size")
    )


_Estimates = dict[tuple[str, int], Estimate]


def _estimates(two_part: TwoPartCodes, cost: ParameterCost) -> _Estimates:
    """By group and dataset size."""
    return {(one.column.group, one.column.subset_bytes): one for one in two_part.estimates(cost)}


def _law(estimate: Estimate, *, at_any_price: bool) -> Json | None:
    """Places in N, the code there, and N of the outermost shapes that the law goes by;

    at any price: the prices at which the places are the ends and the middle of N*'s interval.
    """
    minimum = estimate.minimum
    if minimum is None:
        return None
    at = np.exp(minimum.log_n).tolist()
    law: Json = {"at": at, "code": [minimum.code_bits(n) for n in at], "window": np.exp(minimum.window).tolist()}
    if at_any_price:
        law["prices"] = {name: minimum.prices(share).tolist() for name, share in zip(_ENDS, ENDS, strict=True)}
    return law


def _found(estimate: Estimate) -> Json | None:
    """N* and its interval as the report has them; the law's prices would give them but for its places' distance."""
    row = estimate.row
    if row["status"] != "bracketed" or estimate.minimum is None:
        return None
    n, rate, raw = (float(str(row[name])) for name in ("n_params", "adjusted_rate", "raw_rate"))
    bits = 8 * estimate.column.subset_bytes
    return {"n": n, "low": row["low"], "high": row["high"], "total": rate * bits, "code": raw * bits}


def _code(key: str, frame: pd.DataFrame, group: str, cost: ParameterCost | None, fits: dict[float, _Estimates]) -> Json:
    """`cost`: that of a code with a price of its own. `fits`: by bits a parameter; the first is that of any price."""
    if cost is None:
        name, priced, note = _CODES[key]
    else:
        name, priced = f"own subset, {cost.label}", False
        note = f"Two-part: the code of the model's own training subset, and its parameters. {cost.sentence}"
    rows_of_group = frame[frame["group"] == group].sort_values(_KEY)
    columns = {"n_params": "n", "bits": "bits", "sd": "sd", "n_seeds": "n_seeds", "size": "size"}
    columns |= {"heldout_rate": "heldout_rate"} if "heldout_rate" in frame else {}
    columns |= {"prices": "prices"} if cost else {}
    curves = []
    for subset_bytes, rows in rows_of_group.groupby("subset_bytes", sort=True):
        values: Json = {short: _nulls(rows[column]) for column, short in columns.items()}
        at = [(bits, found.get((group, int(str(subset_bytes))))) for bits, found in fits.items()]
        values["fits"] = [
            {"bits": bits, "found": _found(one), "law": _law(one, at_any_price=cost is None and i == 0)}
            for i, (bits, one) in enumerate(at)
            if one
        ]
        if "sent" in rows and rows["sent"].iloc[0]:
            values["sent"] = float(rows["sent"].iloc[0])
        curves.append({"d": int(str(subset_bytes)), **values})
    own = {"own_price": cost.noun if cost else None, "own_name": cost.label if cost else None}
    return {"key": key, "name": name, "priced": priced, **own, "note": note, "curves": curves}


def _nulls(column: pd.Series[Any]) -> list[Any]:
    """Plain values, None for NaN."""
    return [None if pd.isna(value) else value for value in column.tolist()]
