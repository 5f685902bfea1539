"""The spine: one cohort of cells from configuration to records. Safe to repeat: what is done is not done again."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mdl.config import Cell, Cohort
from mdl.data import Corpus
from mdl.records import CellRecord, RunPaths, provenance_now, read_cell, write_record
from mdl.storage import remove_own, write_atomically
from mdl.training.cohort_data import reading
from mdl.training.cohort_records import cohort_records
from mdl.training.fit_cohort import Stretch, train_cohort
from mdl.training.loggers import finish_loggers, make_loggers
from mdl.training.longer_training import gain_of, last_trained, needless, too_little
from mdl.training.progress import OPENING, PHASES, Check, OnLoss, PhaseProgress, Watch, tell_loss, tell_nobody
from mdl.training.shared_steps import Trunk
from mdl.training.snapshots import measure_snapshots
from mdl.training.wandb_runs import WandbServer

_LOOK_SECONDS = 1.0


def run_cohort(
    cohort: Cohort,
    sweep: str,
    paths: RunPaths,
    *,
    command: str = "",
    progress: PhaseProgress = tell_nobody,
    check: Check = lambda: None,
    on_loss: OnLoss = tell_loss,
    server: WandbServer | None = None,
) -> list[CellRecord]:
    """Train, measure and record every cell of a cohort that has no record yet, budget by budget; the records made.

    A cohort's checkpoint goes last.
    `check` is called before anything is written, and raises where another process has taken the cohort over; so is
    `Corpus.check_unchanged` of what the cohort reads.
    `on_loss` is told why this process ends, where it does because another that trained along was lost.
    `server`: what this process knows of W&B's.
    """
    torch.set_num_threads(cohort.execution.threads)
    records: list[CellRecord] = []
    server = server or WandbServer()
    for whole in cohort.parts:
        part = _worth_beginning(whole, paths, check, records)
        trunk = Trunk(whole=part, left=part, paths=paths)
        while trunk.left.cells:
            branch = trunk.left.branches[0]
            if not all(paths.record(run_id).exists() for run_id in branch.run_ids):
                watch = Watch(_of_the_whole(progress, cohort, part, branch.recipe.steps), check, on_loss)
                records += _run_budget(branch, trunk, sweep=sweep, command=command, watch=watch, server=server)
            paths.forget_checkpoints(branch.cohort_id)
            trunk = _go_on(trunk, branch, check, records)
        paths.forget_checkpoints(*part.state_ids if part.cells else ())
    paths.forget_checkpoints(*cohort.state_ids)
    return records


def _go_on(trunk: Trunk, done: Cohort, check: Check, records: list[CellRecord]) -> Trunk:
    """With the budgets that are worth their training after those of `done`; `records` also gets those of the others."""
    going = set()
    for cell in done.cells:
        budgets, paths = trunk.budgets_of(cell.run_id), trunk.paths
        k = budgets.index(cell) + 1
        gain = too_little(budgets, k, paths)
        if gain is None:
            going |= {later.run_id for later in budgets[k:]}
            continue
        records += _leave_out(budgets[k:], gain, read_cell(paths.record(cell.run_id)), paths, check)
    return trunk.going_on(going)


def _worth_beginning(part: Cohort, paths: RunPaths, check: Check, records: list[CellRecord]) -> Cohort:
    """Without the members that shorter budgets, recorded by an earlier start of the sweep, foretell too little for.

    All of it where it was in flight.
    """
    if any(paths.checkpoint(state).exists() for state in part.state_ids):
        return part
    going = set(part.run_ids)
    for budgets in part.members:
        gain = too_little(budgets, 0, paths)
        if gain is not None:
            records += _leave_out(budgets, gain, last_trained(budgets[0], paths), paths, check)
            going -= {cell.run_id for cell in budgets}
    return part.only(going)


def _leave_out(
    budgets: Sequence[Cell], gain: float, last: CellRecord, paths: RunPaths, check: Check
) -> list[CellRecord]:
    """The records of budgets that are not worth their training, where there are none yet; `last`: the longest run."""
    made = []
    for cell in budgets:
        if not paths.record(cell.run_id).exists():
            check()
            made.append(needless(cell, budgets[0].resolved.recipe.steps, gain, last))
            write_record(made[-1], paths.record(cell.run_id))
    return made


def _run_budget(
    cohort: Cohort, trunk: Trunk, *, sweep: str, command: str, watch: Watch, server: WandbServer
) -> list[CellRecord]:
    """Train, measure and record the cells of one budget."""
    watch.progress(OPENING, 0, 1)
    paths, data = trunk.paths, reading(cohort)
    for corpus in set(data.corpora):
        corpus.require_as_in(paths)
    watch = _minding(data.corpora, watch)
    trunk.begin(cohort, watch)
    loggers = make_loggers(cohort, paths, server)
    trained = train_cohort(cohort, data, Stretch.whole(cohort, paths), loggers, watch)
    watch.progress("training", cohort.recipe.steps, cohort.recipe.steps)
    watch.progress("measuring", 0, 1)
    started = time.monotonic()
    snapshots = measure_snapshots(cohort, trained.module, data, paths, watch)
    provenance = provenance_now(
        **trained.machine.told(),
        command=command,
        training_seconds=trained.seconds,
        measuring_seconds=time.monotonic() - started,
        cohort_size=len(cohort.cells),
        shared_seconds=trained.module.shared[1],
    )
    records = cohort_records(cohort, trained.module, data, snapshots, sweep=sweep, provenance=provenance)
    records = [replace(r, budget=gain_of(trunk.budgets_of(r.run_id), r, paths)) for r in records]
    for m, record in enumerate(records):
        watch.check()
        if tokenisation := data.tokenisation(m):
            write_atomically(paths.tokenizer(record.run_id), tokenisation[1])
        write_record(record, paths.record(record.run_id))
        _remove_other_weights(paths.record(record.run_id))
    finish_loggers(loggers, records, paths)
    watch.progress("measuring", 1, 1)
    return records


def _of_the_whole(progress: PhaseProgress, cohort: Cohort, part: Cohort, steps: int) -> PhaseProgress:
    """What is told of one budget, as progress of all that its cohort trains, steps of members, and measures, cells.

    A budget that is left out counts as done.
    """
    n_members, steps_before, cells_before = len(part.members), 0, 0
    for earlier in cohort.parts[: cohort.parts.index(part)]:
        steps_before += len(earlier.members) * earlier.trained_steps
        cells_before += len(earlier.cells)
    for recipe in (branch.recipe for branch in part.branches if branch.recipe.steps < steps):
        steps_before += n_members * (recipe.steps - recipe.branch_step)
        cells_before += n_members
    n_steps = sum(len(each.members) * each.trained_steps for each in cohort.parts)

    def told(phase: str, done: float, total: float) -> None:
        if phase not in PHASES:
            progress(phase, done, total)
        elif phase == "training":
            progress(phase, steps_before + n_members * done, n_steps)
        else:
            progress(phase, cells_before + n_members * done / max(1, total), len(cohort.cells))

    return told


def _minding(corpora: Sequence[Corpus], watch: Watch) -> Watch:
    """The same, and both look whether the corpora are what they were: the first now and then, to spare a long loss."""
    looked = time.monotonic()

    def look() -> None:
        nonlocal looked
        for corpus in set(corpora):
            corpus.check_unchanged()
        looked = time.monotonic()

    def checked() -> None:
        watch.check()
        look()

    def told(phase: str, done: float, total: float) -> None:
        watch.progress(phase, done, total)
        if time.monotonic() - looked > _LOOK_SECONDS:
            look()

    return Watch(told, checked, watch.on_loss)


_OUR_WEIGHTS = re.compile(r"(final|best)(-[0-9a-f]{8})?\.(safetensors|coded)")  # as `keep_once` names them


def _remove_other_weights(path: Path) -> None:
    """What was written beside a record without being named in it, by a process that ended before, or lost the race.

    Weights of other names are the user's, and so is whatever lies in a linked folder: they stay.
    """
    snapshots = read_cell(path).snapshots
    named = {snapshot.weights_file for snapshot in snapshots}
    named |= {code.coded_file for snapshot in snapshots for code in snapshot.coded if code.coded_file}
    for file in path.parent.iterdir():
        if file.name not in named and _OUR_WEIGHTS.fullmatch(file.name) and file.is_file():
            remove_own(file)
