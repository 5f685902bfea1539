"""Which commits and commands made the records, and where a replicate is another version as well."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.records import Table
from analysis.types import Json

_CELL = ["group", "subset_bytes", "n_params", "n_steps"]  # one training; replicates differ in seeds alone
_REPLICATES = {"shuffle_seed": "seed", "seed": "shuffle_seed"}  # an axis, and the one held fixed beside it


def origins(table: Table) -> Json:
    """`commits` and `commands`, newest first, each with n_records and created, the newest's; None: not recorded.

    `confounded` as of `confounded`.
    """
    frames = [frame for frame in (table.runs, table.transfers) if len(frame)] or [table.runs]
    made = pd.concat([frame[["git_commit", "command", "created"]] for frame in frames])
    return {
        "commits": _counted(made, "git_commit"),
        "commands": _counted(made, "command"),
        "confounded": confounded(table.runs),
    }


def _counted(made: pd.DataFrame, column: str) -> list[Json]:
    named = made.assign(created=made["created"].fillna("").astype(str), name=_known(made[column]))
    found = named.groupby("name", as_index=False).agg(n_records=("created", "size"), created=("created", "max"))
    rows = found.sort_values(["created", "name"], ascending=False, kind="stable").to_dict("records")
    return [{column: row["name"] or None, "n_records": row["n_records"], "created": row["created"]} for row in rows]


def _known(names: pd.Series[Any]) -> pd.Series[str]:
    """Nothing is a name too: a version that nobody can tell."""
    return names.fillna("").astype(str)


def confounded(runs: pd.DataFrame) -> list[Json]:
    """Per replicate axis, where most replicates are of several commits: axis, n_apart of n_replicated cells.

    A cell here is one training of one size on one dataset size; it is apart where its replicates along the axis are not
    all of one commit, so that their spread holds the change of version.
    """
    rows = []
    for axis, fixed in _REPLICATES.items():
        cells = runs.assign(commit=_known(runs["git_commit"])).groupby([*_CELL, fixed])
        values, commits = cells[axis].nunique(), cells["commit"].nunique()
        replicated = values > 1
        n_apart = int((replicated & (commits > 1)).sum())
        if 2 * n_apart > replicated.sum():
            rows.append({"axis": axis, "n_apart": n_apart, "n_replicated": int(replicated.sum())})
    return rows
