"""The explorer: one self-contained page in which the price of a parameter and the code can be chosen."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.cost import PRICES_BYTES
from analysis.rates import prequential
from analysis.study import Study, shortest_codes

Json = dict[str, Any]
_SCRIPTS = ("explorer_critical.js", "explorer_draw.js", "explorer.js")
PRICES_BITS = (0.5, 32.0)  # the slider's ends
_KEY = ["group", "subset_bytes", "n_params"]
_CODES = {
    "two-part": ("own subset, two-part", True, "The code of the model's own training subset, and its parameters."),
    "held-out": (
        "held-out rate × D", True,
        "What D unseen bytes would cost, and the parameters: what is known by heart earns nothing. Seeds are averaged.",
    ),
    "prequential": (
        "block-prequential", False,
        "Each block is coded by the model trained on the blocks before it, the first at 8 bits a byte: parameters are "
        "learned by the decoder too and cost nothing (Blier & Ollivier 2018).",
    ),
}  # fmt: skip


def page(study: Study, subtitle: str, nothing: str = "") -> str:
    """The page as HTML. It loads nothing from anywhere; `nothing` is what it says where no cell was coded."""
    data = explorer_data(study) | {"subtitle": subtitle, "nothing": nothing}
    # Inside a script element only "<" can end the data.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, sort_keys=True).replace("<", "\\u003c")
    pieces = {
        "title": html.escape(f"{study.table.name}: critical model sizes"),
        "style": _template("explorer.css"),
        "script": "".join(map(_template, _SCRIPTS)),
        "data": text,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: pieces[place[1]], _template("explorer.html"))


def _template(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def explorer_data(study: Study) -> Json:
    """What the page draws: per group and code, a curve a dataset size with mean code lengths in bits."""
    frames = {
        "two-part": _own_subset(study),
        "held-out": _held_out(study),
        "prequential": _prequential(study),
    }
    groups = []
    for group in dict.fromkeys(study.rates["group"]):
        codes = [_code(key, frame, group) for key, frame in frames.items() if (frame["group"] == group).any()]
        groups.append({"name": group, "codes": codes})
    bits = min(max(study.cost.bits_per_param, PRICES_BITS[0]), PRICES_BITS[1])
    prices = {name: 8 * n_bytes for name, n_bytes in PRICES_BYTES.items() if n_bytes}
    return {"name": study.table.name, "bits_per_param": bits, "prices": prices, "groups": groups}


def _own_subset(study: Study) -> pd.DataFrame:
    return study.rates.assign(bits=study.rates["code_bits"], sd=study.rates["code_bits_sd"])


def _held_out(study: Study) -> pd.DataFrame:
    """Held-out rate × 8 D bits, over the seeds whose held-out part was coded."""
    chosen = shortest_codes(study.table.cells)
    chosen = chosen[chosen["heldout_bits"].notna() & (chosen["heldout_bytes"] > 0)]
    bits = 8 * chosen["subset_bytes"] * (chosen["heldout_bits"] / (8 * chosen["heldout_bytes"]))
    return _averaged(chosen.assign(bits=bits))


def _prequential(study: Study) -> pd.DataFrame:
    """Without the smallest dataset size, whose code is 8 bits a byte whatever the model."""
    chains = prequential(study.table.cells, study.table.segments)
    named = chains.rename(columns={"raw_bytes": "subset_bytes", "code_bits": "bits"})
    named = named[named["subset_bytes"] > named.groupby("group")["subset_bytes"].transform("min")]
    sizes = study.rates[["group", "n_params", "size"]].drop_duplicates(["group", "n_params"])
    return _averaged(named.merge(sizes, on=["group", "n_params"]))


def _averaged(frame: pd.DataFrame) -> pd.DataFrame:
    """Over seeds: bits, sd, n_seeds and size."""
    return frame.groupby(_KEY, as_index=False).agg(
        size=("size", "first"), bits=("bits", "mean"), sd=("bits", "std"), n_seeds=("bits", "size")
    )


def _code(key: str, frame: pd.DataFrame, group: str) -> Json:
    name, priced, note = _CODES[key]
    own = frame[frame["group"] == group].sort_values(_KEY)
    columns = {"n_params": "n", "bits": "bits", "sd": "sd", "n_seeds": "n_seeds", "size": "size"}
    columns |= {"heldout_rate": "heldout_rate"} if "heldout_rate" in own else {}
    curves = []
    for subset_bytes, rows in own.groupby("subset_bytes", sort=True):
        values = {short: _nulls(rows[column]) for column, short in columns.items()}
        curves.append({"d": int(str(subset_bytes)), **values})
    return {"key": key, "name": name, "priced": priced, "note": note, "curves": curves}


def _nulls(column: pd.Series[Any]) -> list[Any]:
    """Plain values, None for NaN."""
    return [None if pd.isna(value) else value for value in column.tolist()]
