"""What was trained, and how: the shapes of a sweep and the recipe that its critical sizes are of."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pandas as pd

from analysis.formatting import format_bytes, format_percent, format_ratio, join
from analysis.records import Row, Table, rows_of
from analysis.report.csv_tables import CsvTable
from analysis.report.elements import Block, Grid, Heading, Text
from analysis.report.rows.records import BudgetRow, PassesRow, Recipe, RecipeRow, ShapeRow
from analysis.report.section import WideSection, register_section
from analysis.report.summary_keys import Summary

_SHAPE = ["size", "n_params", "n_heads", "embedding_params", "learning_rate"]
_RECIPE = ["recipe", "optimizer"]
_BUDGET = ["n_steps", "context_bytes", "bytes_seen"]


def recipe(table: Table) -> Recipe:
    """What was trained, and how. Empty where the records do not say, as of a table of others' measurements."""
    told = table.runs[["n_heads", "embedding_params", "learning_rate"]].notna().all(axis=1)
    runs = table.runs[told & (table.runs["n_steps"] > 0)]
    seen = runs.assign(passes=runs["bytes_seen"] / runs["subset_bytes"])
    passes = seen.groupby(["subset_bytes", *_BUDGET], as_index=False).agg(passes=("passes", "mean"))
    return {
        "recipes": cast(list[RecipeRow], _distinct(runs, _RECIPE, by=_RECIPE)),
        "shapes": cast(list[ShapeRow], _distinct(runs, _SHAPE, by=["n_params", "learning_rate"])),
        "budgets": cast(list[BudgetRow], _distinct(runs, _BUDGET, by=_BUDGET)),
        "passes": cast(list[PassesRow], rows_of(passes[["subset_bytes", "n_steps", "passes"]])),
        "settings": _common([config for config in runs["config"] if isinstance(config, dict)]),
    }


def _distinct(runs: pd.DataFrame, columns: list[str], by: list[str]) -> list[Row]:
    return rows_of(runs[columns].drop_duplicates().sort_values(by))


def _common(configs: list[dict[str, Any]]) -> dict[str, Any]:
    """Settings of training that are the same everywhere."""
    first = configs[0] if configs else {}
    names = [name for name in first if name.startswith("train.") and name not in ("train.learning_rate", "train.steps")]
    return {name: first[name] for name in names if all(config.get(name) == first[name] for config in configs)}


def write(summary: Summary) -> list[Block]:
    """The recipe that every critical size of the report belongs to; nothing where the records do not say."""
    found = summary["recipe"]
    if not found["shapes"]:
        return []
    header = ("shape", "parameters", "of which embedding", "heads", "learning rate")
    rows = tuple(
        (
            row["size"],
            f"{row['n_params']:,}",
            format_percent(row["embedding_params"] / row["n_params"]),
            str(row["n_heads"]),
            f"{row['learning_rate']:.3g}",
        )
        for row in found["shapes"]
    )
    of = " (of Muon, for matrices)" if any(row["optimizer"] == "muon" for row in found["recipes"]) else ""
    shapes = (
        f"Shapes are given as width × depth. Their learning rates{of} come from a table or from the sweep file. "
        f"{_tuned(found)}"
    )
    return [Heading("Recipe"), Text(f"{_training(found)} {_passes(found)} {shapes}"), Grid(header, rows, "lrrrr")]


def _tuned(found: Recipe) -> str:
    most = max(Counter((row["size"], row["n_params"]) for row in found["shapes"]).values())
    if most == 1:
        return "One rate a shape was run here; on which data these rates were chosen is not recorded."
    return (
        f"Up to {most} rates a shape were tried on this data. Of three or more the shortest code is estimated by a "
        "parabola in the rate's logarithm; of two the shorter one counts."
    )


_SHARES = ("train.decay_start", "train.final_lr_fraction")


def _training(found: Recipe) -> str:
    steps = join(sorted({row["n_steps"] for row in found["budgets"]}))
    contexts = join(f"{n:,}" for n in sorted({row["context_bytes"] for row in found["budgets"]}))
    words = {
        "train.batch_windows": "{} windows per step",
        "train.warmup_steps": "{} steps of warm-up",
        "train.decay_start": "a rate that falls linearly from {} of the steps on",
        "train.final_lr_fraction": "to {} of itself",
        "train.weight_decay": "weight decay {:g}",
        "train.clip_norm": "gradients clipped at {:g}",
    }
    told = {name: found["settings"][name] for name in words if found["settings"].get(name)}
    shares = {name: f"{value:.0%}".replace("%", " %") for name, value in told.items() if name in _SHARES}
    said = [words[name].format(value) for name, value in (told | shares).items()]
    how = join([_optimizer(row) for row in found["recipes"]])
    return f"{how}, {steps} steps, windows of {contexts}" + "".join(f", {each}" for each in said) + "."


def _optimizer(row: RecipeRow) -> str:
    """Its name in prose; a plugin's as it is registered. The first recipe goes without saying."""
    optimizer = str(row["optimizer"])
    name = {"adamw": "AdamW", "muon": "Muon on matrices and AdamW on the rest"}.get(optimizer, optimizer)
    return name if row["recipe"] == 1 else f"Recipe {row['recipe']}: {name}"


def _passes(found: Recipe) -> str:
    most = max(row["n_steps"] for row in found["passes"])
    passes = [row for row in found["passes"] if row["n_steps"] == most]
    if not passes or len({row["subset_bytes"] for row in passes}) < len(passes):
        return ""
    each = join(f"{format_bytes(row['subset_bytes'])} {format_ratio(row['passes'])} times" for row in passes)
    return f"In {most:,} steps models read {each}."


register_section(
    WideSection(
        name="recipe",
        measure=lambda study: {"recipe": recipe(study.table)},
        write=write,
        tables=(CsvTable("recipe", "shapes", within="shapes"),),
    ),
)
