"""The recipe in words, and the shapes in a table."""

from __future__ import annotations

from analysis.formatting import format_bytes, format_percent, join
from analysis.report.elements import Block, Grid, Heading, Text
from analysis.types import Json


def recipe(summary: Json) -> list[Block]:
    """What every critical size of the report is of; nothing where the records do not say."""
    found = summary["recipe"]
    if not found["shapes"]:
        return []
    header = ("shape", "parameters", "of which embedding", "heads", "learning rate")
    rows = tuple(
        (row["size"], f"{row['n_params']:,}", format_percent(row["embedding_params"] / row["n_params"]),
         str(row["n_heads"]), f"{row['learning_rate']:.3g}")
        for row in found["shapes"]
    )  # fmt: skip
    shapes = "Shapes are width × depth; their learning rates are a table's or the sweep's, not tuned on this data."
    return [Heading("Recipe"), Text(f"{_training(found)} {_passes(found)} {shapes}"), Grid(header, rows, "lrrrr")]


def _training(found: Json) -> str:
    steps = join(sorted({row["n_steps"] for row in found["budgets"]}))
    contexts = join(f"{n:,}" for n in sorted({row["context_bytes"] for row in found["budgets"]}))
    words = {
        "train.batch_windows": "{} windows a step",
        "train.warmup_steps": "{} steps of warm-up",
        "train.decay_start": "a rate that falls linearly from {:.0%} of the steps on",
        "train.final_lr_fraction": "to {:.0%} of itself",
        "train.weight_decay": "weight decay {:g}",
        "train.clip_norm": "gradients clipped at {:g}",
    }
    said = [form.format(found["settings"][name]) for name, form in words.items() if found["settings"].get(name)]
    return f"AdamW, {steps} steps, windows of {contexts}" + "".join(f", {each}" for each in said) + "."


def _passes(found: Json) -> str:
    most = max(row["n_steps"] for row in found["passes"])
    passes = [row for row in found["passes"] if row["n_steps"] == most]
    if not passes or len({row["subset_bytes"] for row in passes}) < len(passes):
        return ""
    each = join(f"{format_bytes(row['subset_bytes'])} {row['passes']:.3g} times" for row in passes)
    return f"In {most:,} steps models saw {each}."
