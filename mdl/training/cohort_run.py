"""The spine: one cohort of cells from configuration to records. Safe to repeat: what is done is not done again."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mdl.config import Cell, Cohort
from mdl.data import Corpus, OnlineOrder
from mdl.models import Shape, count_params, position_bins, shape_label, stack, weights_bytes
from mdl.quantization import PRECISIONS, Tuning, calibration_windows, precisions, subset_bits
from mdl.records import (
    CellRecord,
    CodedWeights,
    CurvePoint,
    ModelInfo,
    PrequentialPoint,
    Provenance,
    RunPaths,
    Segment,
    Snapshot,
    TrainingInfo,
    provenance_now,
    read_cell,
    write_record,
)
from mdl.storage import keep_once, remove_own, write_atomically
from mdl.training.cohort_data import Reading, reading
from mdl.training.cohort_module import CohortModule
from mdl.training.companions import OnLoss, tell_loss
from mdl.training.fit_cohort import PhaseProgress, train_cohort
from mdl.training.loggers import finish_loggers, make_loggers
from mdl.training.progress import Check

Weights = dict[str, torch.Tensor]

_CURVE_POINTS = 200  # of an online run, at the most


def run_cohort(
    cohort: Cohort,
    sweep: str,
    paths: RunPaths,
    command: str = "",
    progress: PhaseProgress | None = None,
    check: Check = lambda: None,
    on_loss: OnLoss = tell_loss,
) -> list[CellRecord]:
    """Train, measure and record every cell of a cohort that has no record yet; the cohort's checkpoint goes last.

    `check` is called before anything is written, and raises where another process has taken the cohort over; so is
    `Corpus.check_unchanged` of what the cohort reads.
    `on_loss` is told why this process ends, where it does because another that trained along was lost.
    """
    torch.set_num_threads(cohort.execution.threads)
    data = reading(cohort)
    for corpus in set(data.corpora):
        corpus.require_as_in(paths)
    check, progress = _minding(data.corpora, check, progress)
    loggers = make_loggers(cohort, paths)
    trained = train_cohort(cohort, data, paths, loggers, progress, check, on_loss)
    started = time.monotonic()
    snapshots = _measure(cohort, trained.module, data, paths, progress, check)
    provenance = provenance_now(
        **trained.machine.told(),
        command=command,
        training_seconds=trained.seconds,
        measuring_seconds=time.monotonic() - started,
        cohort_size=len(cohort.cells),
    )
    records = [
        _record(cohort, m, sweep, trained.module, data, snapshots.get(m, ()), provenance)
        for m in range(len(cohort.cells))
    ]
    for m, record in enumerate(records):
        check()
        if tokenisation := data.tokenisation(m):
            write_atomically(paths.tokenizer(record.run_id), tokenisation[1])
        write_record(record, paths.record(record.run_id))
        _remove_other_weights(paths.record(record.run_id))
    finish_loggers(loggers, records)
    paths.forget_checkpoint(cohort.cohort_id)
    return records


_LOOK_SECONDS = 1.0


def _minding(corpora: Sequence[Corpus], check: Check, progress: PhaseProgress | None) -> tuple[Check, PhaseProgress]:
    """The same, and both look whether the corpora are what they were: the second now and then, to spare a long loss."""
    looked = time.monotonic()

    def look() -> None:
        nonlocal looked
        for corpus in set(corpora):
            corpus.check_unchanged()
        looked = time.monotonic()

    def checked() -> None:
        check()
        look()

    def told(phase: str, done: float, total: float) -> None:
        if progress:
            progress(phase, done, total)
        if time.monotonic() - looked > _LOOK_SECONDS:
            look()

    return checked, told


_OUR_WEIGHTS = re.compile(r"(final|best)(-[0-9a-f]{8})?\.safetensors")  # as `keep_once` names them


def _remove_other_weights(path: Path) -> None:
    """What was written beside a record without being named in it, by a process that ended before, or lost the race.

    Weights of other names are the user's, and so is whatever lies in a linked folder: they stay.
    """
    named = {snapshot.weights_file for snapshot in read_cell(path).snapshots}
    for file in path.parent.glob("*.safetensors"):
        if file.name not in named and _OUR_WEIGHTS.fullmatch(file.name) and file.is_file():
            remove_own(file)


def _measure(
    cohort: Cohort, module: CohortModule, data: Reading, paths: RunPaths, progress: PhaseProgress | None, check: Check
) -> dict[int, tuple[Snapshot, ...]]:
    """Snapshots of every member whose training stayed finite; best and final are coded once where they are the same."""
    sound = [m for m in range(len(cohort.cells)) if int(module.first_bad_step[m]) < 0]
    final_step = cohort.recipe.steps
    earlier = [m for m in sound if int(module.best_step[m]) != final_step]
    meter = _Meter(cohort, [*sound, *earlier], data.corpora, progress)
    code = partial(_code_snapshots, cohort, data=data, paths=paths, meter=meter, check=check)
    final = code(sound, "final", [module.model.member(m) for m in sound], [final_step] * len(sound))
    best = code(earlier, "best", [module.best_weights(m) for m in earlier], [int(module.best_step[m]) for m in earlier])
    return {m: (final[m], best[m] if m in best else replace(final[m], name="best")) for m in sound}


class _Meter:
    """Adds up the bytes coded and tells how many are to come."""

    def __init__(
        self, cohort: Cohort, rows: Sequence[int], corpora: Sequence[Corpus], progress: PhaseProgress | None
    ) -> None:
        self.progress, self.done = progress, 0
        self.total = sum(
            cohort.cells[m].resolved.coded_bytes(len(corpora[m].train), len(corpora[m].heldout), len(PRECISIONS))
            for m in rows
        )

    def __call__(self, n_bytes: int) -> None:
        self.done += n_bytes
        if self.progress:
            self.progress("measuring", self.done, self.total)


def _code_snapshots(
    cohort: Cohort,
    rows: Sequence[int],
    name: str,
    weights: Sequence[Weights],
    steps: Sequence[int],
    *,
    data: Reading,
    paths: RunPaths,
    meter: _Meter,
    check: Check,
) -> dict[int, Snapshot]:
    """Code the corpus with one snapshot of the members `rows`, and write their weights beside the records."""
    if not rows:
        return {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train, heldout = data.code(stack(cohort.shape, weights).to(device), rows, meter)
    snapshots = {}
    for row, own, step, seen, unseen in zip(rows, weights, steps, train, heldout, strict=True):
        check()
        content = weights_bytes(cohort.shape, own)
        file = keep_once(paths.weights(cohort.cells[row].run_id, f"{name}.safetensors"), content)
        snapshots[row] = Snapshot(
            name="final" if name == "final" else "best",
            step=step,
            weights_file=file.name,
            weights_sha256=hashlib.sha256(content).hexdigest(),
            segments=(*seen.segments, *unseen.segments),
            positions=position_bins(unseen),
            stream=data.stream(stack(cohort.shape, [own]).to(device), row, unseen),
            coded=_coded(
                cohort.shape, own, cohort.cells[row], data.corpora[row], (*seen.segments, *unseen.segments), meter
            ),
        )
    return snapshots


def _coded(
    shape: Shape, weights: Weights, cell: Cell, corpus: Corpus, segments: Sequence[Segment], meter: _Meter
) -> tuple[CodedWeights, ...]:
    """The two-part code of the own subset at every precision, where asked for and the weights code anything at all."""
    config = cell.resolved
    if not config.measure.coded_weights or not all(math.isfinite(s.code_bits) for s in segments):
        return ()
    n_bytes = config.subset_bytes
    measure = partial(subset_bits, shape, view=corpus.train, n_bytes=n_bytes, progress=meter)
    calibration = calibration_windows(corpus.train, n_bytes, shape.context_tokens)
    tuning = Tuning(corpus.train, n_bytes, config.measure.tune_steps)
    return tuple(precisions(shape, weights, calibration, measure, tuning=tuning))


def _failure(module: CohortModule, m: int, snapshots: Sequence[Snapshot]) -> str | None:
    step = int(module.first_bad_step[m])
    if step >= 0:
        rate = module.recipe.learning_rate * module.members[m].lr_scale
        return f"the loss is not finite from step {step} on (learning rate {rate:g}); lower train.learning_rate"
    if not all(math.isfinite(s.code_bits) for snapshot in snapshots for s in snapshot.segments):
        return "the trained model gives a byte no finite code length; lower train.learning_rate"
    return None


def _prequential(module: CohortModule, m: int) -> tuple[PrequentialPoint, ...]:
    """The cumulative code at some hundred places, even in log bytes, the end among them."""
    recipe, member = module.recipe, module.members[m]
    if not recipe.online:
        return ()
    order = OnlineOrder(
        member.seed, member.subset_length, module.model.shape.context_tokens, recipe.batch_windows, recipe.steps
    )
    bits = module.online_nats[:, m].cumsum(0).cpu().numpy() / math.log(2)
    steps = np.unique(np.geomspace(1, recipe.steps, _CURVE_POINTS).round().astype(int)) - 1
    points = {order.coded_bytes(int(s)): float(bits[s]) for s in steps}  # steps of replay alone code nothing
    return tuple(PrequentialPoint(end, code_bits) for end, code_bits in points.items())


def _record(
    cohort: Cohort,
    m: int,
    sweep: str,
    module: CohortModule,
    data: Reading,
    snapshots: tuple[Snapshot, ...],
    provenance: Provenance,
) -> CellRecord:
    cell, shape = cohort.cells[m], cohort.shape
    reason = _failure(module, m, snapshots)
    size, groups = shape_label(shape.width, shape.depth, shape.n_heads), count_params(shape)
    tokenisation = data.tokenisation(m)
    n_params = groups.pop("total")
    sample = module.sample_bytes[m]
    first_bad = int(module.first_bad_step[m])
    curve = tuple(CurvePoint(step, sample, bits[m]) for step, bits in module.curve if math.isfinite(bits[m]))
    return CellRecord(
        run_id=cell.run_id,
        sweep=sweep,
        status="failed" if reason else "ok",
        reason=reason,
        subset_bytes=cell.resolved.subset_bytes,
        config=cell.config.flat(),
        requested=cell.config.requested(),
        plugins=cell.config.plugins,
        cohort_id=cohort.cohort_id,
        corpus=data.corpora[m].info,
        model=ModelInfo(
            size=size,
            width=shape.width,
            depth=shape.depth,
            n_heads=shape.n_heads,
            context_bytes=shape.context_tokens,
            n_params=n_params,
            n_params_by_group=groups,
        ),
        training=TrainingInfo(
            seed=cell.resolved.seed,
            n_steps=module.recipe.steps,
            bytes_seen=data.bytes_seen(m),
            flops=cell.resolved.training_flops,
            peak_learning_rate=module.recipe.learning_rate * cell.resolved.lr_scale,
            first_bad_step=None if first_bad < 0 else first_bad,
            curve=curve,
        ),
        snapshots=() if reason else snapshots,
        provenance=provenance,
        prequential=() if reason else _prequential(module, m),
        tokenisation=tokenisation[0] if tokenisation else None,
    )
