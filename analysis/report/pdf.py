"""A document set as a PDF by typst."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.formatting import POWER
from analysis.report.elements import Document


def typeset(document: Document, folder: Path, created: str | None) -> None:
    """Set a document as `folder`/report.pdf, with figures from `folder`/figures; dated by the newest record."""
    import typst

    content = json.dumps(asdict(document) | {"power": POWER}, ensure_ascii=False)
    template = folder / "report.typ"
    template.write_bytes(Path(__file__).with_name("report.typ").read_bytes())
    try:
        typst.compile(
            template,
            output=folder / "report.pdf",
            root=folder,
            ignore_system_fonts=True,
            sys_inputs={"document": content},
            timestamp=int(datetime.fromisoformat(created).timestamp()) if created else 0,
        )
    except typst.TypstError as error:
        raise AnalysisError(f"typst could not set the report: {' '.join(str(error).split())[:300]}") from None
