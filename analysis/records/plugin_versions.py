"""Cells that a plugin measured before it was edited, and again since: one of them counts, neither both nor the better.

A comparison of two versions is had by two run folders.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence

from analysis.formatting import join
from analysis.records.columns import CellRows, Row

_OF_VERSION = ("model_fingerprint", "code_bits")  # what a configuration tells of the code, or of what came of it


def newest(cells: Sequence[CellRows], asked: Collection[str]) -> tuple[list[CellRows], tuple[str, ...]]:
    """Those that count, and the run ids of the others. Of several versions it is what is `asked` for, else the newest.

    Versions are of one configuration and depend on a plugin; what depends on none stays, as replicates do.
    """
    versions = defaultdict(list)
    for cell in cells:
        if cell.run["plugins"]:
            versions[_measured(cell.run)].append(cell.run)
    best = (max(runs, key=lambda run: (run["run_id"] in asked, _created(run))) for runs in versions.values())
    counts = {run["run_id"] for run in best}
    kept = [cell for cell in cells if not cell.run["plugins"] or cell.run["run_id"] in counts]
    return kept, tuple(sorted({cell.run["run_id"] for cell in cells} - {cell.run["run_id"] for cell in kept}))


def mixed(runs: Sequence[Row]) -> list[str]:
    """What several versions of a plugin stand behind among these runs: names of architectures, optimizers, …"""
    hashes = defaultdict(set)
    for run in runs:
        for key, sha256 in (run["plugins"] or {}).items():
            hashes[str(run["config"].get(key, key))].add(sha256)
    return sorted(name for name, found in hashes.items() if len(found) > 1)


def mixed_note(names: Sequence[str]) -> str:
    """What a reader has to know where versions of these are `mixed`; nothing where none are."""
    if not names:
        return ""
    return (
        f"Several versions: a plugin was edited between the cells of {join(names)}, so a curve may hold cells of each. "
        "mdl sweep makes those anew that its file asks for."
    )


def _measured(run: Row) -> str:
    """What was measured, but for the code that did it."""
    config = {key: value for key, value in run["config"].items() if key not in _OF_VERSION}
    return json.dumps([config, run["subset_bytes"], run["sha256"]], sort_keys=True, default=str)


def _created(run: Row) -> str:
    return str(run["created"] or "")
