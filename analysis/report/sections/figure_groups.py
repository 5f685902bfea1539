"""The groups of a study that have figures of their own, and how those are named."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.plots import Plot
from analysis.report.section import Figure
from analysis.study import Study


@dataclass(frozen=True)
class FigureGroup:
    """A group; `index` counts them, `begin` names it before a caption where there are several."""

    group: str
    index: int
    begin: str

    def figure(self, name: str, plot: Plot, caption: str) -> Figure:
        """Its figure of that name."""
        return Figure(name=name, plot=plot, caption=self.begin + caption, index=self.index)


def figure_groups(study: Study, named_by: str = "group", *, with_rates: bool = False) -> list[FigureGroup]:
    """Groups with something to draw: of several contexts the longest.

    Of the others, as of a leak and of larger vocabularies, there is one figure with all. `named_by`: the column of
    `Table.runs` by which a caption calls them. `with_rates`: those alone that have a two-part code.
    """
    runs = study.table.runs
    least = runs.groupby("byte_group")["vocabulary"].transform("min")
    longest = runs.groupby("corpus")["context_bytes"].transform("max")
    beside = set(runs.loc[(runs["vocabulary"] > least) | (runs["context_bytes"] < longest), "group"])
    leaked = set(runs.loc[(runs["leak_fraction"] > 0) & runs["clean_group"].isin(set(runs["group"])), "group"])
    online = runs.loc[runs["is_online"], "group"]
    groups = [group for group in dict.fromkeys([*study.rates["group"], *online]) if group not in leaked | beside]
    several, rated = runs[named_by].nunique() > 1, set(study.rates["group"])
    named = [
        FigureGroup(group, i, f"{runs.loc[runs['group'] == group, named_by].iloc[0]}: " if several else "")
        for i, group in enumerate(groups)
    ]
    return [shown for shown in named if shown.group in rated] if with_rates else named
