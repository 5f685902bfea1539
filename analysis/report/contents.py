"""A summary put into words. A pure function of the summary, so that no number in the text is new."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.costs import parse_cost
from analysis.report.elements import Block, Document, Heading, Picture
from analysis.report.sections import (
    appendix,
    convergence,
    costs_page,
    findings,
    paper_table_page,
    recipe_page,
    size_law,
    tokenization_page,
)
from analysis.report.sections import codes as codes_page
from analysis.report.sections.answer import answer, notes
from analysis.report.sections.context_page import context_page
from analysis.report.sections.definitions import definitions
from analysis.report.sections.precision_page import precision
from analysis.types import Json


def write(summary: Json, pictures: Sequence[Picture]) -> Document:
    """The report: the answer, then what it rests on, section by section. What has nothing to show is left out."""

    def section(title: str, names: Sequence[str], words: list[Block]) -> list[Block]:
        shown: list[Block] = [p for name in names for p in pictures if p.name == name]
        return [Heading(title), *words, *shown] if words or shown else []

    blocks: list[Block] = [*answer(summary), *notes(summary)]
    # What a sweep was made to vary comes first; most vary nothing of these.
    codes = section("Codes that learn as they go", ("online",), codes_page.prequential(summary))
    blocks += codes if summary["online"] else []
    blocks += section("Leaked evaluation text", ("contamination",), codes_page.contamination(summary))
    blocks += section("Tokenisation", ("tokenisation",), tokenization_page.tokenisation(summary))
    blocks += section("Context length", ("context",), context_page(summary))
    blocks += section("Rates and model size", ("adjusted_rate",), [])
    blocks += section("How the critical size grows with the data", ("critical_size",), size_law.law(summary))
    blocks += [*convergence.convergence(summary), *size_law.estimates(summary)]
    blocks += section(
        "From which dataset size on a size pays", ("by_dataset", "by_prefix"), size_law.crossings(summary)
    )
    blocks += costs_page.costs(summary)
    blocks += section("Precision of the weights", ("precision",), precision(summary))
    blocks += section("Who wins, everything counted", (), codes_page.who_wins(summary))
    blocks += [] if summary["online"] else codes
    blocks += section("The subset itself and unseen bytes", ("raw_rate", "heldout_rate"), [])
    blocks += section("Scaling law of the held-out loss", ("fit", "residuals"), findings.fit(summary))
    blocks += [*findings.held_out(summary), *findings.seeds(summary)]
    blocks += section("What the compute would buy", ("compute",), findings.compute(summary))
    blocks += section("Learning in context", ("in_context",), [])
    blocks += section("The paper's table on this data", ("transfer",), paper_table_page.paper_table(summary))
    blocks += [
        *recipe_page.recipe(summary),
        *appendix.classical(summary),
        *appendix.measured(summary),
        *appendix.failed(summary),
    ]
    blocks += [*appendix.provenance(summary), *definitions()]
    only_table = summary.get("paper_table") and not summary["n_cells"]
    return Document(
        "Language models as compressors of any data" if only_table else "How big a model does this data pay for?",
        f"{which_sweep(summary)} {parse_cost(summary['cost']['name']).sentence}",
        tuple(blocks),
    )


def which_sweep(summary: Json) -> str:
    """The sweep, its corpora and how many cells it has."""
    names = sorted({c["corpus"] for c in summary["corpora"]})
    corpora = ("; " if any("," in name for name in names) else ", ").join(names) or "no corpus"
    if summary.get("paper_table") and not summary["n_cells"]:
        return f"{summary['name']}: {corpora}."
    counts = f"{summary['n_cells']} cells"
    counts += f", {summary['n_failed']} of them failed" if summary["n_failed"] else ""
    counts += f", {summary['n_missing']} still to run" if summary["n_missing"] else ""
    return f"Sweep {summary['name']} on {corpora}: {counts}."
