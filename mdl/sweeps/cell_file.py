"""Cells that fill no grid as a sweep file, which `mdl sweep`, W&B's agents and Slurm take, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mdl.config import from_flat
from mdl.errors import MdlError
from mdl.storage import write_atomically
from mdl.sweeps.sweep_file import CELL, load_sweep

_OF_RECIPES = ("train.optimizer", "train.weight_decay", "train.decay_start")  # other defaults by recipe and optimizer


def cells_text(cells: Sequence[dict[str, Any]], name: str) -> str:
    """What all `cells` (flat settings) have in common, then a line each; what has its default is left out."""
    common = {key: value for key, value in cells[0].items() if all(cell.get(key) == value for cell in cells)}
    usual = from_flat({"model.size": cells[0]["model.size"]}).flat() | {"train.learning_rate": "auto"}
    if any(cell.get("train.recipe", 1) != 1 or cell.get("train.optimizer", "adamw") != "adamw" for cell in cells):
        usual = {key: value for key, value in usual.items() if key not in _OF_RECIPES}
    fixed = {key: {"value": value} for key, value in common.items() if key == "model.size" or value != usual.get(key)}
    own = [{key: value for key, value in cell.items() if key not in common} for cell in cells]
    content = {
        "name": name,
        "method": "grid",
        "command": ["${env}", "mdl", "run", "--sweep", name, "${args_no_hyphens}"],
        "parameters": fixed | ({CELL: {"values": own}} if own[0] else {}),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def write_cells(text: str, begin: str, file: Path, mend: str) -> None:
    """A file that begins with the comment `begin`; MdlError with `mend` where one that does not would be lost."""
    if file.exists() and not file.read_bytes().startswith(begin.encode()):
        raise MdlError(f"{file} was not written by {mend}")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode())


def read_cells(file: Path) -> list[dict[str, Any]]:
    """The cells of such a file as flat settings, in their order; none where there is no file."""
    if not file.exists():
        return []
    parameters = load_sweep(file).parameters
    fixed = {key: domain.values[0] for key, domain in parameters.items() if key != CELL and domain.values}
    return [fixed | own for own in parameters[CELL].values or ()] if CELL in parameters else [fixed]
