"""A figure is a link to itself, so that on a phone a tap shows it alone, where it can be enlarged."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri


def _link(app: Sphinx, tree: nodes.document, page: str) -> None:
    if app.builder.format != "html":
        return
    folder = relative_uri(app.builder.get_target_uri(page), app.builder.imagedir)
    for image in list(tree.findall(nodes.image)):
        if image["uri"] in app.env.images and not isinstance(image.parent, nodes.reference):
            file = app.env.images[image["uri"]][1]
            link = nodes.reference("", "", refuri=f"{folder}/{file}", classes=["figure"], internal=True)
            image.replace_self(link)
            link += image


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
