"""A table in plain text that fits the terminal: where it is too wide, first the words of the header stand below each

other, then the gaps are narrow, then the words of the last column stand below each other too.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

_GAPS = ("  ", " ")
_LEAST = 12  # columns of the last one


def plain_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "", columns: int | None = None
) -> list[str]:
    """Its lines; `align` is l or r a column. At most `columns` wide, as far as that goes; None: the terminal's."""
    limit = _terminal_columns() if columns is None else columns
    inner = [max((len(row[i]) for row in rows), default=0) for i in range(len(header))]
    widths = [max(width, len(title)) for width, title in zip(inner, header, strict=True)]
    limit = limit or sys.maxsize
    gap = _GAPS[0]
    if _total(widths, gap) > limit:
        longest = [max(map(len, title.split()), default=0) for title in header]
        widths = [max(pair) for pair in zip(inner, longest, strict=True)]
    if _total(widths, gap) > limit:
        gap = _GAPS[1]
    if (over := _total(widths, gap) - limit) > 0:
        widths[-1] = max(min(widths[-1], _LEAST), widths[-1] - over)
    lines = [line for row in (header, *rows) for line in _row(row, widths, align, gap)]
    n_header = len(_row(header, widths, align, gap))
    lines.insert(n_header, gap.join("─" * width for width in widths))
    return [line.rstrip() for line in lines]


def _total(widths: Sequence[int], gap: str) -> int:
    return sum(widths) + len(gap) * (len(widths) - 1)


def _row(cells: Sequence[str], widths: Sequence[int], align: str, gap: str) -> list[str]:
    """A line for each line of its cells."""
    parts = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    sides = align.ljust(len(widths), "l")
    return [
        gap.join(
            text.rjust(width) if side == "r" else text.ljust(width)
            for text, width, side in zip(line, widths, sides, strict=True)
        )
        for line in zip_longest(*parts, fillvalue="")
    ]


def _wrapped(cell: str, width: int) -> list[str]:
    """A percent sign stays with its number."""
    lines = textwrap.wrap(cell.replace(" %", "\xa0%"), width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines] or [""]


def _terminal_columns() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
