"""What `mdl baselines` prints, for tests."""

from collections.abc import Iterator
from pathlib import Path

from mdl.cli.baselines import Models, Table


def lines(
    source: str, size: int | None, chunk: int, out: Path, models: Models | None = None, *, paper: bool = True
) -> Iterator[str]:
    """The table's lines of the first `size` bytes, or of all."""
    sizes = None if size is None else str(size)
    table = Table(source, sizes=sizes, chunk_bytes=chunk, out=out, models=models or Models(), as_paper=paper)
    return table.lines()
