"""What is recorded of each cell once its cohort has been trained and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mdl.config import Cohort
from mdl.data import OnlineOrder, count_values
from mdl.models import count_params, shape_label
from mdl.records import CellRecord, CurvePoint, ModelInfo, PrequentialPoint, Provenance, Segment, Snapshot, TrainingInfo
from mdl.training.cohort_data import Reading
from mdl.training.cohort_module import CohortModule

_CURVE_POINTS = 200  # of an online run, at the most


def cohort_records(
    cohort: Cohort,
    module: CohortModule,
    data: Reading,
    snapshots: Mapping[int, tuple[Snapshot, ...]],
    *,
    sweep: str,
    provenance: Provenance,
) -> list[CellRecord]:
    """One a cell, in their order; `snapshots` of those that have any, by number."""
    model = _model_info(cohort)
    records = []
    for m, cell in enumerate(cohort.cells):
        reason = _failure(module, m, snapshots.get(m, ()))
        tokenisation = data.tokenisation(m)
        records.append(
            CellRecord(
                run_id=cell.run_id,
                sweep=sweep,
                status="failed" if reason else "ok",
                reason=reason,
                subset_bytes=cell.resolved.subset_bytes,
                config=cell.config.flat(),
                requested=cell.config.requested(),
                plugins=cell.config.plugins,
                cohort_id=cohort.recorded_ids[m],
                corpus=data.corpora[m].info,
                model=model,
                training=_training_info(cohort, module, data, m),
                n_byte_values=count_values(data.corpora[m].train, cell.resolved.subset_bytes),
                snapshots=() if reason else snapshots.get(m, ()),
                provenance=provenance,
                prequential=() if reason else _prequential(module, m),
                tokenisation=tokenisation[0] if tokenisation else None,
            )
        )
    return records


def _model_info(cohort: Cohort) -> ModelInfo:
    shape, groups = cohort.shape, count_params(cohort.shape)
    return ModelInfo(
        size=shape_label(shape.width, shape.depth, shape.n_heads),
        width=shape.width,
        depth=shape.depth,
        n_heads=shape.n_heads,
        context_tokens=shape.context_tokens,
        n_params=groups.pop("total"),
        n_params_by_group=groups,
    )


def _training_info(cohort: Cohort, module: CohortModule, data: Reading, m: int) -> TrainingInfo:
    config, recipe = cohort.cells[m].resolved, module.recipe
    first_bad, sample_bytes = int(module.first_bad_step[m]), module.sample_bytes[m]
    return TrainingInfo(
        seed=config.seed,
        n_steps=recipe.steps,
        bytes_seen=data.bytes_seen(m),
        flops=config.training_flops,
        peak_learning_rate=recipe.learning_rate * config.lr_scale,
        first_bad_step=None if first_bad < 0 else first_bad,
        curve=tuple(CurvePoint(step, sample_bytes, bits[m]) for step, bits in module.curve if math.isfinite(bits[m])),
        shared_steps=module.shared[0],
    )


def _failure(module: CohortModule, m: int, snapshots: Sequence[Snapshot]) -> str | None:
    step = int(module.first_bad_step[m])
    if step >= 0:
        rate = module.recipe.learning_rate * module.members[m].lr_scale
        return f"the loss is not finite from step {step} on (learning rate {rate:g}); lower train.learning_rate"
    if not all(math.isfinite(s.code_bits) for snapshot in snapshots for s in _segments(snapshot)):
        return "the trained model gives a byte no finite code length; lower train.learning_rate"
    return None


def _segments(snapshot: Snapshot) -> tuple[Segment, ...]:
    """Of all its code lengths."""
    return snapshot.segments + (snapshot.overlapping.segments if snapshot.overlapping else ())


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
