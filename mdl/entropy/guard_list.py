"""The guard list in few bits: ascending places, each with a side, as Rice-coded gaps.

Packed form: one byte k (0–40), a LEB128 count n, then for every place one bit for the side (1: up), the gap to the
place after the one before (first: to 0) as gap >> k in unary (ones ended by a zero) and its low k bits, high bit
first; the last byte is filled up with zeros. No places: no bytes at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError

_MOST_LOW_BITS = 40


@dataclass(frozen=True)
class Guard:
    """Places near a rounding boundary, ascending: `index` (n,) is position · 256 + byte, `up` (n,) the side taken."""

    index: npt.NDArray[np.int64]
    up: npt.NDArray[np.bool_]


def pack(listed: Guard) -> bytes:
    """The packed form of a list of ascending places."""
    n = listed.index.size
    if not n:
        return b""
    gaps = np.diff(listed.index, prepend=-1) - 1
    k = max(0, min(_MOST_LOW_BITS, int(gaps.mean() * 0.7).bit_length()))  # near the best for geometric gaps
    bits = "".join(
        f"{up:d}{'1' * (gap >> k)}0" + (f"{gap & (1 << k) - 1:0{k}b}" if k else "")
        for gap, up in zip(gaps.tolist(), listed.up.tolist(), strict=True)
    )
    bits += "0" * (-len(bits) % 8)
    return bytes([k]) + _leb128(n) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def unpack(packed: bytes, limit: int) -> Guard:
    """The list; MdlError unless it is one that `pack` writes with all its places below `limit`."""
    if not packed:
        return Guard(np.empty(0, np.int64), np.empty(0, np.bool_))
    try:
        places = _places(packed, limit)
    except (IndexError, ValueError):
        raise MdlError("the archive's guard list is damaged") from None
    index, up = zip(*places, strict=True)
    return Guard(np.array(index, np.int64), np.array(up, np.bool_))


def _places(packed: bytes, limit: int) -> list[tuple[int, bool]]:
    k, (n, begin) = packed[0], _read_leb128(packed, 1)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8, offset=begin)).tobytes()
    if k > _MOST_LOW_BITS or not 1 <= n <= len(bits):
        raise ValueError
    places, start, place = [], 0, -1
    for _ in range(n):
        end = bits.index(0, start + 1)
        low = sum(bit << i for i, bit in enumerate(reversed(bits[end + 1 : end + 1 + k])))
        place += 1 + ((end - start - 1) << k) + low
        places.append((place, bool(bits[start])))
        start = end + 1 + k
    if place >= limit or not 0 <= len(bits) - start < 8 or any(bits[start:]):
        raise ValueError
    return places


def _leb128(number: int) -> bytes:
    groups = bytearray()
    while number > 127:
        groups.append(128 | number & 127)
        number >>= 7
    return bytes([*groups, number])


def _read_leb128(data: bytes, start: int) -> tuple[int, int]:
    """(number, where it ends)."""
    number = 0
    for i, byte in enumerate(data[start : start + 5]):
        number |= (byte & 127) << 7 * i
        if byte < 128:
            return number, start + i + 1
    raise ValueError
