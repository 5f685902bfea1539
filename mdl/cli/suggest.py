"""What `mdl suggest` prints and writes: cells to train next, as sweep files that `mdl sweep` runs as they are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis.formatting import format_seconds
from analysis.next_cells import Rung, Suggestion, describe, n_cells
from mdl.config import from_flat, usual_learning_rate
from mdl.errors import MdlError
from mdl.models import Shape, count_params, forward_flops_per_byte, parse_size
from mdl.storage import write_atomically

# The shipped sweeps' shapes, some between, and as many beyond as anyone might need; ascending in parameters.
LADDER = ("2x1", "4x1", "8x1", "16x1", "16x2", "24x2", "32x2", "48x2", "64x2", "64x4", "96x4", "128x4", "192x4",
          "256x4", "256x8", "512x8", "512x16", "1024x16", "1024x32")  # fmt: skip
_OURS = "# Suggested by mdl suggest"
_SHAPE_KEYS = ("model.size", "model.width", "model.depth", "model.heads")
_VARIED = ("subset_bytes", "train.seed", "corpus.shuffle_seed", "train.learning_rate", *_SHAPE_KEYS)


def ladder(context_bytes: int) -> list[Rung]:
    """The shapes that may be suggested, ascending in parameters."""
    shapes = [Shape(*parse_size(name), context_bytes) for name in LADDER]
    return [Rung(s.label, count_params(s)["total"], 3.0 * forward_flops_per_byte(s)) for s in shapes]


@dataclass(frozen=True)
class Grid:
    """Cells of one recipe that a sweep file can name, every combination, and those of them that were suggested."""

    recipe: dict[str, Any]  # dotted keys other than the four below
    data: frozenset[int]
    sizes: frozenset[str]
    seeds: frozenset[int]
    shuffle_seeds: frozenset[int]
    asked: frozenset[tuple[int, str, int, int]]

    def cells(self) -> set[tuple[int, str, int, int]]:
        """(D, size, training seed, corpus seed) of every cell."""
        return set(itertools.product(self.data, self.sizes, self.seeds, self.shuffle_seeds))

    def joined(self, other: Grid) -> Grid:
        """The least grid that holds both."""
        return Grid(
            self.recipe, self.data | other.data, self.sizes | other.sizes, self.seeds | other.seeds,
            self.shuffle_seeds | other.shuffle_seeds, self.asked | other.asked,
        )  # fmt: skip


def grids(suggestions: Sequence[Suggestion]) -> list[Grid]:
    """Few grids that hold exactly the cells that were suggested: two are joined where that adds no other cell."""
    found = [_grid(one) for one in suggestions]
    while True:
        joins = ((a, b, a.joined(b)) for a, b in itertools.combinations(found, 2) if a.recipe == b.recipe)
        exact = next((join for join in joins if join[2].cells() == join[2].asked), None)
        if exact is None:
            return sorted(found, key=lambda grid: -len(grid.asked))
        found = [grid for grid in found if grid not in exact[:2]] + [exact[2]]


def _grid(one: Suggestion) -> Grid:
    recipe = {key: value for key, value in one.recipe.items() if key not in _VARIED}
    recipe["train.learning_rate"] = _learning_rate(one)
    data, sizes, seeds, shuffles = {one.subset_bytes}, {one.size}, one.seeds, one.shuffle_seeds
    asked = frozenset(itertools.product(data, sizes, seeds, shuffles))
    return Grid(recipe, frozenset(data), frozenset(sizes), frozenset(seeds), frozenset(shuffles), asked)


def _learning_rate(one: Suggestion) -> float | str:
    """`auto` where the record nearest to it has the recipe's rate, else that record's."""
    recorded = one.recipe["train.learning_rate"]
    usual = usual_learning_rate(one.recipe["model.width"], one.recipe["model.depth"])
    return "auto" if recorded == usual else float(recorded)


def sweep_text(grid: Grid, name: str) -> str:
    """The grid as a sweep file; settings that have their defaults are left out."""
    size = sorted(grid.sizes)[0]
    usual = from_flat({"model.size": size}).flat() | {"train.learning_rate": "auto"}
    varied: dict[str, list[Any]] = {
        "subset_bytes": sorted(grid.data),
        "model.size": sorted(grid.sizes, key=lambda label: count_params(Shape(*parse_size(label), 2))["total"]),
        "train.seed": sorted(grid.seeds),
        "corpus.shuffle_seed": sorted(grid.shuffle_seeds),
    }
    fixed = {key: {"value": value} for key, value in grid.recipe.items() if value != usual.get(key)}
    content = {
        "name": name,
        "method": "grid",
        "command": ["${env}", "mdl", "run", "--sweep", name, "${args_no_hyphens}"],
        "parameters": {**fixed, **{key: {"values": values} for key, values in varied.items()}},
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    return f"{_OURS} from the records of {name}.\n{text}"


def write(found: Sequence[Grid], name: str, out: Path) -> list[str]:
    """One file a grid: `out`, then with -2, -3 … before its suffix. What was written, a line each."""
    paths = [out if i == 0 else out.with_name(f"{out.stem}-{i + 1}{out.suffix}") for i in range(len(found))]
    for path in paths:
        if path.is_dir():
            raise MdlError(f"{path} is a folder; give -o a file such as next.yaml")
        if path.exists() and not path.read_bytes().startswith(_OURS.encode()):
            raise MdlError(f"{path} was not written by mdl suggest and is left as it is; give -o another name")
    for path, grid in zip(paths, found, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, sweep_text(grid, name).encode())
    return [
        f"{path}: {len(grid.cells())} cells; run: mdl sweep {path}" for path, grid in zip(paths, found, strict=True)
    ]


def lines(suggestions: Sequence[Suggestion], within: float) -> list[str]:
    """A table, widest interval first, and what it comes to."""
    if not suggestions:
        return [f"nothing to do: every critical size is bracketed, its interval within a factor of {within:g}"]
    header = ("dataset", "size", "parameters", "seeds", "FLOPs", "seconds", "why")
    rows = [header, *describe(suggestions)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    printed = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    printed.insert(1, "  ".join("─" * width for width in widths))
    n = sum(n_cells(one) for one in suggestions)
    flops, seconds = (sum(getattr(one, name) * n_cells(one) for one in suggestions) for name in ("flops", "seconds"))
    time = f", about {format_seconds(seconds)} at the records' speed" if seconds == seconds else ""
    return [*printed, f"{n} cells, {flops:.3g} training FLOPs{time}"]


def to_json(suggestions: Sequence[Suggestion]) -> str:
    """The same as a JSON list; seconds null where no record tells."""
    rows = [
        {
            **{k: v for k, v in vars(one).items() if k != "recipe"},
            "seconds": one.seconds if one.seconds == one.seconds else None,
        }
        for one in suggestions
    ]
    return json.dumps(rows, indent=1, allow_nan=False, ensure_ascii=False)
