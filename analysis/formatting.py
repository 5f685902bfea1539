"""Numbers as people read them. Everything else in `analysis` keeps bytes, bits, counts and fractions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

_BASE, _EXPONENT = r"[NDEc)\d]", r"(?:\(−?1/\(1\+a\)\)|\(γ−1\)|−?[αβγκa]\b|−?\d+(?:\.\d+)?|−?½)"
POWER = rf"{_BASE}\^{_EXPONENT}"  # such as D^γ, c^(−1/(1+a)), (D / 1 MB)^0.78
_POWER = re.compile(rf"(?<={_BASE})\^({_EXPONENT})")
_UNIT = re.compile(
    r"(?<=\d) (?=(?:%|[KMGT]B?|B|s|min|h|ms)(?![\w/]))"  # 3.7 K
    r"|(?<=[≤≥×]) (?=\d)|(?<=D /) (?=\d)|(?<=\(D) (?=/ \d)"  # ≤ 3.7 K, × 1.15, (D / 1 MB)
    r"|(?<=[αβγδ]|\ba) (?== \d)|(?<=[αβγδ] =|\ba =) (?=\d)"  # γ = 0.77
)


def exponents_apart(text: str) -> list[str]:
    """The pieces of a text: every second one is an exponent, to be raised."""
    return _POWER.split(text)


def with_units(text: str) -> str:
    """No line ends between a number and its unit, or the sign before it."""
    return _UNIT.sub("\u00a0", text)


def format_bytes(n_bytes: float) -> str:
    """Three significant digits, decimal units: 100 KB, 262 KB, 1.05 MB."""
    return _scaled(n_bytes, (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1)))


def format_count(n: float) -> str:
    """Three significant digits: 2.84 K, 115 K, 3.21 M."""
    return _scaled(n, (("T", 1e12), ("G", 1e9), ("M", 1e6), ("K", 1e3), ("", 1)))


def format_size(n: float, low: float | None, high: float | None) -> str:
    """A critical size, of as many digits as its interval says are known: 15.7 K, or 16 K.

    Whatever prints one prints it by this, so that one size reads the same in every table, sentence and figure.
    """
    return format_count(known_digits(n, low, high))


def format_beside(value: float, n: float, low: float | None, high: float | None, name: Callable[[float], str]) -> str:
    """What was measured together with a critical size n, of as many digits as that one has: 1.2 MB beside 620 K."""
    ends = (None, None) if low is None or high is None else (low * value / n, high * value / n)
    return name(known_digits(value, *ends))


def format_about(n: float) -> str:
    """Two significant digits: 23 K, where the text says about."""
    return format_count(float(f"{n:.2g}"))


def known_digits(n: float, low: float | None, high: float | None) -> float:
    """A number rounded to the digits that its interval supports, two at the least; itself where there is none."""
    if low is None or high is None or not 0 < low < high < math.inf:
        return n
    error = (high - low) / (2 * n)
    supported = min(max(2, 1 - math.floor(math.log10(error))), 6)
    rounded = (float(f"{n:.{digits}g}") for digits in range(supported, 7))
    # A size at one end of its interval is not rounded out of it.
    return next((each for each in rounded if low <= each <= high or not low <= n <= high), n)


def format_number(value: float, n_digits: int = 3) -> str:
    """Three significant digits, or so many, of any number, such as FLOPs: 0.34, 407, 1.52e14; 130 of two digits."""
    if 1 <= abs(value) < 9995:
        return f"{float(f'{value:.{n_digits}g}'):.9g}"
    return f"{value:.{n_digits}g}".replace("e+0", "e").replace("e+", "e")


def format_signed(value: float, n_decimals: int) -> str:
    """A change, with a plus or a true minus sign: +0.3, −0.2."""
    return true_minus(f"{value:+.{n_decimals}f}")


def true_minus(number: str) -> str:
    """With the sign of the same width as a plus: −0.2."""
    return number.replace("-", "−")


def format_ratio(value: float) -> str:
    """Three significant digits of a number of times, written out: 0.563, 5.63, 1,970."""
    return f"{float(f'{value:.3g}'):,.9g}"


def _scaled(value: float, units: tuple[tuple[str, float], ...]) -> str:
    # 0.9995: what would be rounded to 1000 of a unit is 1 of the next.
    unit, factor = next(((u, f) for u, f in units if value >= 0.9995 * f), units[-1])
    return f"{float(f'{value / factor:.3g}'):g} {unit}".strip()


def format_percent(rate: float) -> str:
    """A fraction in print, ×100: 44.3 %, 6430 %."""
    percent = 100 * rate
    return f"{percent:.1f} %" if percent < 999.95 else f"{float(f'{percent:.3g}'):,.0f} %"


def format_seconds(seconds: float) -> str:
    """48 s, 12.5 min, 3.2 h."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


UNKNOWN = "–"  # what stands in a table where nothing is known


def format_known(value: float | None, name: Callable[[float], str]) -> str:
    """Its name, or – where it is not known."""
    return UNKNOWN if value is None else name(value)


def format_range(low: float | None, high: float | None, name: Callable[[float], str]) -> str:
    """Both ends of an interval, 9.8 K to 13 K; – where there is none."""
    return UNKNOWN if low is None or high is None else f"{name(low)} to {name(high)}"


def format_end(value: float, least: float, most: float, name: Callable[[float], str]) -> str:
    """Its name, with ≤ or ≥ where what was looked at ends there."""
    return f"{'≤ ' if value <= least else '≥ ' if value >= most else ''}{name(value)}"


def format_place(subset_bytes: float, group: str = "") -> str:
    """A dataset size: 1 MB, or 1 MB of a group where it is named."""
    size = format_bytes(subset_bytes)
    return f"{size} of {group}" if group else size


def format_counted(n: int, noun: str) -> str:
    """1 row, 2 rows."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def join(words: Iterable[object]) -> str:
    """a, b and c."""
    items = [str(word) for word in words]
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else "".join(items)


def sentence(message: str | None) -> str:
    """With a capital letter and a full stop; nothing stays nothing."""
    text = (message or "").strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")
