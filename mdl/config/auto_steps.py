"""Training budgets by one word: `auto(1500, 24000)` are 1,500 steps and its doublings, until one gains too little."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mdl.errors import MdlError, quoted

_STEPS, _UNTIL = "train.steps", "train.until"
_FIRST, _LIMIT = 1500, 24_000
_LEAST_GAIN = 0.005
_AUTO = re.compile(r"auto(?:\(\s*(\d+)\s*,\s*(\d+)\s*\))?")


def doublings(text: str) -> tuple[int, ...] | None:
    """The numbers of steps that `auto` (1,500 to 24,000) or `auto(FIRST, LIMIT)` names; None for any other text.

    MdlError where it is written otherwise, or where they are less than two.

    >>> doublings("auto(1000, 8000)")
    (1000, 2000, 4000, 8000)
    """
    if not text.startswith("auto"):
        return None
    match = _AUTO.fullmatch(text.strip().replace("_", ""))
    if not match:
        raise MdlError(
            f"{_STEPS}: want auto or auto(FIRST, LIMIT), such as auto({_FIRST}, {_LIMIT}), got {quoted(text)}"
        )
    steps, limit = int(match[1] or _FIRST), int(match[2] or _LIMIT)
    if steps < 1:
        raise MdlError(f"{_STEPS}: FIRST of auto(FIRST, LIMIT) is at least 1, got {quoted(text)}")
    if steps > limit // 2:
        raise MdlError(f"{_STEPS}: the limit of auto(FIRST, LIMIT) is at least twice the first, got {quoted(text)}")
    found = []
    while steps <= limit:
        found.append(steps)
        steps *= 2
    return tuple(found)


def budgets(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of a cell by dotted keys, one set a budget where `train.steps` is `auto`; else as they are."""
    steps = values.get(_STEPS)
    found = doublings(steps) if isinstance(steps, str) else None
    if found is None:
        return [dict(values)]
    least = {_UNTIL: _LEAST_GAIN} if values.get(_UNTIL) is None else {}
    return [{**values, **least, _STEPS: n} for n in found]
