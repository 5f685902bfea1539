"""Which commits and commands made the records, as rows of the table of provenance."""

from __future__ import annotations

from analysis.formatting import join
from analysis.report.elements import Block, Text
from analysis.types import Json

_AXES = {"shuffle_seed": "corpus seed", "seed": "training seed"}
_DIGITS = 12  # of a commit, where there are several: git finds it by fewer


def commands(found: Json, unit: str) -> list[tuple[str, str]]:
    """A row a command, newest first, with how many records it made; `unit`: what one record is."""
    known = found["commands"]
    if not any(row["command"] for row in known):
        return [("command", found["command"] or "not recorded")]
    if len(known) == 1:
        return [("command", known[0]["command"])]
    texts = [f"{row['command'] or 'not recorded'} ({_number(row, unit)})" for row in known]
    return [("commands" if i == 0 else "", text) for i, text in enumerate(texts)]


def commits(found: Json, unit: str) -> tuple[str, str]:
    """All commits, newest first; in full where there is one."""
    known = found["commits"]
    if not any(row["git_commit"] for row in known):
        return "commit", "not recorded"
    if len(known) == 1:
        return "commit", str(known[0]["git_commit"])
    text = join(f"{_short(row['git_commit'])} ({_number(row, unit)})" for row in known)
    changed = any((row["git_commit"] or "").endswith("+") for row in known)
    return "commits", text + ("; +: with uncommitted changes" if changed else "")


def _number(row: Json, unit: str) -> str:
    return f"{row['n_records']} {unit}{'s' * (row['n_records'] != 1)}"


def _short(commit: str | None) -> str:
    if commit is None:
        return "unrecorded"
    return commit.removesuffix("+")[:_DIGITS] + ("+" if commit.endswith("+") else "")


def confounded(found: Json) -> list[Block]:
    """One sentence where replicates are of several commits."""
    rows = found["confounded"]
    if not rows:
        return []
    where = join(f"{r['n_apart']} of {r['n_replicated']} cells with several {_AXES[r['axis']]}s" for r in rows)
    axes = ", ".join(_AXES[row["axis"]] for row in rows)
    text = (
        f"In {where}, the replicates were not all made by one commit: there {axes} and version are confounded, and a "
        "spread between replicates holds both."
    )
    return [Text(text)]
