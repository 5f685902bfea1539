"""How much of the data measuring its two-part code codes. Plans ask this, so nothing here needs torch."""

from __future__ import annotations

from mdl.quantization.precision_list import PRECISIONS

SAMPLE_BYTES = 1 << 20  # of more data not every precision codes all: a thousand windows tell to some .03 %


def coded_bytes(n_bytes: int) -> int:
    """What measuring so much data at every precision codes of it, in the least."""
    return len(PRECISIONS) * n_bytes if n_bytes <= SAMPLE_BYTES else (len(PRECISIONS) + 1) * SAMPLE_BYTES + n_bytes
