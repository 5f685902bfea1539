"""What a record's fields may hold: ranges of numbers, limits of size, and what text may stand in.

A plain `int` is a count, 0 to 2^63 − 1; a plain `float` a measurement, 0 to 1e100; a plain `str` a name that is printed
and drawn: no control and no bidirectional characters. The kinds below say more.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

MOST_COUNT = 2**63 - 1
MOST_MEASUREMENT = 1e100
MOST_CHARACTERS = 100_000  # of any text; a name has at most MOST_NAME
MOST_NAME = 5000
MOST_DEPTH = 16  # of what a field of any JSON holds

KEY = "key"  # in a field's metadata: the name that it has in JSON, where that is another one


def key_of(field: dataclasses.Field[Any]) -> str:
    """The name of a field in a record's JSON."""
    return str(field.metadata.get(KEY, field.name))


_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_NEVER = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`, both included."""

    least: float
    most: float


@dataclass(frozen=True)
class Form:
    """Text for which `holds` is true; `what` says it in a message."""

    what: str
    holds: Callable[[str], bool]


def shown(text: str) -> str:
    """Text as it is printed and drawn: control and bidirectional characters escaped, lone surrogates too."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


@lru_cache(4096)  # the records of a sweep say the same names over and over
def is_name(text: str) -> bool:
    """Whether text is short and has nothing in it that a terminal would obey."""
    return len(text) <= MOST_NAME and not _CONTROL.search(text)


def is_text(text: str) -> bool:
    """Whether it can be written to a file: what is printed of it goes through `shown`."""
    return len(text) <= MOST_CHARACTERS and not _NEVER.search(text)


def is_file_name(text: str) -> bool:
    """Whether it is the name of a file beside the record, or empty where there is none."""
    return is_name(text) and "/" not in text and "\\" not in text and text not in (".", "..")


def is_time(text: str) -> bool:
    """Whether it is an ISO 8601 time that a calendar has."""
    try:
        datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return False
    return is_name(text)


Positive = Annotated[int, Range(1, MOST_COUNT)]
Fraction = Annotated[float, Range(0, 1)]
Signed = Annotated[float, Range(-MOST_MEASUREMENT, MOST_MEASUREMENT)]  # other numbers are at least 0
Text = Annotated[str, Form(f"text of at most {MOST_CHARACTERS:,} characters, without NUL or half characters", is_text)]
FileName = Annotated[str, Form("the name of a file, without a folder", is_file_name)]
Time = Annotated[str, Form("a time such as 2026-01-02T03:04:05+00:00", is_time)]
NAME = Form(f"a name of at most {MOST_NAME:,} characters, none of them a control character", is_name)
