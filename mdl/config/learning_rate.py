"""The reference recipe's learning rates, found by trial on text at one to a few thousand steps."""

from __future__ import annotations

import math
from functools import cache

# Peak learning rate by width, two layers; deeper models take a little less from width 64 on.
_BY_WIDTH = {
    4: 2e-2,
    8: 1.5e-2,
    16: 1.2e-2,
    32: 8e-3,
    64: 5e-3,
    128: 3.5e-3,
    256: 2.2e-3,
    512: 1.2e-3,
    1024: 6e-4,
}


@cache
def usual_learning_rate(width: int, depth: int) -> float:
    """The peak rate for a shape: the table interpolated in log width, × 0.85 a doubling of the depth past two."""
    widths = sorted(_BY_WIDTH)
    clamped = min(max(width, widths[0]), widths[-1])
    low = max(w for w in widths if w <= clamped)
    high = min(w for w in widths if w >= clamped)
    share = 0.0 if low == high else math.log(clamped / low) / math.log(high / low)
    rate = math.exp((1 - share) * math.log(_BY_WIDTH[low]) + share * math.log(_BY_WIDTH[high]))
    return float(f"{rate * 0.85 ** max(0.0, math.log2(depth / 2)):.3g}")
