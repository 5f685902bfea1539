"""Sizes in bytes as people write them, and as people read them."""

from __future__ import annotations

import re
from fractions import Fraction
from numbers import Integral
from typing import Any

from mdl.errors import MdlError, quoted

_FACTORS = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?)\s*([a-z]*)", re.IGNORECASE)


def parse_bytes(size: Any) -> int:
    """Bytes of 65536, '1e6', '300KB' (decimal), '64KiB' (binary); MdlError for anything that is no whole number ≥ 0."""
    if isinstance(size, bool) or not isinstance(size, int | float | str):
        raise MdlError(f"{quoted(size)} is not a size in bytes; write 65536, 1e6, 300KB or 64KiB")
    match = _SIZE.fullmatch(str(size).strip())
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise MdlError(f"{quoted(size)} is not a size in bytes; write 65536, 1e6, 300KB or 64KiB")
    n_bytes = Fraction(match[1].replace("_", "")) * factor  # exact: 0.57 * 100 in floating point is no whole number
    if n_bytes.denominator != 1:
        raise MdlError(f"{quoted(size)} is not a whole number of bytes")
    return int(n_bytes)


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """A value of any type of whole numbers, NumPy's too; MdlError for all else, and for what is below `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise MdlError(f"{name} is {quoted(value)}; give a whole number from {least} on")
    return int(value)


def format_bytes(n_bytes: float) -> str:
    """Three significant digits for people: 1 MB, 262 KB, 1.05 MB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if n_bytes >= factor * 0.9995:
            return f"{float(f'{n_bytes / factor:.3g}'):g} {unit}"
    return f"{n_bytes:g} B"


def counted(n: int, what: str) -> str:
    """1 cell, 2 cells."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def short_bytes(n_bytes: int) -> str:
    """Exact, for names: 1MB, 300KB, 65536B."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if n_bytes and n_bytes % factor == 0:
            return f"{n_bytes // factor}{unit}"
    return f"{n_bytes}B"


def format_seconds(seconds: float) -> str:
    """For people: 40 s, 2 min 10 s, 12 min, 3 h 20 min, 2 days 4 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 595:
        minutes, tens = divmod(round(seconds / 10), 6)
        return f"{minutes} min {10 * tens} s" if tens else f"{minutes} min"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"


VOCABULARY = 256  # bytes
