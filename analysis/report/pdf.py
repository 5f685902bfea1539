"""A document set as a PDF by typst."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.formatting import POWER
from analysis.report.elements import Document
from analysis.report.page_layout import Layout, filling

_PIXELS_PER_INCH = 24  # enough to tell a line of text from none


def typeset(document: Document, folder: Path, created: str | None) -> None:
    """Set a document as `folder`/report.pdf, with figures from `folder`/figures; dated by the newest record."""
    import typst

    content = json.dumps(asdict(document) | {"power": POWER}, ensure_ascii=False)
    template = folder / "report.typ"
    template.write_bytes(Path(__file__).with_name("report.typ").read_bytes())

    def compiled(layout: Layout, **how: Any) -> Any:
        inputs = {"document": content, **layout.inputs}
        return typst.compile(template, root=folder, ignore_system_fonts=True, sys_inputs=inputs, **how)

    def pages(layout: Layout) -> list[bytes]:
        pictures = compiled(layout, format="png", ppi=_PIXELS_PER_INCH)
        return pictures if isinstance(pictures, list) else [pictures]

    dated = int(datetime.fromisoformat(created).timestamp()) if created else 0
    try:
        compiled(filling(pages), output=folder / "report.pdf", timestamp=dated)
    except typst.TypstError as error:
        raise AnalysisError(f"typst could not set the report: {' '.join(str(error).split())[:300]}") from None
