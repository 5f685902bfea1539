"""A document set as a PDF by typst."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.formatting import POWER
from analysis.report.elements import Document

_LOOSE = tuple(map(str, (1, 0.95, 1.05, 0.9, 1.1, 0.85, 1.15, 0.98, 1.02, 0.93, 1.07, 0.88, 1.12, 1.17, 1.19)))
_FILLED = 2 / 3


def typeset(document: Document, folder: Path, created: str | None) -> None:
    """Set a document as `folder`/report.pdf, with figures from `folder`/figures; dated by the newest record."""
    import typst

    content = json.dumps(asdict(document) | {"power": POWER}, ensure_ascii=False)
    template = folder / "report.typ"
    template.write_bytes(Path(__file__).with_name("report.typ").read_bytes())
    how: dict[str, Any] = {"root": folder, "ignore_system_fonts": True}
    inputs = {"document": content}
    try:
        inputs["loose"] = _filling(lambda loose: _end(template, how, inputs | {"loose": loose}))
        typst.compile(
            template,
            output=folder / "report.pdf",
            **how,
            sys_inputs=inputs,
            timestamp=int(datetime.fromisoformat(created).timestamp()) if created else 0,
        )
    except typst.TypstError as error:
        raise AnalysisError(f"typst could not set the report: {' '.join(str(error).split())[:300]}") from None


def _filling(end: Callable[[str], float]) -> str:
    """How far lines stand apart, as a multiple: the usual, or the first that fills two thirds of the last page."""
    ends = {}
    for loose in _LOOSE:
        ends[loose] = end(loose)
        if ends[loose] >= _FILLED:
            return loose
    return max(ends, key=lambda loose: ends[loose])


def _end(template: Path, how: dict[str, Any], inputs: dict[str, str]) -> float:
    """Where on its last page the document ends, from 0 at the top to 1."""
    import typst

    return float(json.loads(typst.query(template, "<end>", field="value", one=True, sys_inputs=inputs, **how)))
