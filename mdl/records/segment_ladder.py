"""Where segments end, whatever the sweep: code lengths of any two records are of the same stretches."""

from __future__ import annotations


def ladder(limit_bytes: int) -> list[int]:
    """Segment boundaries 1, 3, 10, 30 … KB (1 KB = 1000 bytes) below `limit_bytes`."""
    steps = (m * 10**k for k in range(3, 19) for m in (1, 3))
    return [b for b in steps if b < limit_bytes]


def reach(subset_bytes: int, part_bytes: int, ratio: float) -> int:
    """How far a snapshot is evaluated: the least ladder boundary ≥ ratio · D, but not past the part's end."""
    if ratio <= 1:
        return subset_bytes
    return min([b for b in ladder(100 * part_bytes) if b >= ratio * subset_bytes] + [part_bytes], default=part_bytes)
