"""A document as HTML, to stand in a page: the same sentences and tables as the PDF, its figures inside the page."""

from __future__ import annotations

import base64
import re
from html import escape
from pathlib import Path

from analysis.formatting import exponents_apart, with_units
from analysis.report.elements import Block, Document, Grid, Heading, Picture, Text

_SENTENCE_ENDS = re.compile(r"\.(?=\s|$)")


def _set(text: str) -> str:
    """As HTML, with exponents raised and numbers beside their units."""
    pieces = map(escape, exponents_apart(with_units(text)))
    return "".join(f"<sup>{piece}</sup>" if i % 2 else piece for i, piece in enumerate(pieces))


def article(document: Document, figures: Path) -> str:
    """All blocks of a document; its pictures are read from `figures` and need no file beside the page."""
    return "\n".join(["<article>", *(_block(block, figures) for block in document.blocks), "</article>"])


def _block(block: Block, figures: Path) -> str:
    if isinstance(block, Heading):
        return f"<h2>{_set(block.text)}</h2>"
    if isinstance(block, Text):
        words = _lead(block.text) if block.style == "lead" else _set(block.text)
        return f'<p class="{escape(block.style)}">{words}</p>'
    return _picture(block, figures) if isinstance(block, Picture) else _grid(block)


def _lead(text: str) -> str:
    """The first two sentences stand out; a whole paragraph that does is not read."""
    ends = [found.end() for found in _SENTENCE_ENDS.finditer(text)]
    at = ends[1] if len(ends) > 1 else len(text)
    return f"<strong>{_set(text[:at])}</strong>{_set(text[at:])}"


def _picture(picture: Picture, figures: Path) -> str:
    svg = (figures / picture.file).with_suffix(".svg").read_bytes()
    data = base64.b64encode(svg).decode("ascii")
    image = f'<img alt="{escape(picture.caption)}" src="data:image/svg+xml;base64,{data}">'
    return f'<figure><div class="scroll">{image}</div><figcaption>{_set(picture.caption)}</figcaption></figure>'


def _grid(grid: Grid) -> str:
    lines = [_row(cells, grid, "td") for cells in grid.rows]
    head = f"<thead>{_row(grid.header, grid, 'th')}</thead>"
    return f'<div class="scroll"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _row(cells: tuple[str, ...], grid: Grid, tag: str) -> str:
    classes = [_class(i, grid) for i in range(len(cells))]
    return "<tr>" + "".join(f"<{tag}{c}>{_set(cell)}</{tag}>" for cell, c in zip(cells, classes, strict=True)) + "</tr>"


def _class(column: int, grid: Grid) -> str:
    names = [*([] if grid.align[column] == "r" else ["left"]), *(["grey"] if column in grid.grey else [])]
    return f' class="{" ".join(names)}"' if names else ""
