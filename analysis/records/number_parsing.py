"""Numbers as people write them, a column at a time: 70M, 1.4T, "70,000,000", 70_000_000, 3,14.

What a comma or a dot means is decided by all values of a column together; where they leave it open nothing is guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.types import Floats

_SCALES = {
    "": 1.0,
    "k": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "mn": 1e6,
    "million": 1e6,
    "millions": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "g": 1e9,
    "billion": 1e9,
    "billions": 1e9,
    "t": 1e12,
    "tn": 1e12,
    "trillion": 1e12,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "tb": 1e12,
    "kib": 2.0**10,
    "mib": 2.0**20,
    "gib": 2.0**30,
    "tib": 2.0**40,
}
_MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "–", "?"}
_INFINITE = {"inf": math.inf, "+inf": math.inf, "infinity": math.inf, "-inf": -math.inf, "-infinity": -math.inf}
_UNIT = r"(?:params?|parameters?|tokens?|flops?|bytes?|bits?)"
_NUMBER = re.compile(
    rf"([-+]?)(\d[\d.,_'’ ]*|[.,]\d+)(?:\s*(?:e|[x×*·]\s*10\s*(?:\^|\*\*))\s*([-+]?\d+))?\s*([a-z]*?)\s*{_UNIT}?",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"\d{1,3}(?:[_'’ ]\d{3})+(?![\d_'’ ])|\d+(?:_\d+)+")
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2009\u202f\u2007\t"), " ") | {ord("−"): "-"}


@dataclass(frozen=True)
class Numbers:
    """`values` is NaN where `refused` says, by row, what was tried, and where nothing stands."""

    values: Floats
    _: KW_ONLY
    refused: dict[int, str] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)  # rows of `refused` that may be one number or another
    missing: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Refused:
    """Why a text is not read as a number."""

    reason: str
    is_doubtful: bool = False  # it may be one number or another


def read_numbers(column: pd.Series[Any]) -> Numbers:
    """A column's numbers; what is none is NaN, with a reason."""
    if pd.api.types.is_bool_dtype(column):
        return Numbers(
            np.full(len(column), np.nan),
            refused=dict.fromkeys(range(len(column)), "true and false are not numbers"),
        )
    if pd.api.types.is_numeric_dtype(column):
        values: Floats = column.to_numpy(np.float64, na_value=np.nan)
        return Numbers(values, missing=set(np.flatnonzero(np.isnan(values)).tolist()))
    texts = ["" if value is None else str(value).translate(_BLANKS).strip() for value in column]
    plain = [bool(_PLAIN.fullmatch(text)) for text in texts]
    read = (float(text) if is_plain else math.nan for text, is_plain in zip(texts, plain, strict=True))
    found = Numbers(np.fromiter(read, np.float64))
    others = [i for i, is_plain in enumerate(plain) if not is_plain]
    if others:
        _read_others(texts, others, found)
    return found


_PLAIN = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d{1,4})?", re.IGNORECASE)


def _read_others(texts: list[str], rows: list[int], found: Numbers) -> None:
    told = [texts[i] for i in rows]
    comma_is = _meaning(dict.fromkeys(texts))
    has_bytes = any(re.search(r"\d\s*[kmgt]i?b$", text, re.IGNORECASE) for text in told)
    known: dict[str, float | _Refused] = {}
    dots = [i for i, text in enumerate(texts) if "." in text] if comma_is in ("decimal", "both") else []
    for i in dict.fromkeys([*rows, *dots]):  # where a comma is the decimal sign, 1.234 is not what it looks like
        text = texts[i]
        if text not in known:
            known[text] = _number(text, comma_is, has_bytes)
        value = known[text]
        if isinstance(value, float):
            found.values[i] = value
            if math.isnan(value):
                found.missing.add(i)
            continue
        found.values[i], found.refused[i] = np.nan, value.reason
        if value.is_doubtful:
            found.doubtful.add(i)


def _number(text: str, comma_is: str | None, has_bytes: bool) -> float | _Refused:
    """Its value, NaN where nothing stands, or what was tried in vain."""
    if text.lower() in _MISSING:
        return math.nan
    if text.lower() in _INFINITE:
        return _INFINITE[text.lower()]
    match = _NUMBER.fullmatch(text)
    scale = _SCALES.get(match[4].lower()) if match else None
    if match is None or scale is None:
        return _Refused("tried as a number with k, M, B or T behind it")
    if match[4].lower() == "b" and has_bytes:
        return _Refused("it may be bytes or billions; write it out", is_doubtful=True)
    mantissa = _mantissa(match[2].strip(), _evidence(text) or comma_is)
    if mantissa is None:
        return _readings(match[2].strip())
    try:
        return float(f"{match[1]}{mantissa}e{match[3] or 0}") * scale
    except (ValueError, OverflowError):
        return _Refused("tried as a number")


def _mantissa(text: str, comma_is: str | None) -> str | None:
    """Digits and at most one dot, or None where it is not clear what its signs mean."""
    if _GROUPED.match(text):
        text = re.sub(r"(?<=\d)[_'’ ](?=\d)", "", text)
    if re.search(r"[_'’ ]", text):
        return None
    if "," not in text and ("." not in text or comma_is in (None, "grouping")):
        return text if text.count(".") <= 1 else text.replace(".", "") if _in_threes(text, ".") else None
    if comma_is not in ("decimal", "grouping"):
        return None
    decimal, grouping = (",", ".") if comma_is == "decimal" else (".", ",")
    whole, _, fraction = text.partition(decimal)
    if grouping in fraction or decimal in fraction or (grouping in whole and not _in_threes(whole, grouping)):
        return None
    return f"{whole.replace(grouping, '')}.{fraction}"


def _in_threes(text: str, sign: str) -> bool:
    return bool(re.fullmatch(rf"\d{{1,3}}(?:{re.escape(sign)}\d{{3}})+", text))


def _meaning(texts: Iterable[str]) -> str | None:
    """What a comma is in a column: `decimal`, `grouping`, `both` where its values do not agree, None if none says."""
    said = {meaning for text in texts if (meaning := _evidence(text))}
    return "both" if len(said) > 1 else next(iter(said), None)


def _evidence(text: str) -> str | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits, has_exponent = match[2].strip(), bool(match[3])
    commas, dots = digits.count(","), digits.count(".")
    if commas and dots:
        return "decimal" if digits.rindex(",") > digits.rindex(".") else "grouping"
    if commas > 1:
        return "grouping"
    if dots > 1:
        return "decimal"
    sign = "," if commas else "."
    whole, found, fraction = digits.partition(sign)
    if not found or (len(fraction) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0" and not has_exponent):
        return None
    return "decimal" if sign == "," else "grouping"


def _readings(text: str) -> _Refused:
    without = re.sub(r"[,.]", "", text)
    if len(text) - len(without) == 1 and without.isdigit():
        both = f"it may be {without} or {text.replace(',', '.')}, and the column does not say which"
        return _Refused(both, is_doubtful=True)
    return _Refused("its commas and dots do not agree with the rest of the column")
