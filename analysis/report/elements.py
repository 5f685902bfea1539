"""What a document is made of: blocks that any typesetter can set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True)
class Heading:
    """Begins a section; `new_page` puts it at the top of one."""

    text: str
    new_page: bool = False
    kind: str = "heading"


@dataclass(frozen=True)
class Text:
    """A paragraph. Style: lead (the answer), body, small, note (boxed)."""

    text: str
    style: str = "body"
    kind: str = "text"


@dataclass(frozen=True)
class Grid:
    """A table; `align` has l or r for each column, `w` for a left one that takes the room there is.

    `grey` are the numbers of columns that are not our own measurements.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    _: KW_ONLY
    grey: tuple[int, ...] = ()
    kind: str = "grid"


@dataclass(frozen=True)
class Picture:
    """A figure by its file's name; `name` says which of the figures it is, whatever the corpus."""

    file: str
    caption: str
    name: str = ""
    _: KW_ONLY
    kind: str = "picture"


Block = Heading | Text | Grid | Picture


@dataclass(frozen=True)
class Document:
    """A report in words."""

    title: str
    subtitle: str
    blocks: tuple[Block, ...]

    @property
    def lead(self) -> str:
        """The first sentences: the answer, or why there is none."""
        return next(block.text for block in self.blocks if isinstance(block, Text))


def named_grid(header: Sequence[str], rows: Sequence[tuple[str, ...]], align: str, names: Sequence[str]) -> Grid:
    """A table with a first column of the rows' names, each said once, where there are several. Columns of – go."""
    kept = [i for i in range(len(header)) if not rows or any(row[i] != "–" for row in rows)]
    grid = Grid(
        tuple(header[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
        "".join(align[i] for i in kept),
    )
    if len(set(names)) < 2:
        return grid
    title, names = _short(names)
    said = [name if name != before else "" for name, before in zip(names, [None, *names[:-1]], strict=True)]
    named = tuple((name, *row) for name, row in zip(said, grid.rows, strict=True))
    return Grid((title, *grid.header), named, f"l{grid.align}")


def _short(names: Sequence[str]) -> tuple[str, Sequence[str]]:
    """A title of the names and the names, without the corpus where all have the same and more behind it."""
    parts = [name.partition(", ") for name in names]
    if len({corpus for corpus, _, _ in parts}) > 1 or not all(rest for *_, rest in parts):
        return "corpus", names
    return "", [rest for *_, rest in parts]
