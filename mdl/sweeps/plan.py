"""What a sweep file, or one cell's words, asks for: cells in cohorts, where they go, what they would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mdl.config import Cell, Cohort, full_key
from mdl.errors import MdlError, quoted
from mdl.models import count_params, forward_flops_per_byte
from mdl.records import RunPaths
from mdl.sweeps.cost_model import H100, Work
from mdl.sweeps.grid import cells_of, cohorts_of, grid_cells
from mdl.sweeps.strict_yaml import parse_yaml
from mdl.sweeps.sweep_file import CELL, check_name, check_out, check_runs_here, load_sweep
from mdl.units import counted, format_bytes

_MEASURED_TOO = 2.0  # times the training: first steps and measuring took the reference study as long again
_N_SNAPSHOTS = 2  # final and best, where they are not the same


@dataclass(frozen=True)
class Plan:
    """All that a sweep file asks for, and where it goes."""

    name: str
    paths: RunPaths
    cohorts: tuple[Cohort, ...]
    _: KW_ONLY
    wandb: dict[str, str] = field(default_factory=dict)  # project and entity, where the file names them
    seed: int | None = None  # that a random sweep's cells were drawn with

    @property
    def cells(self) -> list[Cell]:
        """All cells, in the order of the cohorts."""
        return [cell for cohort in self.cohorts for cell in cohort.cells]

    @cached_property
    def recorded_ids(self) -> dict[str, str]:
        """The cohort that each cell's record names; of a cohort of several budgets those of one."""
        branches = [branch for cohort in self.cohorts for part in cohort.parts for branch in part.branches]
        return {run_id: branch.cohort_id for branch in branches for run_id in branch.run_ids}

    @property
    def bytes_seen(self) -> int:
        """Training bytes of all cells, repeats counted."""
        return sum(cohort.bytes_seen for cohort in self.cohorts)

    @property
    def training_flops(self) -> float:
        """Of all cells."""
        return sum(cohort.training_flops for cohort in self.cohorts)

    @property
    def overlapping_bytes(self) -> int:
        """What the overlapping windows hold by which two snapshots of each cell code its subset a second time."""
        return sum(_overlapping_bytes(cohort) for cohort in self.cohorts)

    @property
    def overlapping_flops(self) -> float:
        """That these windows take."""
        return sum(forward_flops_per_byte(cohort.shape) * _overlapping_bytes(cohort) for cohort in self.cohorts)


def _overlapping_bytes(cohort: Cohort) -> int:
    configs = [cell.resolved for cell in cohort.cells]
    return sum(_N_SNAPSHOTS * config.overlapping_bytes(config.subset_bytes) for config in configs)


def plan_sweep(file: Path, out: Path) -> Plan:
    """Read a sweep file and lay its cells out under `out`/<sweep>."""
    sweep = load_sweep(file)
    check_runs_here(sweep)
    check_out(sweep, out)
    seed = sweep.seed if sweep.method == "random" else None
    return Plan(
        sweep.name, RunPaths(out / sweep.name), tuple(cohorts_of(cells_of(sweep))), wandb=sweep.wandb, seed=seed
    )


def plan_cell(settings: Sequence[str], sweep: str, out: Path) -> Plan:
    """One cell from `key=value` words; a value is read as YAML reads it."""
    values: dict[str, Any] = {}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals:
            raise MdlError(f"'{word}' is not key=value, such as size=16x2")
        for name, leaf in _leaves(key, None if value == "None" else parse_yaml(value, quoted(word))):
            if full_key(name) in values:
                raise MdlError(f"'{name}' is given twice, as {full_key(name)}; leave one out")
            values[full_key(name)] = leaf
    check_name(sweep)
    return Plan(sweep, RunPaths(out / sweep), tuple(cohorts_of(grid_cells({k: (v,) for k, v in values.items()}))))


def _leaves(key: str, value: Any) -> list[tuple[str, Any]]:
    """W&B's agents give a nested parameter as `train={'steps': 30}`, and null as `None`; `cell` is a prefix of none."""
    if not isinstance(value, dict):
        return [(key, value)]
    prefix = "" if key == CELL else f"{key}."
    return [leaf for name, inner in value.items() for leaf in _leaves(f"{prefix}{name}", inner)]


def describe_plan(plan: Plan) -> Sequence[str]:
    """What `--dry-run` prints: cohorts with their cells, parameters, FLOPs and bytes."""
    lines = []
    for cohort in plan.cohorts:
        n = cohort.execution.n_devices
        lines.append(
            f"cohort {cohort.cohort_id}: {counted(len(cohort.cells), 'cell')}, "
            f"{count_params(cohort.shape)['total']:,} parameters each, {cohort.training_flops:.3g} training FLOPs, "
            f"{format_bytes(cohort.bytes_seen)} seen{_budgets(cohort)}" + (f", on {n} devices" if n > 1 else "")
        )
        lines += [
            f"  {cell.run_id}: D = {format_bytes(cell.config.subset_bytes)}, "
            f"{cell.resolved.bytes_seen / cell.config.subset_bytes:.3g} passes"
            for cell in cohort.cells
        ]
    flops, seen = plan.training_flops, plan.bytes_seen
    if plan.overlapping_bytes:
        lines.append(_second_code(plan))
    if plan.seed is not None:
        lines.append(f"cells are drawn at random with seed {plan.seed}; another 'seed:' in the file draws others")
    lines.append(
        f"{plan.name}: {at_most(plan)}{counted(len(plan.cells), 'cell')} in {counted(len(plan.cohorts), 'cohort')}, "
        f"{flops:.3g} "
        f"training FLOPs, {format_bytes(seen)} seen; about {_h100_hours(plan):.2g} GPU-hours at the speed of one H100 "
        "(benchmarks/README.md)"
    )
    return lines


def work_of(cohort: Cohort, measured_bytes: int) -> Work:
    """What a cohort asks of a machine that codes so many bytes with its models."""
    return Work(
        n_steps=sum(part.trained_steps for part in cohort.parts),
        n_bytes=cohort.bytes_seen,
        measured_bytes=measured_bytes,
        flops_per_byte=forward_flops_per_byte(cohort.shape),
    )


def _h100_hours(plan: Plan) -> float:
    """At the speed of one H100, as far as it is known before the corpora are opened."""
    spent = [H100.seconds(work_of(cohort, _overlapping_bytes(cohort))) for cohort in plan.cohorts]
    return sum(_MEASURED_TOO * one.training + one.measuring for one in spent) / 3600


def at_most(plan: Plan) -> str:
    """Words before what it would take, where budgets may be left out; else none."""
    conditional = (cohort.cells[0].resolved.until and len(cohort.branches) > 1 for cohort in plan.cohorts)
    return "at most " if any(conditional) else ""


def _second_code(plan: Plan) -> str:
    """What the second code length costs, as far as it is known before the corpora are opened."""
    asked = [cell.resolved for cell in plan.cells if cell.resolved.overlapping_bytes(1)]
    contexts = [config.shape.context_tokens for config in asked]
    times = sorted({T / (config.measure.stride_bytes or T) for T, config in zip(contexts, asked, strict=True)})
    dearer = f"{times[0]:.3g}" if len(times) == 1 else f"{times[0]:.3g} to {times[-1]:.3g}"
    mixed = any(config.measure.contexts for config in asked)
    what = "mixed with contexts, at 2 microseconds of a processor a byte" if mixed else "of overlapping windows"
    return (
        f"second code length, {what}: {dearer} times the cost of the first for the same bytes; of the "
        f"own subsets up to {format_bytes(plan.overlapping_bytes)} in windows, {plan.overlapping_flops:.3g} FLOPs, and "
        "as much a byte of each held-out part, which is not in the estimate"
    )


def _budgets(cohort: Cohort) -> str:
    """What the cells of several numbers of steps have in common."""
    recipes = [branch.recipe for branch in cohort.branches]
    if len(recipes) == 1:
        return ""
    steps = [f"{recipe.steps:,}" for recipe in recipes]
    share = cohort.trained_steps / sum(recipe.steps for recipe in recipes)
    until = cohort.cells[0].resolved.until
    least = f"; fewer where the next is predicted to shorten the code by less than {until:.3g} of it" if until else ""
    both = f"{', '.join(steps[:-1])} and {steps[-1]} steps"
    return f", {both} share their first ones ({share:.0%} of the steps of separate runs{least})"


def plan_content(plan: Plan) -> dict[str, Any]:
    """The same for scripts: counts, bytes and FLOPs."""
    return {
        "name": plan.name,
        "folder": str(plan.paths.root),
        "n_cells": len(plan.cells),
        "training_flops": plan.training_flops,
        "bytes_seen": plan.bytes_seen,
        "overlapping_bytes": plan.overlapping_bytes,
        "overlapping_flops": plan.overlapping_flops,
        "cohorts": [
            {
                "cohort_id": cohort.cohort_id,
                "n_params": count_params(cohort.shape)["total"],
                "training_flops": cohort.training_flops,
                "bytes_seen": cohort.bytes_seen,
                "cells": [
                    {
                        "run_id": cell.run_id,
                        "subset_bytes": cell.resolved.subset_bytes,
                        "passes": cell.resolved.bytes_seen / cell.resolved.subset_bytes,
                    }
                    for cell in cohort.cells
                ],
            }
            for cohort in plan.cohorts
        ],
    }
