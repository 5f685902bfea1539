"""Whether a longer training pays: what it is foretold to take off the two-part code, from the budgets that are done.

A budget's code length L is of the own subset by the final weights, and of the parameters at the sweep's price. What a
doubling takes off falls from one doubling to the next by a factor between ½ and 1, as it was from the last but one to
the last; after two budgets alone by 2^−½, the slowest fall of runs of 1,500 to 24,000 steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mdl.config import Cell, ResolvedConfig, from_flat
from mdl.records import BudgetGain, CellRecord, RunPaths, TrainingInfo, read_cell, read_ending

_USUAL_FALL, _LEAST_FALL = 0.5**0.5, 0.5  # of what a doubling gains, per doubling


def foretold(steps: Sequence[int], lengths: Sequence[float]) -> float | None:
    """The share of the last of `lengths` that the last of `steps`, one more, is foretold to take off; at least 0.

    `steps` increase. None with fewer than two lengths, or one that is not finite.

    >>> foretold([1000, 2000, 4000, 8000], [110.0, 104.0, 100.0])  # 6, 4, so 8/3
    0.026666666666666665
    """
    if len(lengths) < 2 or not all(map(math.isfinite, lengths)):
        return None
    at = [math.log2(n) for n in steps]
    gains = [(lengths[k] - lengths[k + 1]) / (at[k + 1] - at[k]) for k in range(len(lengths) - 1)]  # a doubling
    middle = [(at[k] + at[k + 1]) / 2 for k in range(len(lengths))]
    fall = _USUAL_FALL
    if len(gains) > 1 and gains[-1] > 0 and gains[-2] > 0:
        fall = (gains[-1] / gains[-2]) ** (1 / (middle[-2] - middle[-3]))
    fall = min(1.0, max(_LEAST_FALL, fall))
    gain = max(0.0, gains[-1]) * fall ** (middle[-1] - middle[-2]) * (at[-1] - at[-2])
    return float(gain / lengths[-1])


def two_part_bits(record: CellRecord, price: float | str) -> float:
    """L at `price` bytes a parameter, or `coded`; infinite for a cell that failed."""
    if record.status != "ok":
        return math.inf
    final = record.snapshots[0]
    if price == "coded" or record.config.get("train.weight_bits"):
        return min((float(code.total_bits) for code in final.coded), default=math.inf)
    tokenizer = record.tokenisation.tokenizer_bytes if record.tokenisation else 0
    return final.own_bits(record.subset_bytes) + 8 * (tokenizer + float(price) * record.model.n_params)


def gain_of(budgets: Sequence[Cell], record: CellRecord, paths: RunPaths) -> BudgetGain | None:
    """What was foretold for a record just made, and what came; `budgets`: its member's, the shortest first."""
    config = next(cell.resolved for cell in budgets if cell.run_id == record.run_id)
    if not config.until:
        return None
    steps, lengths = _done(budgets, config, paths)
    came = None
    if lengths and math.isfinite(lengths[-1]) and record.status == "ok":
        came = 1 - two_part_bits(record, config.price) / lengths[-1]
    return BudgetGain(foretold=foretold([*steps, config.recipe.steps], lengths), came=came)


def too_little(budgets: Sequence[Cell], k: int, paths: RunPaths) -> float | None:
    """What budget number k of a member is foretold to gain, where that is not worth its training; else None.

    None too where it is recorded already, or is none.
    """
    if k == len(budgets) or not (until := budgets[k].resolved.until):
        return None
    there = paths.record(budgets[k].run_id)
    if there.exists() and read_ending(there)[0] != "needless":
        return None
    config, before = budgets[k].resolved, recorded_before(budgets[0], paths)
    if k == 0 and before and before[-1].status == "needless" and _trained(before):
        return before[-1].budget.foretold if before[-1].budget else None
    steps, lengths = _done(budgets, config, paths)
    gain = foretold([*steps, config.recipe.steps], lengths)
    return gain if gain is not None and gain < until else None


def _done(budgets: Sequence[Cell], config: ResolvedConfig, paths: RunPaths) -> tuple[list[int], list[float]]:
    """Steps and lengths of the shorter budgets, those of an earlier start of the sweep among them."""
    shorter = [cell.run_id for cell in budgets if cell.resolved.recipe.steps < config.recipe.steps]
    records = [*_trained(recorded_before(budgets[0], paths)), *(read_cell(paths.record(run_id)) for run_id in shorter)]
    return [record.training.n_steps for record in records], [two_part_bits(r, config.price) for r in records]


def recorded_before(first: Cell, paths: RunPaths) -> list[CellRecord]:
    """Records of half of a member's first budget, half of that and so on, the shortest first, up to one that lacks.

    A sweep that asks for a longer limit, or a smaller gain, trains what is left of it: the rest is known from here.
    What was left out is among them, and has no length.
    """
    found, steps = [], first.resolved.recipe.steps
    while steps % 2 == 0:
        steps //= 2
        path = paths.record(from_flat(first.config.requested() | {"train.steps": steps}).run_id)
        if not path.exists():
            break
        found.append(read_cell(path))
    return found[::-1]


def last_trained(first: Cell, paths: RunPaths) -> CellRecord:
    """The longest of `recorded_before`, where `too_little` was told of the first budget: then there is one."""
    return _trained(recorded_before(first, paths))[-1]


def _trained(records: Sequence[CellRecord]) -> list[CellRecord]:
    return [record for record in records if record.status != "needless"]


def needless(cell: Cell, n_steps: int, gain: float, last: CellRecord) -> CellRecord:
    """The record of a budget left out: `n_steps`, at most its own, would gain too little on `last`, the longest run."""
    config = cell.resolved
    return CellRecord(
        run_id=cell.run_id,
        sweep=last.sweep,
        status="needless",
        reason=f"{n_steps:,} steps are foretold to shorten the two-part code by {gain:.2%}, less than train.until, "
        f"{config.until:.2%}",
        subset_bytes=config.subset_bytes,
        config=cell.config.flat(),
        requested=cell.config.requested(),
        plugins=cell.config.plugins,
        cohort_id=last.cohort_id,
        corpus=last.corpus,
        model=last.model,
        training=TrainingInfo(
            seed=config.seed,
            n_steps=0,
            bytes_seen=0,
            flops=0.0,
            peak_learning_rate=last.training.peak_learning_rate,
            first_bad_step=None,
            curve=(),
        ),
        snapshots=(),
        provenance=replace(
            last.provenance,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            training_seconds=0.0,
            measuring_seconds=0.0,
            shared_seconds=0.0,
        ),
        budget=BudgetGain(foretold=gain, came=None),
    )
