"""What `mdl size` does with its words, and how its answer is printed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError
from analysis.records import known_rows
from mdl.cli.options import console
from mdl.cli.sweep import command_line
from mdl.sizing import (
    Answer,
    Question,
    SizePlan,
    find_size,
    going_on_lines,
    look_at,
    plan_lines,
    reading,
    sentences,
    unknown,
)
from mdl.sweeps import Download

if TYPE_CHECKING:
    from rich.console import Console

    from mdl.sizing import GoingOn


def plan(asked: Question) -> SizePlan | GoingOn:
    """What would be trained first, or gone on with."""
    found = look_at(asked, Download(console()))
    return found.going_on(asked) or found.plan(asked)


def plan_told(made: SizePlan | GoingOn) -> list[str]:
    """In lines."""
    return plan_lines(made) if isinstance(made, SizePlan) else going_on_lines(made)


def plan_content(made: SizePlan | GoingOn) -> dict[str, Any]:
    """The same for scripts."""
    shared = {
        "read": reading(made.data),
        "subsets": list(made.subsets),
        "sizes": list(made.sizes),
        "steps": made.steps,
        "n_cells": len(made.cells),
    }
    if isinstance(made, SizePlan):
        return shared | {"n_done": 0, "seconds": round(made.seconds, 1), "n_params": made.expected, "unknown": {}}
    why = "a search that was begun before is gone on with; only a first plan foretells it"
    reasons = {"seconds": why, "n_params": why}
    return shared | {"n_done": made.n_done, **dict.fromkeys(reasons), "unknown": reasons}


def search(asked: Question, shown: Console) -> Answer:
    """The answer; what is planned and found is told on the way."""
    return find_size(asked, shown, command_line(), Download(shown))


def told(found: Answer, asked: Question) -> Iterator[str]:
    """The answer in sentences, and then, while its report is made, where that and the sweep file lie."""
    yield from ("", *sentences(found, asked.cost))
    with contextlib.suppress(AnalysisError):
        try:
            report = found.report()
        except KeyboardInterrupt:
            yield f"no report was made; mdl report {found.folder} makes it"
            raise
        yield from (f"report: {path}" for path in sorted(report.glob("*")) if path.suffix in (".pdf", ".html"))
        yield f"cells: {found.folder / 'sweep.yaml'}; the same command goes on, and mdl sweep takes this file"


def content(found: Answer) -> dict[str, Any]:
    """The same for scripts."""
    low, high = found.interval or (None, None)
    return {
        "n_params": found.n_params,
        "low": low,
        "high": high,
        "at_this_training": found.at_this_training("n_params"),
        "limit": found.limit._asdict() if found.limit else None,
        "subset_bytes": found.subset_bytes,
        "is_extrapolated": found.is_extrapolated,
        "is_converged": found.is_converged,
        "stopped": found.stopped,
        "folder": str(found.folder),
        "read": found.read,
        "unknown": unknown(found),
        "critical": [] if found.study is None else known_rows(found.study.critical),
    }
