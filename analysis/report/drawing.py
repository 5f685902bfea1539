"""Which figures the records allow, their captions, and their files. The one look of all figures is set here."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from analysis.codes import online_curves
from analysis.plots import Plot, save_figure
from analysis.report.captions import CAPTIONS, CLASSICAL
from analysis.report.elements import Picture
from analysis.report.lines import fit_lines, fit_points, theory_line
from analysis.report.sections.contamination import contamination
from analysis.report.sections.context_length import contexts
from analysis.report.sections.crossovers import envelope, own_points, prefix_points
from analysis.report.sections.paper_table import position_curves
from analysis.report.sections.precision import law_lines, precisions
from analysis.report.sections.tokenization import tokenisation
from analysis.study import Study, in_context, law_line


def draw(explained: Study, folder: Path) -> list[Picture]:
    """Every figure that the records allow, as PDF and SVG, in the order of the report."""
    folder.mkdir(parents=True)
    runs, pictures = explained.table.runs, []
    for i, group in enumerate(_shown(explained)):
        for name, (plot, caption) in _drawings(explained, group).items():
            file = f"{name}.pdf" if i == 0 else f"{name}_{i + 1}.pdf"
            save_figure(plot, folder / file)
            of = runs["byte_group" if name == "tokenisation" else "group"]  # which is of all vocabularies
            begin = f"{of[runs['group'] == group].iloc[0]}: " if of.nunique() > 1 else ""
            pictures.append(Picture(file, f"{begin}{caption}", name))
    return [*pictures, *_of_contexts(explained, folder), *_of_transfers(explained, folder)]


def _of_contexts(explained: Study, folder: Path) -> list[Picture]:
    from analysis.report.sections import paper_table_figures

    of_corpora = list(contexts(explained).groupby("corpus"))
    pictures, several = [], len(of_corpora) > 1
    for i, (corpus, rates) in enumerate(of_corpora):
        file = f"context_{i + 1}.pdf" if i else "context.pdf"
        save_figure(partial(paper_table_figures.plot_contexts, rates), folder / file)
        begin = f"{corpus}: " if several else ""
        pictures.append(Picture(file, begin + CAPTIONS["context"], "context"))
    return pictures


def _of_transfers(explained: Study, folder: Path) -> list[Picture]:
    from analysis.report.sections import paper_table_figures

    curves = position_curves(explained.table.transfers)
    if curves.empty:
        return []
    save_figure(lambda: paper_table_figures.plot_position_panels(curves), folder / "transfer.pdf")
    return [Picture("transfer.pdf", CAPTIONS["transfer"], "transfer")]


def _shown(explained: Study) -> list[str]:
    """Groups with something to draw: of several contexts the longest.

    Of the others, as of a leak and of larger vocabularies, there is one figure with all.
    """
    runs = explained.table.runs
    least = runs.groupby("byte_group")["vocabulary"].transform("min")
    longest = runs.groupby("corpus")["context_bytes"].transform("max")
    beside = set(runs.loc[(runs["vocabulary"] > least) | (runs["context_bytes"] < longest), "group"])
    clean = set(runs["group"])
    leaked = set(runs.loc[(runs["leak_fraction"] > 0) & runs["clean_group"].isin(clean), "group"])
    online = runs.loc[runs["is_online"], "group"]
    return [group for group in dict.fromkeys([*explained.rates["group"], *online]) if group not in leaked | beside]


def _drawings(explained: Study, group: str) -> dict[str, tuple[Plot, str]]:
    """Name to (drawing, caption)."""
    from analysis.plots import plot_adjusted_rate, plot_heldout_rate, plot_in_context, plot_raw_rate

    frames = explained.rates, explained.critical, explained.between
    rates, critical, between = (frame[frame["group"] == group] for frame in frames)
    others = _of_other_codes(explained, group)
    if rates.empty:
        return {name: (plot, CAPTIONS[name]) for name, plot in others.items()}
    more = {"adjusted_rate": _spread(rates), "raw_rate": _spread(rates)}
    if critical["coder"].notna().any():
        more = {name: text + CLASSICAL for name, text in more.items()}
    plots: dict[str, Plot] = {
        "adjusted_rate": lambda: plot_adjusted_rate(rates, critical, between),
        "raw_rate": lambda: plot_raw_rate(rates, critical),
    }
    if (critical["status"] != "too few sizes").sum() > 1:
        plots["critical_size"], more["critical_size"] = _critical_size(explained, group)
    if rates["heldout_rate"].notna().any():
        plots["heldout_rate"] = lambda: plot_heldout_rate(rates)
    positions = in_context(explained.table, group)
    if len(positions):
        reads_tokens = (explained.table.runs.query("group == @group")["vocabulary"] > 256).any()
        plots["in_context"] = lambda: plot_in_context(positions, unit="token" if reads_tokens else "byte")
    plots |= _by_dataset_size(explained, group) | _of_the_fit(explained, group) | others
    return {name: (plots[name], text + more.get(name, "")) for name, text in CAPTIONS.items() if name in plots}


def _by_dataset_size(explained: Study, group: str) -> dict[str, Plot]:
    """Of models trained on every subset, and of those of the largest alone; only where a size gives way to another."""
    from analysis.report.sections.crossovers_figure import plot_envelope

    forms = {"by_dataset": own_points, "by_prefix": prefix_points}
    found = {name: envelope(points(explained, group)) for name, points in forms.items()}
    return {name: partial(plot_envelope, of) for name, of in found.items() if len(of.spans) > 1}


def _spread(rates: pd.DataFrame) -> str:
    return " Bars: standard deviation over seeds." if (rates["n_seeds"] > 1).any() else ""


def _critical_size(explained: Study, group: str) -> tuple[Plot, str]:
    """The drawing, and what of it the caption has to explain."""
    from analysis.plots import plot_critical_size

    critical, predictions = (f[f["group"] == group] for f in (explained.critical, explained.predictions))
    law = _labelled(explained, group, law_line(explained.laws[group], critical))
    theory = theory_line(explained.theory.get(group), critical)
    said = [
        (critical["span_low"].notna().any(), " Bars: 95 % intervals of both estimators."),
        (predictions["low"].notna().any(), " Band: 95 % interval of the law."),
        (theory is not None, " Dashed: the slope that theory asks for, through the middle of the stars."),
        (predictions["extrapolated"].any(), " Circles: predicted, extrapolated beyond the grid."),
    ]
    return lambda: plot_critical_size(critical, law, theory, predictions), "".join(t for has, t in said if has)


def _labelled(explained: Study, group: str, line: pd.DataFrame | None) -> pd.DataFrame | None:
    """With γ's interval in the label, where there is one."""
    low, high = (getattr(explained.laws[group], name, None) for name in ("gamma_low", "gamma_high"))
    if line is None or low is None or high is None:
        return line
    gamma = explained.laws[group].gamma
    return line.assign(label=rf"$N^* \propto D^\gamma$, $\gamma$ = {gamma:.2f} (95 %: {low:.2f} to {high:.2f})")


def _of_other_codes(explained: Study, group: str) -> dict[str, Plot]:
    from analysis.report.sections import codes_figures

    plots: dict[str, Plot] = {}
    curves = online_curves(explained.table, group)
    if len(curves):
        plots["online"] = lambda: codes_figures.plot_online(curves)
    leaks = contamination(explained)
    own = leaks[leaks["group"] == group]
    largest = own[own["subset_bytes"] == own["subset_bytes"].max()]
    if largest["leak_fraction"].nunique() > 1:
        plots["contamination"] = lambda: codes_figures.plot_contamination(largest)
    return plots | _of_tokens(explained, group) | _of_precisions(explained, group)


def _of_precisions(explained: Study, group: str) -> dict[str, Plot]:
    from analysis.report.sections import precision_figure

    rows = pd.DataFrame([row for row in precisions(explained) if row["group"] == group])
    if rows.empty or (rows["status"] == "bracketed").sum() < 2:
        return {}
    return {"precision": lambda: precision_figure.plot_precision(rows, law_lines(rows))}


def _of_tokens(explained: Study, group: str) -> dict[str, Plot]:
    from analysis.report.sections import tokenization_figure

    runs, rows = explained.table.runs, tokenisation(explained)
    own = rows[rows["group"].isin(runs.loc[runs["group"] == group, "byte_group"])]
    return {"tokenisation": lambda: tokenization_figure.plot_tokenisation(own)} if len(own) else {}


def _of_the_fit(explained: Study, group: str) -> dict[str, Plot]:
    from analysis.report.sections import fit_figures

    plots: dict[str, Plot] = {}
    fit = explained.fit
    if fit and fit["success"] and fit.get("residuals") and fit.get("group", group) == group:
        points, lines = fit_points(fit), fit_lines(fit)
        plots["fit"] = lambda: fit_figures.plot_fit(points, lines)
        plots["residuals"] = lambda: fit_figures.plot_residuals(points)
    compute = explained.compute[explained.compute["group"] == group]
    if compute["kind"].nunique() > 1:  # one kind alone compares nothing
        plots["compute"] = lambda: fit_figures.plot_compute(compute)
    return plots
