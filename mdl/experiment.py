"""The spine: one cohort of cells from configuration to records. Safe to repeat: what is done is not done again."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from pytorch_lightning.loggers import Logger

from mdl import results
from mdl.cohort import CohortModule, Member, Recipe
from mdl.corpus import Corpus, open_corpus
from mdl.errors import MdlError
from mdl.loggers import finish_loggers, make_loggers
from mdl.machine import Machine, resolve_machine
from mdl.measure import PartLengths, code_lengths, position_bins, reach, stream_sample
from mdl.model import StackedTransformer, save_weights, stack
from mdl.online import OnlineOrder
from mdl.precisions import PRECISIONS, calibration_windows, precisions, subset_bits
from mdl.provenance import provenance_now
from mdl.results import CellRecord, CurvePoint, ModelInfo, Provenance, RunPaths, Snapshot, TrainingInfo
from mdl.shapes import Shape, count_params
from mdl.sweep import Cell, Cohort, bytes_seen, training_flops
from mdl.train import fit

# phase ("training", "measuring"), done, total
Progress = Callable[[str, float, float], None]
Weights = dict[str, torch.Tensor]

_CURVE_POINTS = 200  # of an online run, at the most


@dataclass(frozen=True)
class Trained:
    """A cohort after training, and where and how long it ran."""

    module: CohortModule
    machine: Machine
    seconds: float


def run_cohort(
    cohort: Cohort, sweep: str, paths: RunPaths, command: str = "", progress: Progress | None = None
) -> list[CellRecord]:
    """Train, measure and record every cell of a cohort that has no record yet; the cohort's checkpoint goes last."""
    torch.set_num_threads(cohort.cells[0].config.train.threads)
    corpus = open_corpus(cohort.cells[0].config.corpus.spec())
    for cell in cohort.cells:
        corpus.require(cell.config.subset_bytes)
    loggers = make_loggers(cohort, paths)
    trained = train_cohort(cohort, corpus, paths, loggers, progress)
    started = time.monotonic()
    snapshots = _measure(cohort, trained.module, corpus, paths, progress)
    provenance = provenance_now(
        trained.machine,
        command=command,
        training_seconds=trained.seconds,
        measuring_seconds=time.monotonic() - started,
        cohort_size=len(cohort.cells),
    )
    records = [
        _record(cohort, m, sweep, trained.module, corpus, snapshots.get(m, ()), provenance)
        for m in range(len(cohort.cells))
    ]
    for record in records:
        path = paths.record(record.run_id)
        if not path.exists():
            results.save(record, path)
    finish_loggers(loggers, records)
    paths.forget_checkpoint(cohort.cohort_id)
    return records


def train_cohort(
    cohort: Cohort, corpus: Corpus, paths: RunPaths, loggers: Sequence[Logger], progress: Progress | None
) -> Trained:
    """Train from the cohort's checkpoint where there is a sound one."""
    config = cohort.cells[0].config.train
    machine = resolve_machine(config.precision, config.compile)
    checkpoint = paths.checkpoint(cohort.cohort_id)
    module = _module(cohort, corpus)
    tell = (lambda step: progress("training", step, config.steps)) if progress else None
    run = partial(
        fit, source=corpus.train, machine=machine, checkpoint=checkpoint,
        checkpoint_seconds=config.checkpoint_seconds, loggers=loggers, progress=tell,
    )  # fmt: skip
    started = time.monotonic()
    try:
        run(module)
    except MdlError as error:
        if "damaged" not in str(error) and "cannot be read" not in str(error):
            raise
        print(f"{error}; training again from the start", flush=True)
        checkpoint.unlink(missing_ok=True)
        module = _module(cohort, corpus)
        run(module)
    return Trained(module, machine, time.monotonic() - started)


def _module(cohort: Cohort, corpus: Corpus) -> CohortModule:
    config = cohort.cells[0].config.train
    flat = cohort.cells[0].config.flat()
    recipe = Recipe(
        config.steps, config.batch_windows, flat["train.learning_rate"], config.weight_decay, config.clip_norm,
        config.warmup_steps, config.decay_start, config.final_lr_fraction, config.evaluate_every,
        config.objective == "prequential",
    )  # fmt: skip
    members = [
        Member(cell.config.train.seed, cell.config.subset_bytes, cell.config.train.lr_scale) for cell in cohort.cells
    ]
    return CohortModule(cohort.shape, members, recipe, _heldout_sample(cohort, corpus))


def _heldout_sample(cohort: Cohort, corpus: Corpus) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Windows (n, T) spread evenly over the held-out part; where it is shorter than a window, the whole of it."""
    T = min(cohort.shape.context_bytes, len(corpus.heldout))
    n_wanted = max(1, cohort.cells[0].config.train.heldout_sample_bytes // T)
    n_windows = min(n_wanted, len(corpus.heldout) // T)
    starts = np.linspace(0, len(corpus.heldout) - T, n_windows).astype(np.int64)
    return corpus.heldout.gather(starts, T)


def _measure(
    cohort: Cohort, module: CohortModule, corpus: Corpus, paths: RunPaths, progress: Progress | None
) -> dict[int, tuple[Snapshot, ...]]:
    """Snapshots of every member whose training stayed finite; best and final are coded once where they are the same."""
    sound = [m for m in range(len(cohort.cells)) if int(module.first_bad_step[m]) < 0]
    final_step = cohort.cells[0].config.train.steps
    earlier = [m for m in sound if int(module.best_step[m]) != final_step]
    meter = _Meter(cohort, [*sound, *earlier], corpus, progress)
    code = partial(_code_snapshots, cohort, corpus=corpus, paths=paths, meter=meter)
    final = code(sound, "final", [module.model.member(m) for m in sound], [final_step] * len(sound))
    best = code(earlier, "best", [module.best_weights(m) for m in earlier], [int(module.best_step[m]) for m in earlier])
    return {
        m: (final[m], best[m] if m in best else replace(final[m], name="best"))
        for m in sound
    }  # fmt: skip


class _Meter:
    """Adds up the bytes coded and tells how many are to come."""

    def __init__(self, cohort: Cohort, rows: Sequence[int], corpus: Corpus, progress: Progress | None) -> None:
        self.progress, self.done = progress, 0
        self.total = sum(_end(cohort.cells[m], corpus) + len(corpus.heldout) for m in rows)
        measured = cohort.cells[0].config.measure
        self.total += measured.coded_weights * len(PRECISIONS) * sum(cohort.cells[m].config.subset_bytes for m in rows)

    def __call__(self, n_bytes: int) -> None:
        self.done += n_bytes
        if self.progress:
            self.progress("measuring", self.done, self.total)


def _end(cell: Cell, corpus: Corpus) -> int:
    return reach(cell.config.subset_bytes, len(corpus.train), cell.config.measure.reach_ratio)


def _code_snapshots(
    cohort: Cohort,
    rows: Sequence[int],
    name: str,
    weights: Sequence[Weights],
    steps: Sequence[int],
    *,
    corpus: Corpus,
    paths: RunPaths,
    meter: _Meter,
) -> dict[int, Snapshot]:
    """Code the corpus with one snapshot of the members `rows`, and write their weights beside the records."""
    if not rows:
        return {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    cells = [cohort.cells[m] for m in rows]
    model = stack(cohort.shape, weights).to(device)
    train = code_lengths(
        model, corpus.train, "train", [_end(c, corpus) for c in cells], [c.config.subset_bytes for c in cells], meter
    )
    heldout = code_lengths(model, corpus.heldout, "heldout", [len(corpus.heldout)] * len(cells), progress=meter)
    snapshots = {}
    for row, own, step, seen, unseen in zip(rows, weights, steps, train, heldout, strict=True):
        content = save_weights(paths.weights(cohort.cells[row].run_id, f"{name}.safetensors"), cohort.shape, own)
        snapshots[row] = Snapshot(
            "final" if name == "final" else "best",
            step,
            f"{name}.safetensors",
            hashlib.sha256(content).hexdigest(),
            (*seen.segments, *unseen.segments),
            position_bins(unseen),
            _stream(stack(cohort.shape, [own]).to(device), cohort.cells[row], corpus, unseen),
            _coded(cohort.shape, own, cohort.cells[row], corpus, (*seen.segments, *unseen.segments), meter),
        )
    return snapshots


def _stream(model: StackedTransformer, cell: Cell, corpus: Corpus, unseen: PartLengths) -> results.StreamSample | None:
    n_bytes = min(cell.config.measure.stream_bytes, len(corpus.heldout))
    finite = math.isfinite(float(unseen.bits_by_position.sum()))
    return stream_sample(model, corpus.heldout, n_bytes) if n_bytes and finite else None


def _coded(
    shape: Shape, weights: Weights, cell: Cell, corpus: Corpus, segments: Sequence[results.Segment], meter: _Meter
) -> tuple[results.CodedWeights, ...]:
    """The two-part code of the own subset at every precision, where asked for and the weights code anything at all."""
    if not cell.config.measure.coded_weights or not all(math.isfinite(s.code_bits) for s in segments):
        return ()
    n_bytes = cell.config.subset_bytes
    measure = partial(subset_bits, shape, view=corpus.train, n_bytes=n_bytes, progress=meter)
    return tuple(precisions(shape, weights, calibration_windows(corpus.train, n_bytes, shape.context_bytes), measure))


def _failure(module: CohortModule, m: int, snapshots: Sequence[Snapshot]) -> str | None:
    step = int(module.first_bad_step[m])
    if step >= 0:
        rate = module.recipe.learning_rate * module.members[m].lr_scale
        return f"the loss is not finite from step {step} on (learning rate {rate:g}); lower train.learning_rate"
    if not all(math.isfinite(s.code_bits) for snapshot in snapshots for s in snapshot.segments):
        return "the trained model gives a byte no finite code length; lower train.learning_rate"
    return None


def _prequential(module: CohortModule, m: int) -> tuple[results.PrequentialPoint, ...]:
    """The cumulative code at some hundred places, even in log bytes, the end among them."""
    recipe, member = module.recipe, module.members[m]
    if not recipe.online:
        return ()
    order = OnlineOrder(
        member.seed, member.subset_bytes, module.model.shape.context_bytes, recipe.batch_windows, recipe.steps
    )
    bits = module.online_nats[:, m].cumsum(0).cpu().numpy() / math.log(2)
    steps = np.unique(np.geomspace(1, recipe.steps, _CURVE_POINTS).round().astype(int)) - 1
    points = {order.coded_bytes(int(s)): float(bits[s]) for s in steps}  # steps of replay alone code nothing
    return tuple(results.PrequentialPoint(end, code_bits) for end, code_bits in points.items())


def _record(
    cohort: Cohort, m: int, sweep: str, module: CohortModule, corpus: Corpus,
    snapshots: tuple[Snapshot, ...], provenance: Provenance,
) -> CellRecord:  # fmt: skip
    cell, shape = cohort.cells[m], cohort.shape
    reason = _failure(module, m, snapshots)
    groups = count_params(shape)
    n_params = groups.pop("total")
    sample = module.heldout_windows.size
    first_bad = int(module.first_bad_step[m])
    curve = tuple(CurvePoint(step, sample, bits[m]) for step, bits in module.curve if math.isfinite(bits[m]))
    return CellRecord(
        run_id=cell.run_id,
        sweep=sweep,
        status="failed" if reason else "ok",
        reason=reason,
        subset_bytes=cell.config.subset_bytes,
        config=cell.config.flat(),
        cohort_id=cohort.cohort_id,
        corpus=corpus.info,
        model=ModelInfo(shape.label, shape.width, shape.depth, shape.n_heads, shape.context_bytes, n_params, groups),
        training=TrainingInfo(
            cell.config.train.seed, module.recipe.steps, bytes_seen(cell.config), training_flops(cell.config),
            module.recipe.learning_rate * cell.config.train.lr_scale, None if first_bad < 0 else first_bad, curve,
        ),
        snapshots=() if reason else snapshots,
        provenance=provenance,
        prequential=() if reason else _prequential(module, m),
    )  # fmt: skip
