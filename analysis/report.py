"""The report: a PDF set by typst, each figure as a vector PDF, tables as CSV, every number in summary.json."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis import AnalysisError
from analysis.answer import answer_table
from analysis.blocks import Document, Picture
from analysis.cost import Cost, parse_cost
from analysis.document import write
from analysis.study import Study, in_context, law_line, study
from analysis.summary import summarise
from analysis.table import load

_RATES = ["group", "context_bytes", "subset_bytes", "size", "n_params", "n_seeds", "code_bits", "code_bits_sd",
          "raw_rate", "adjusted_rate", "rate_sd", "heldout_rate"]  # fmt: skip


@dataclass(frozen=True)
class ReportPaths:
    """What was made, and the summary that the text was written from."""

    pdf: Path
    figures: Path
    rates: Path
    critical_size: Path
    summary_json: Path
    summary: dict[str, Any]


def build_report(folder: Path, out: Path, cost: str | float | Cost = "float16") -> ReportPaths:
    """Report on a run folder (or a CSV) into the folder `out`, which is changed only once everything is made.

    The same records give the same bytes. AnalysisError for what is no sweep, a damaged record, or an unknown cost.
    """
    explained = study(load(folder), parse_cost(cost))
    summary = summarise(explained)
    if out.exists() and not out.is_dir():
        raise AnalysisError(f"{out} is a file; give --out a folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        made = Path(name)
        pictures = draw(explained, made / "figures")
        (made / "summary.json").write_text(json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        explained.rates[_RATES].to_csv(made / "rates.csv", index=False)
        explained.critical.to_csv(made / "critical_size.csv", index=False)
        typeset(write(summary, pictures), made, summary["provenance"]["created"])
        _move_in(made, out)
    return ReportPaths(
        out / "report.pdf", out / "figures", out / "rates.csv", out / "critical_size.csv", out / "summary.json", summary
    )


def _move_in(made: Path, out: Path) -> None:
    """Each piece whole; figures of an earlier report that this one does not have go."""
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for old in (out / "figures").glob("*.*"):
        if not (made / "figures" / old.name).exists():
            old.unlink()
    pieces = [*sorted((made / "figures").glob("*.*")), *(made / n for n in _FILES)]
    for piece in pieces:
        piece.replace(out / piece.relative_to(made))


_FILES = ("rates.csv", "critical_size.csv", "summary.json", "report.pdf")


def draw(explained: Study, folder: Path) -> list[Picture]:
    """Every figure that the records allow, as PDF and SVG, in the order of the report."""
    folder.mkdir(parents=True)
    groups = list(dict.fromkeys(explained.rates["group"]))
    pictures = []
    for i, group in enumerate(groups):
        for name, (plot, caption) in _drawings(explained, group).items():
            file = f"{name}.pdf" if i == 0 else f"{name}_{i + 1}.pdf"
            _save(plot, folder / file)
            pictures.append(Picture(file, f"{group}: {caption}" if len(groups) > 1 else caption))
    return pictures


def _drawings(explained: Study, group: str) -> dict[str, tuple[Callable[[], Any], str]]:
    """Name to (drawing, caption)."""
    from analysis import figures

    rates, critical = (frame[frame["group"] == group] for frame in (explained.rates, explained.critical))
    positions = in_context(explained.table, group)
    coders = _CLASSICAL if critical["coder"].notna().any() else ""
    drawings: dict[str, Callable[[], Any]] = {"adjusted_rate": lambda: figures.plot_adjusted_rate(rates, critical)}
    if (critical["status"] != "too few sizes").sum() > 1:
        line = law_line(explained.laws[group], critical)
        drawings["critical_size"] = lambda: figures.plot_critical_size(critical, line)
    drawings["raw_rate"] = lambda: figures.plot_raw_rate(rates, critical)
    if rates["heldout_rate"].notna().any():
        drawings["heldout_rate"] = lambda: figures.plot_heldout_rate(rates)
    if len(positions):
        drawings["in_context"] = lambda: figures.plot_in_context(positions)
    return {
        name: (plot, _CAPTIONS[name] + (coders if name in ("adjusted_rate", "raw_rate") else ""))
        for name, plot in drawings.items()
    }


_CLASSICAL = " Short lines on the left: the best classical coder on as many bytes."
_CAPTIONS = {
    "adjusted_rate": "Adjusted rate against model size, a curve a dataset size. Stars mark critical sizes, arrowheads "
    "a least rate at the grid's edge. Curves leave through the top where the parameters dwarf the data.",
    "critical_size": "Critical model size against dataset size. Arrows: at or beyond the edge of the grid.",
    "raw_rate": "Raw rate on the subset itself, parameters not counted: it falls as models grow, and below the "
    "held-out rate by memorising.",
    "heldout_rate": "Rate on bytes that no subset contains, a curve a size of the subset trained on.",
    "in_context": "Held-out bits a byte by position in the window, for models trained on the largest subset.",
}


def _save(plot: Callable[[], Any], path: Path) -> None:
    with theme():
        from matplotlib import pyplot as plt

        axes = plot()
        # No date and no producer's version: the same figure is the same bytes.
        axes.figure.savefig(path, metadata={"CreationDate": None, "Creator": None, "Producer": None})
        axes.figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})  # for web pages
        plt.close(axes.figure)


@contextmanager
def theme() -> Iterator[None]:
    """The one look of all figures, in force while they are drawn."""
    import matplotlib as mpl
    import seaborn as sns

    ours = {
        "axes.grid": True, "grid.color": "0.92", "grid.linewidth": 0.6, "axes.linewidth": 0.8, "axes.edgecolor": "0.3",
        "font.family": ["DejaVu Sans"], "font.size": 9, "axes.labelsize": 9, "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5, "pdf.fonttype": 42, "svg.hashsalt": "mdl", "savefig.bbox": "tight",
    }  # fmt: skip
    with mpl.rc_context(sns.axes_style("ticks") | sns.plotting_context("paper") | ours):
        yield


def typeset(document: Document, folder: Path, created: str | None) -> None:
    """Set a document as `folder`/report.pdf, with figures from `folder`/figures; dated by the newest record."""
    import typst

    content = json.dumps(asdict(document), ensure_ascii=False)
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


def terminal_table(summary: dict[str, Any]) -> str:
    """What a user came for, in plain text: a row a dataset size, then what failed or is missing."""
    if not summary["critical"]:
        return write(summary, []).blocks[0].text  # type: ignore[union-attr]
    grid = answer_table(summary)
    rows = [grid.header, *grid.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(c.rjust(w) if side == "r" else c.ljust(w) for c, w, side in zip(row, widths, grid.align, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    counts = (("n_failed", "failed"), ("n_missing", "not recorded yet"))
    asked = summary["n_cells"] + summary["n_missing"]
    lines += [f"{summary[key]} of {asked} cells {word}" for key, word in counts if summary[key]]
    return "\n".join(line.rstrip() for line in lines)
