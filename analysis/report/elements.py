"""What a document is made of: blocks that any typesetter can set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from analysis.formatting import UNKNOWN


@dataclass(frozen=True)
class Heading:
    """Begins a section."""

    text: str
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

    `grey` are the numbers of columns that are not our own measurements. `groups`: the label of each row's group or
    corpus, which becomes a first column where there are several (`analysis.report.group_names`).
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    _: KW_ONLY
    grey: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()
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


def named_grid(header: Sequence[str], rows: Sequence[tuple[str, ...]], align: str, groups: Sequence[str]) -> Grid:
    """A table whose rows belong to groups. Columns in which nothing is known are left out."""
    kept = [i for i in range(len(header)) if not rows or any(row[i] != UNKNOWN for row in rows)]
    return Grid(
        tuple(header[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
        "".join(align[i] for i in kept),
        groups=tuple(groups),
    )
