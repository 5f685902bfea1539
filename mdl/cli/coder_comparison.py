"""What every classical coder makes of the bytes of a packed file, and what nobody counts: the programs that decode."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mdl.compressors import REGISTRY, get, missing_programs
from mdl.data import Corpus
from mdl.evaluation import BaselineJob, Order, baseline_path
from mdl.records import BaselineRecord, RunPaths, read_baseline

_AT_ONCE = 4  # coders that run side by side: the strongest take some 2 GB of memory each
_MB = 10**6


@dataclass(frozen=True)
class Beside:
    """A classical coder on the same bytes in the same order."""

    coder: str
    n_bytes: int  # of its file
    decoder_bytes: int | None  # of its program; None: not known


@dataclass(frozen=True)
class Known:
    """Where the coders may have been measured on the same bytes already: the records of the run's sweep."""

    corpus: Corpus
    order: str
    sweep: Path

    def record(self, coder: str, n_bytes: int) -> BaselineRecord | None:
        """What was measured; None: nothing."""
        order: Order = "contiguous" if self.order == "contiguous" else "shuffled"
        job = BaselineJob(coder=coder, subset_bytes=n_bytes, order=order, chunk_bytes=None)
        path = baseline_path(self.corpus, job, RunPaths(self.sweep))
        return read_baseline(path) if path.exists() else None


def coders_beside(data: bytes, coders: Iterable[str], known: Known | None = None) -> list[Beside]:
    """What each coder makes of the data, the shortest first: from the records where it is known, else measured now."""

    def one(coder: str) -> Beside:
        if known and (record := known.record(coder, len(data))):
            return Beside(coder, record.compressed_bytes, record.decoder_bytes)
        return Beside(coder, len(get(coder).compress(data)), REGISTRY[coder].decoder_bytes)

    with ThreadPoolExecutor(_AT_ONCE) as threads:  # the libraries let go of Python while they work
        found = list(threads.map(one, coders))
    return sorted(found, key=lambda beside: beside.n_bytes)


def beside_lines(found: list[Beside], own_bytes: int, raw_bytes: int) -> Iterator[str]:
    """A line a coder: its size, its rate, and whether the packed file is shorter or longer."""
    for each in found:
        difference = own_bytes / each.n_bytes - 1
        which = "shorter" if difference < 0 else "longer"
        yield (
            f"{each.coder:<11}{each.n_bytes:>13,} bytes, {each.n_bytes / raw_bytes:.4f}: this file is "
            f"{abs(difference):.1%} {which}"
        )
    if missing := missing_programs():
        yield f"left out, since their programs are not on the PATH: {', '.join(missing)}"


def programs_line(found: list[Beside]) -> str:
    """Sizes of the programs that decode, which no total counts."""
    known = [f"{each.coder} {each.decoder_bytes / _MB:.2f} MB" for each in found if each.decoder_bytes]
    own = [f"{name} {size / _MB:,.0f} MB" for name in ("mdl", "torch") if (size := _installed_bytes(name))]
    return f"not counted: {', '.join(own)}; {', '.join(known)}"


def _installed_bytes(package: str) -> int:
    """Files of a package as they lie here, compiled Python left out; it is not imported."""
    found = importlib.util.find_spec(package)
    folders = [] if found is None else list(found.submodule_search_locations or ())
    files = (path for folder in folders for path in Path(folder).rglob("*") if path.suffix != ".pyc")
    return sum(path.stat().st_size for path in files if path.is_file())
