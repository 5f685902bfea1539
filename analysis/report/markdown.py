"""A document as Markdown, for GitHub and W&B: the same sentences and tables as the PDF, figures as SVG beside it."""

from __future__ import annotations

import re

from analysis.formatting import exponents_apart
from analysis.report.elements import Block, Document, Grid, Heading, Picture, Text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def markdown(document: Document) -> str:
    """The whole document; pictures are looked for in `figures/`, relative to the file."""
    parts = [f"# {_escape(document.title)}", _escape(document.subtitle), *(_block(block) for block in document.blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"## {_escape(block.text)}"
    if isinstance(block, Text):
        return {"note": "> {}", "small": "<sub>{}</sub>", "lead": "**{}**"}.get(block.style, "{}").format(
            _escape(block.text)
        )
    if isinstance(block, Picture):
        file = block.file.removesuffix(".pdf") + ".svg"
        return f"![{_escape(block.caption)}](figures/{file})\n\n*{_escape(block.caption)}*"
    return _grid(block)


def _grid(grid: Grid) -> str:
    rule = ["--:" if side == "r" else ":--" for side in grid.align]
    lines = [grid.header, *grid.rows]
    rows = ["| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines]
    return "\n".join([rows[0], f"| {' | '.join(rule)} |", *rows[1:]])


def _escape(text: str) -> str:
    """Nothing that was measured or named is taken for markup."""
    pieces = (_SPECIAL.sub(r"\\\1", piece) for piece in exponents_apart(" ".join(text.split())))
    return "".join(f"<sup>{piece}</sup>" if i % 2 else piece for i, piece in enumerate(pieces))
