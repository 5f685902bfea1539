"""Cells as a sweep file that `mdl sweep`, W&B's agents and Slurm take: nothing of a search is hidden in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mdl.config import from_flat
from mdl.errors import MdlError
from mdl.storage import write_atomically
from mdl.sweeps import CELL, load_sweep

_A_LINE = ("model.size", "subset_bytes")  # of every cell, so that none is empty
_OURS = "# The cells of mdl size"


def write_sweep_file(cells: Sequence[dict[str, Any]], name: str, file: Path) -> None:
    """What all have in common, then a line each. MdlError where another's file would be lost."""
    if file.exists() and not file.read_bytes().startswith(_OURS.encode()):
        raise MdlError(f"{file} was not written by mdl size and is left as it is; give --name another word")
    common = {
        key: value
        for key, value in cells[0].items()
        if key not in _A_LINE and all(cell.get(key) == value for cell in cells)
    }
    usual = from_flat({"model.size": cells[0]["model.size"]}).requested()
    fixed = {key: {"value": value} for key, value in common.items() if value != usual.get(key)}
    own = [{key: value for key, value in cell.items() if key not in common} for cell in cells]
    content = {
        "name": name,
        "method": "grid",
        "command": ["${env}", "mdl", "run", "--sweep", name, "${args_no_hyphens}"],
        "parameters": fixed | {CELL: {"values": own}},
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, f"{_OURS}; mdl sweep goes on with them.\n{text}".encode())


def read_sweep_file(file: Path) -> list[dict[str, Any]]:
    """The cells of such a file, in the order in which they were wanted; none where there is no file."""
    if not file.exists():
        return []
    parameters = load_sweep(file).parameters
    fixed = {key: domain.values[0] for key, domain in parameters.items() if key != CELL and domain.values}
    return [fixed | own for own in parameters[CELL].values or ()]
