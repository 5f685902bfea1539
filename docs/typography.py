"""How text is set: exponents are raised, no line ends between a number and its unit, sentences are whole.

In a table, a long name may be broken where its parts meet. The style allows that on a phone.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from analysis.formatting import exponents_apart, with_units

_BETWEEN_PARTS = re.compile(r"(?<=[\w\])}][._:/=,|])(?=\w)")  # train.|heldout_|sample_|bytes
_CODE = (nodes.literal, nodes.literal_block, nodes.doctest_block, nodes.raw, nodes.title_reference)


def _set(_: Sphinx, tree: nodes.document, __: str) -> None:
    """All text but code and signatures."""
    for text in list(tree.findall(nodes.Text)):
        if _is_code(text):
            continue
        parts = exponents_apart(with_units(str(text)))
        made: list[nodes.Node] = [
            nodes.superscript("", part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part
        ]
        text.parent.replace(text, made)


def _break(_: Sphinx, tree: nodes.document, __: str) -> None:
    """Names in tables, by an element that no copy of the text has."""
    for name in (name for cell in tree.findall(nodes.entry) for name in cell.findall(nodes.literal)):
        first, *parts = _BETWEEN_PARTS.split(name.astext())
        name.children = []
        name += nodes.Text(first)
        for part in parts:
            name += [nodes.raw("", "<wbr>", format="html"), nodes.Text(part)]


def _is_code(text: nodes.Text) -> bool:
    node: Any = text.parent
    while node is not None:
        if isinstance(node, _CODE):
            return True
        if node.tagname.startswith("desc_"):
            return node.tagname != "desc_content"
        node = node.parent
    return False


def _join(_: Sphinx, __: str, ___: str, ____: Any, _____: Any, lines: list[str]) -> None:
    """A docstring's first sentence that its first line is too short for goes on after the empty line."""
    if len(lines) > 2 and not lines[1] and lines[0] and lines[0].rstrip()[-1] not in ".:?!":
        lines[:3] = [f"{lines[0]} {lines[2]}"]


def _name(_: Sphinx, __: str, ___: str, ____: Any, _____: Any, signature: str | None, back: str | None) -> Any:
    """A type's alias by its name, not as Python shows an alias that was not looked up."""
    return tuple(said and re.sub(r"TypeAliasForwardRef\('([\w.]+)'\)", r"\1", said) for said in (signature, back))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", _set)
    app.connect("doctree-resolved", _break)
    app.connect("autodoc-process-signature", _name)
    app.connect("autodoc-process-docstring", _join, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
