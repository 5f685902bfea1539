"""`mdl suggest --run`, a round by itself: what is suggested becomes a sweep file, is trained, the answer is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.costs import parse_cost
from analysis.formatting import format_count, format_place, format_range, format_size
from analysis.next_cells import Suggestion
from analysis.next_cells import suggest as suggestions
from analysis.records import known_rows, load, mixed, mixed_note, rows_of
from analysis.report import summarise, terminal_table
from analysis.study import Study, study
from mdl.cli import suggest, sweep
from mdl.cli.options import console
from mdl.errors import MdlError
from mdl.records import RunPaths
from mdl.sweeps import plan_sweep

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What the records of a folder say under a price, and which cells would say more."""

    place: Path
    explained: Study
    found: list[Suggestion]
    within: float

    @property
    def lines(self) -> list[str]:
        """The cells for people, and a note where cells of several versions of a plugin stand behind them."""
        note = mixed_note(mixed(rows_of(self.explained.table.runs)))
        return [*suggest.lines(self.found, self.within), *([f"note: {note}"] if note else [])]

    @property
    def critical(self) -> list[dict[str, Any]]:
        """A row per dataset size; what is not known is None."""
        return known_rows(self.explained.critical)

    @property
    def answer(self) -> str:
        """The critical sizes as `mdl report` prints them."""
        return terminal_table(summarise(self.explained)) if self.critical else "no critical size yet"


def look(place: Path, cost: str, within: float) -> Looked:
    """AnalysisError for what is no run folder, or has too little to go by."""
    explained = study(load(place), parse_cost(cost))
    found = suggestions(explained, suggest.ladder, within)
    return Looked(place=place, explained=explained, found=found, within=within)


def sweep_of(place: Path) -> str:
    """The name of the sweep whose run folder it is; MdlError where a round would have nothing to join."""
    if not RunPaths(place).manifest.exists():
        raise MdlError(
            f"{place} is not a run folder of a sweep (it has no sweep.json); leave out --run, or name another"
        )
    return place.resolve().name


def free_file(place: Path) -> Path:
    """One file per round, in the run folder: suggested-1.yaml, suggested-2.yaml …"""
    n = 1
    while (file := place / f"suggested-{n}.yaml").exists():
        n += 1
    return file


def run(file: Path, place: Path, shown: Console | None = None) -> None:
    """Train the cells of a file that `suggest.write` wrote for the run folder `place`, as `mdl sweep` would."""
    whole = place.resolve()
    plan = plan_sweep(file, place.parent if place.name == whole.name else whole.parent)
    # Its cells join those that the manifest names; coders are asked again where the sweep had asked them.
    with_baselines = RunPaths(place).baselines.is_dir()
    sweep.run(plan, shown=shown or console(), whole=False, with_baselines=with_baselines)


def told(before: Looked, after: Looked, file: Path) -> list[str]:
    """The new answer, what it was before, and what to do next."""
    former = {(row["group"], row["subset_bytes"]): row for row in before.critical}
    groups = after.explained.table.groups
    several = len({row["group"] for row in after.critical}) > 1
    changed = [
        f"{format_place(row['subset_bytes'], groups[row['group']].name if several else '')}: {_size(row)}, "
        f"was {_size(old)}"
        for row in after.critical
        if (old := former.get((row["group"], row["subset_bytes"]))) and _size(old) != _size(row)
    ]
    n = len(suggest.cells(after.found))
    again = f"next: run the same command again, for {n} more cells" if n else after.lines[0]
    return [after.answer, "", *changed, f"trained: {file}; {again}"]


def _size(row: dict[str, Any]) -> str:
    """2.9 K (2.26 K to 3.6 K), or why there is none."""
    if row["n_params"] is None:
        return str(row["message"])
    known = row["low"] is not None and row["high"] is not None
    interval = f" ({format_range(row['low'], row['high'], format_count)})" if known else ""
    return f"{format_size(row['n_params'], row['low'], row['high'])}{interval}"
