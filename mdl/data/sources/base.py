"""What every source gives: raw bytes in one file, and where each document begins."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdl.storage import new_file
from mdl.units import format_bytes


@dataclass(frozen=True)
class Source:
    """Raw bytes in one file, and where each document in it begins (one document: [0]).

    A corpus is made of things of `unit_bytes` that no split or shuffle may cut: a picture's patches, a byte of text.
    """

    path: Path
    starts: npt.NDArray[np.int64]
    modality: str
    _: KW_ONLY
    unit_bytes: int = 1
    read: str = ""  # for people: what was read, and what bytes it became; empty: one file's bytes as they lie


def became(source: Source, what: str, made: str = "") -> Source:
    """The same, saying that its bytes came of `what`; `made`: what they are, behind how many."""
    size = format_bytes(source.path.stat().st_size)
    return replace(source, read=f"{what} → {size}{made and f' {made}'}")


def cached(
    cache: Path, name: str, documents: Callable[[], Iterable[Iterable[bytes]]], modality: str, unit_bytes: int = 1
) -> Source:
    """Documents one after another in `name`.bin, their starts in `name`.starts.npy; made only where not there yet.

    The .bin comes last, so that where it is, all is. `name` must change with anything that the documents depend on.
    """
    path, index = cache / f"{name}.bin", cache / f"{name}.starts.npy"
    if not (path.exists() and index.exists()):
        starts: list[int] = []
        with new_file(path) as stream:
            for document in documents():
                starts.append(stream.tell())
                for chunk in document:
                    stream.write(chunk)
            with new_file(index) as index_stream:
                content = io.BytesIO()
                np.save(content, np.array(starts, np.int64))
                index_stream.write(content.getvalue())
    return Source(path, np.load(index, allow_pickle=False), modality, unit_bytes=unit_bytes)
