"""What was trained, and how: the shapes of a sweep and the recipe that its critical sizes are of."""

from __future__ import annotations

from analysis.records import Table, rows_of
from analysis.types import Json

_SHAPE = ["size", "n_params", "n_heads", "embedding_params", "learning_rate"]
_BUDGET = ["n_steps", "context_bytes", "bytes_seen"]


def recipe(table: Table) -> Json:
    """`shapes`, a row a shape; `budgets`, a row a (steps, context, bytes seen); `passes`, a row a (D, budget).

    Empty where the records do not say, as of a table of others' measurements. `settings`: what all cells have in
    common of batch, warm-up, decay and clipping, dotted.
    """
    told = table.runs[["n_heads", "embedding_params", "learning_rate"]].notna().all(axis=1)
    runs = table.runs[told & (table.runs["n_steps"] > 0)]
    shapes = runs[_SHAPE].drop_duplicates().sort_values(["n_params", "learning_rate"])
    seen = runs.assign(passes=runs["bytes_seen"] / runs["subset_bytes"])
    passes = seen.groupby(["subset_bytes", *_BUDGET], as_index=False).agg(passes=("passes", "mean"))
    return {
        "shapes": rows_of(shapes),
        "budgets": rows_of(runs[_BUDGET].drop_duplicates().sort_values(_BUDGET)),
        "passes": rows_of(passes[["subset_bytes", "n_steps", "passes"]]),
        "settings": _common([config for config in runs["config"] if isinstance(config, dict)]),
    }


def _common(configs: list[Json]) -> Json:
    """Settings of training that are the same everywhere."""
    first = configs[0] if configs else {}
    names = [name for name in first if name.startswith("train.") and name not in ("train.learning_rate", "train.steps")]
    return {name: first[name] for name in names if all(config.get(name) == first[name] for config in configs)}
