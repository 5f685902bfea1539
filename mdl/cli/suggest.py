"""What `mdl suggest` prints and writes: cells to train next, as a sweep file that `mdl sweep` runs as it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.formatting import format_seconds
from analysis.next_cells import Rung, Suggestion, describe, n_cells
from analysis.report import plain_table
from mdl.errors import MdlError
from mdl.models import ladder_of
from mdl.optimizers import OPTIMIZERS
from mdl.sizing import rungs
from mdl.sweeps import cells_text, write_cells
from mdl.units import counted

# As far as anyone might need, each some twice the one before; ascending in parameters.
LADDER = ladder_of("ladder(500, 500M, 20)") or ()
_OURS = "# Suggested by mdl suggest"
_SHAPE_KEYS = ("model.size", "model.width", "model.depth", "model.heads")
_VARIED = ("subset_bytes", "train.seed", "corpus.shuffle_seed", "train.learning_rate", *_SHAPE_KEYS)


def ladder(architecture: str, context_bytes: int, recipe: int) -> list[Rung]:
    """The shapes that may be suggested, ascending in parameters."""
    return rungs(LADDER, architecture, context_bytes, recipe)


def cells(suggestions: Sequence[Suggestion]) -> list[dict[str, Any]]:
    """Every cell suggested, as its flat settings: those recorded of the nearest one, with its own shape and seeds."""
    return [
        {
            "subset_bytes": one.subset_bytes,
            "model.size": one.size,
            "train.seed": seed,
            "corpus.shuffle_seed": shuffle_seed,
            "train.learning_rate": _learning_rate(one),
            **{key: value for key, value in one.recipe.items() if key not in _VARIED},
        }
        for one in suggestions
        for seed, shuffle_seed in itertools.product(one.seeds, one.shuffle_seeds)
    ]


def _learning_rate(one: Suggestion) -> float | str:
    """As it was asked for in the record nearest to it.

    Of a record that tells the resolved rate alone: `auto` where that is the rate of its recipe.
    """
    if (asked := one.asked.get("train.learning_rate")) is not None:
        return str(asked) if asked == "auto" else float(asked)
    recorded, optimizer = one.recipe.get("train.learning_rate"), one.recipe.get("train.optimizer", "adamw")
    if recorded is None:
        return "auto"
    if optimizer in OPTIMIZERS:  # a plugin's may not be loaded
        width, depth, recipe = one.recipe["model.width"], one.recipe["model.depth"], one.recipe.get("train.recipe", 1)
        if recorded == OPTIMIZERS[optimizer].learning_rate(width, depth, recipe):
            return "auto"
    return float(recorded)


def sweep_text(wanted: Sequence[dict[str, Any]], name: str) -> str:
    """The `cells` as a sweep file."""
    return f"{_OURS} from the records of {name}.\n{cells_text(wanted, name)}"


def write(wanted: Sequence[dict[str, Any]], name: str, out: Path) -> None:
    """One sweep file; MdlError where another's would be lost."""
    if out.is_dir():
        raise MdlError(f"{out} is a folder; give -o a file such as next.yaml")
    write_cells(sweep_text(wanted, name), _OURS, out, "mdl suggest and is left as it is; give -o another name")


def lines(suggestions: Sequence[Suggestion], within: float) -> list[str]:
    """A table, widest interval first, and what it comes to."""
    if not suggestions:
        return [f"nothing to do: every critical size is bracketed, its interval within a factor of {within:g}"]
    header = ("dataset", "size", "parameters", "seeds", "FLOPs", "seconds", "why")
    printed = plain_table(header, describe(suggestions))
    n = sum(n_cells(one) for one in suggestions)
    flops, seconds = (sum(getattr(one, name) * n_cells(one) for one in suggestions) for name in ("flops", "seconds"))
    time = f", about {format_seconds(seconds)} at the records' speed" if not math.isnan(seconds) else ""
    return [*printed, f"{counted(n, 'cell')}, {flops:.3g} training FLOPs{time}"]


def content(suggestions: Sequence[Suggestion]) -> list[dict[str, Any]]:
    """The same for scripts, a row a shape on a dataset; seconds None where no record tells."""
    return [
        {
            **{k: v for k, v in vars(one).items() if k not in ("recipe", "asked")},
            "seconds": None if math.isnan(one.seconds) else one.seconds,
        }
        for one in suggestions
    ]
