"""Uniform noise: the control that nothing can compress."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mdl.data.sources.base import Source, cached
from mdl.data.sources.registry import register_source
from mdl.errors import MdlError
from mdl.storage import CHUNK_BYTES
from mdl.units import parse_bytes


def open_random(rest: str, cache: Path) -> Source:
    """BYTES[:SEED] of uniform noise: the control that nothing can compress."""
    size, _, seed = rest.partition(":")
    n_bytes = parse_bytes(size)
    if seed and not (seed.isdecimal() and int(seed) < 1 << 64):
        raise MdlError(f"random:{rest}: the seed must be a whole number below 2^64, got '{seed}'")
    key = int(seed or 0)

    def noise() -> Iterator[bytes]:
        # The generator's raw words: NumPy promises that these never change, and of nothing else.
        words = np.random.Philox(key=np.array([key, 0], np.uint64))
        for start in range(0, n_bytes, CHUNK_BYTES):
            yield words.random_raw(CHUNK_BYTES // 8).astype("<u8").tobytes()[: n_bytes - start]

    return cached(cache, f"random-{n_bytes}-{key}", lambda: [noise()], "bytes")


register_source(
    "random",
    lambda rest, cache, _: open_random(rest, cache),
    form="random:BYTES[:SEED]",
    modality="random",
    needs_network=False,
)
