"""Seconds that the first opening of a corpus takes to look for copies, and to find what stands there first; memory.

python -m benchmarks.speed_copies [FILE]

Without a file: 100 MB of words, the last 10 KB of which stand near the beginning too. The aim is 0.5 s for 100 MB.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import machine
from mdl.data import ByteView
from mdl.data.duplicate_bytes import Part, copied_bytes, first_copies
from mdl.storage import FileBytes

N_BYTES, HELDOUT_BYTES, COPIED_BYTES = 10**8, 10**6, 10**4


def write_words(path: Path) -> None:
    """50,000 words in a random order, some more often than others, and at the end a piece of the beginning again."""
    generator = np.random.default_rng(0)
    known = [bytes(generator.integers(97, 123, generator.integers(2, 10), np.uint8)) for _ in range(50_000)]
    with path.open("w+b") as stream:
        while stream.tell() < N_BYTES:
            chosen = (50_000 * generator.random(100_000) ** 3).astype(int)
            stream.write(b" ".join(known[i] for i in chosen.tolist()))
        stream.seek(12_345)
        copy = stream.read(COPIED_BYTES)
        stream.seek(N_BYTES - COPIED_BYTES)
        stream.write(copy)
        stream.truncate()


def part(raw: FileBytes, start: int, end: int) -> Part:
    """One document of a file."""
    return Part(ByteView(raw, np.array([start]), np.array([end - start])), np.zeros(1, np.int64))


def row(what: str, n_bytes: int, find: Callable[[], int]) -> str:
    """CPU seconds of this process: the machine may be busy."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = find()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {what} | {found:,} | {cpu:.2f} | {wall:.2f} | {cpu / n_bytes * 1e8:.2f} | {peak:.0f} |"


def main(arguments: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = chosen.file or Path(folder) / "words"
        if not chosen.file:
            write_words(file)
        raw = FileBytes(file)
        n, held = raw.size, min(HELDOUT_BYTES, raw.size // 2)
        print(f"copies, {n:,} bytes; {machine.name()}; {machine.versions()}\n")
        print("| what | bytes found | CPU s | s | CPU s per 100 MB | MiB at the most |\n|---|---|---|---|---|---|")
        print(row("held-out copied", n, lambda: copied_bytes(part(raw, n - held, n), part(raw, 0, n - held))))
        print(row("first copies", n, lambda: int(first_copies(part(raw, 0, n))[1].sum())))


if __name__ == "__main__":
    main()
