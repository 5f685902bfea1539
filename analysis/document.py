"""A summary put into words. A pure function of the summary, so that no number in the text is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis import appendix
from analysis.answer import answer, notes
from analysis.blocks import Block, Document, Heading, Picture

Json = dict[str, Any]


def write(summary: Json, pictures: Sequence[Picture]) -> Document:
    """The report: the answer, the figures, then what it rests on."""
    blocks: list[Block] = [*answer(summary), *notes(summary)]
    if pictures:
        blocks += [Heading("Figures"), *pictures]
    blocks += [*appendix.measured(summary), *appendix.failed(summary), *appendix.classical(summary)]
    blocks += [*appendix.provenance(summary), *appendix.definitions()]
    return Document("How big a model does this data pay for?", _subtitle(summary), tuple(blocks))


def _subtitle(summary: Json) -> str:
    corpora = ", ".join(sorted({c["corpus"] for c in summary["corpora"]})) or "no corpus"
    counts = f"{summary['n_cells']} cells"
    counts += f", {summary['n_failed']} of them failed" if summary["n_failed"] else ""
    counts += f", {summary['n_missing']} still to run" if summary["n_missing"] else ""
    return f"Sweep {summary['name']} on {corpora}: {counts}. {_price(summary)}"


def _price(summary: Json) -> str:
    price = summary["cost"]["bytes_per_param"]
    name = summary["cost"]["name"]
    return f"A parameter costs {price:g} bytes{f' ({name})' if not name.endswith('bytes') else ''}."
