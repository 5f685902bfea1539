"""Shapes worth their parameters: the lower envelope over width and depth, and ladders on it. Free of torch."""

from __future__ import annotations

import math
import re
from functools import cache

from mdl.errors import MdlError
from mdl.models.architecture import count_params
from mdl.models.shape import Shape, parse_size

# Which shapes code shortest at as many parameters: 39 of 1 to 6 layers tried at 1 and 10 MB (benchmarks/recipe_log.md,
# section 12). From 100 K to 300 K four and six layers are level, and four are faster. Below 8x2 nothing deeper was
# tried, nor above 96x6: there the usual proportions.
_WIDTHS_OF_DEPTHS = (
    (1, (2, 4, 6, 8)),
    (2, (8, 10, 12, 14, 16, 20)),
    (3, (20, 24)),
    (4, (24,)),
    (6, (24, 28, 32)),
    (4, (48, 64)),
    (6, (64, 80, 96, 128, 160, 192, 256, 320, 384, 512)),
    (8, (512, 640, 768)),
    (12, (768, 1024)),
    (16, (1024, 1536)),
)
ENVELOPE = tuple(f"{width}x{depth}" for depth, widths in _WIDTHS_OF_DEPTHS for width in widths)
_LADDER = re.compile(r"ladder\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)")
_FEWEST_SHAPES = 2
_FACTOR = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}


def ladder_of(text: str) -> tuple[str, ...] | None:
    """The sizes that `ladder(2K, 1M, 8)` names: 8 shapes of the envelope from 2 K to 1 M parameters, evenly spread.

    None for a text that is no ladder; MdlError for one that cannot be had, with what there is.

    >>> ladder_of("ladder(2K, 20K, 3)")
    ('8x1', '14x2', '20x3')
    """
    if not text.strip().startswith("ladder"):
        return None
    match = _LADDER.fullmatch(text.strip())
    if not match:
        raise MdlError(f"'{text}' is not a ladder; write ladder(FEWEST, MOST, SHAPES), such as ladder(2K, 1M, 8)")
    low, high = _number(match[1], text), _number(match[2], text)
    if low >= high:
        raise MdlError(f"'{text}': {match[1]} is not below {match[2]}; write ladder(FEWEST, MOST, SHAPES)")
    if not match[3].isdigit() or int(match[3]) < _FEWEST_SHAPES:
        raise MdlError(f"'{text}': SHAPES is '{match[3]}'; give a whole number from {_FEWEST_SHAPES} on")
    n, inside = int(match[3]), [(size, count) for size, count in _counted() if low <= count <= high]
    if n > len(inside):
        names = f" ({', '.join(size for size, _ in inside)})" if inside else ""
        raise MdlError(
            f"'{text}': between {match[1]} and {match[2]} parameters there are {len(inside)} shapes{names}; ask for no "
            "more, or widen it"
        )
    return tuple(_spread(inside, n))


def _number(text: str, ladder: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)", text.upper())
    if not match or not float(match[1]) > 0:
        raise MdlError(f"'{ladder}': '{text}' is not a number of parameters; write 2000, 2K or 1.5M")
    return float(match[1]) * _FACTOR[match[2]]


@cache
def _counted() -> tuple[tuple[str, int], ...]:
    return tuple(
        (size, count_params(Shape(*parse_size(size), context_tokens=2, block=2))["total"]) for size in ENVELOPE
    )


def _spread(inside: list[tuple[str, int]], n: int) -> list[str]:
    """n of them, ends included, each the nearest in log parameters to its place that leaves enough for the rest."""
    logs = [math.log(count) for _, count in inside]
    chosen: list[int] = []
    for k in range(n):
        aim = logs[0] + (logs[-1] - logs[0]) * k / (n - 1)
        first, last = chosen[-1] + 1 if chosen else 0, len(inside) - (n - k)
        chosen.append(min(range(first, last + 1), key=lambda i: abs(logs[i] - aim)))
    return [inside[i][0] for i in chosen]
