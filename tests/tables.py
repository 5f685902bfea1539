"""What `mdl baselines` prints, for tests."""

from collections.abc import Iterator
from pathlib import Path

from mdl.cli.baselines import Models, Table


def lines(
    source: str, size: int, chunk: int, out: Path, models: Models | None = None, *, paper: bool = True
) -> Iterator[str]:
    """The table's lines of the first `size` bytes."""
    table = Table(source, most_bytes=size, chunk_bytes=chunk, out=out, models=models or Models(), as_paper=paper)
    return table.lines()
