"""What a worker's allocator keeps: a step's memory for the next step, and nothing of a job for the next job."""

from __future__ import annotations

import ctypes
import gc

# glibc keeps a step's memory for the next one, instead of handing it back and having every page cleared again.
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(2**28), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


def hand_back() -> None:
    """Give the system what no object holds, where the allocator can (glibc): some 200 MB after a small cohort."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
