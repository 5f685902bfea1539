"""The tables of the mixer, made in decimal arithmetic, so that they are the same on every machine.

A chance is that of a one, of 2^16. A *stretched* chance is its log-odds, ln(p / (1 − p)), in steps of 1/256 and cut at
±`LIMIT`: what is added up in mixing. `SQUASH` takes it back.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache

import numpy as np
import numpy.typing as npt

LIMIT = 3071  # log-odds of 12
_STEPS = 256  # of log-odds 1
_CHANCES = 65536  # that are stretched, each in the middle of its step
_MOST_COUNTED = 15  # of zeros or ones in a history
_FORGOTTEN = (0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7)  # what stays of the other count after a surprise


@cache
def squash() -> npt.NDArray[np.int32]:
    """The chance of every stretched one from −LIMIT − 1 to LIMIT, at the place x + LIMIT + 1; 1 to 2^16 − 1."""
    odds = ((Decimal(-x) / _STEPS).exp() for x in range(-LIMIT - 1, LIMIT + 1))
    return np.array([min(65535, max(1, round(65536 / (1 + each)))) for each in odds], np.int32)


@cache
def stretch() -> npt.NDArray[np.int32]:
    """The log-odds of every chance, (65536,)."""
    with localcontext(prec=12):  # a value is never so near to where it is rounded
        odds = (Decimal(2 * i + 1) / (2 * _CHANCES - 2 * i - 1) for i in range(_CHANCES // 2, _CHANCES))
        above = np.array([min(LIMIT, round(_STEPS * each.ln())) for each in odds], np.int32)
    return np.concatenate([-above[::-1], above])


@cache
def next_history() -> npt.NDArray[np.uint8]:
    """The history (zeros · 16 + ones, 15 of each at the most) after history h and bit y, at the place 2h + y.

    A bit makes its own count one more, and of the other's what is over two falls to about half.
    """
    after = np.zeros(512, np.uint8)
    for history in range(256):
        for bit in (0, 1):
            counts = [history >> 4, history & 15]
            counts[bit] = min(_MOST_COUNTED, counts[bit] + 1)
            counts[1 - bit] = _FORGOTTEN[counts[1 - bit]]
            after[2 * history + bit] = counts[0] << 4 | counts[1]
    return after


@cache
def first_chances() -> npt.NDArray[np.int32]:
    """What a one's chance after every history is held to be before anything is learned (256,)."""
    counts = [(history >> 4, history & 15) for history in range(256)]
    return np.array([65536 * (10 * ones + 4) // (10 * (zeros + ones) + 8) for zeros, ones in counts], np.int32)


@cache
def reciprocals() -> npt.NDArray[np.int32]:
    """Of 2^16, how far a counter that has seen i bits moves with the next, (256,)."""
    return np.array([655360 // (10 * i + 16) for i in range(256)], np.int32)
