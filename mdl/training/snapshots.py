"""The weights that a cohort's training leaves, written beside the records, and what they code."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from mdl.config import Cohort
from mdl.models import architecture_of, check_member, position_bins, stack, weights_bytes
from mdl.quantization import (
    CodedModel,
    DataPart,
    Spread,
    Tuning,
    Weights,
    calibration_windows,
    coded_bytes,
    decoded,
    map_over_processes,
    two_part_codes,
)
from mdl.records import CodedWeights, RunPaths, Snapshot
from mdl.storage import keep_once
from mdl.training.cohort_data import Reading
from mdl.training.cohort_module import CohortModule
from mdl.training.corpus_samples import sample_to_measure
from mdl.training.new_process import require_all_in_weights
from mdl.training.progress import PhaseProgress, Watch


def measure_snapshots(
    cohort: Cohort, module: CohortModule, data: Reading, paths: RunPaths, watch: Watch
) -> dict[int, tuple[Snapshot, ...]]:
    """Final and best of every member whose training stayed finite; coded once where they are the same."""
    sound = [m for m in range(len(cohort.cells)) if int(module.first_bad_step[m]) < 0]
    final_step = cohort.recipe.steps
    earlier = [m for m in sound if int(module.best_step[m]) != final_step]
    trained = {m: code for m in sound if (code := module.rounded.coded(m))}
    meter = _Meter(cohort, data, [*sound, *earlier], watch.progress)
    with map_over_processes() as spread:
        measuring = _Measuring(
            cohort=cohort, data=data, paths=paths, watch=watch, meter=meter, spread=spread, trained=trained
        )
        sent = {m: decoded(cohort.shape, trained[m][0]) if trained else module.model.member(m) for m in sound}
        chosen = {m: module.best_weights(m) for m in earlier}
        measuring.try_out([*sent.items(), *chosen.items()])
        final = measuring.code("final", {m: (sent[m], final_step) for m in sound})
        best = measuring.code("best", {m: (chosen[m], int(module.best_step[m])) for m in earlier})
    return {m: (final[m], best[m] if m in best else replace(final[m], name="best")) for m in sound}


class _Meter:
    """Adds up the bytes coded and tells how many are to come."""

    def __init__(self, cohort: Cohort, data: Reading, rows: Sequence[int], progress: PhaseProgress) -> None:
        self.progress, self.done, corpora = progress, 0, data.corpora
        self.total = sum(
            cohort.cells[m].resolved.measured_bytes(len(corpora[m].train), len(corpora[m].heldout), coded_bytes)
            for m in rows
        )

    def __call__(self, n_bytes: int) -> None:
        self.done += n_bytes
        self.progress("measuring", self.done, self.total)


@dataclass(frozen=True, kw_only=True)
class _Measuring:
    """One cohort on its data."""

    cohort: Cohort
    data: Reading
    paths: RunPaths
    watch: Watch
    meter: _Meter
    spread: Spread
    trained: Mapping[int, tuple[CodedModel, float]]
    """Of members trained for the total their final weights as they are sent, and what their densities give, bits."""

    def try_out(self, members: Sequence[tuple[int, Weights]]) -> None:
        """MdlError where an architecture of a user's own looks ahead, or keeps something outside its weights."""
        shape = self.cohort.shape
        if architecture_of(shape).own_module is None:
            return
        samples = {m: sample_to_measure(self.cohort, self.data.corpora[m], m) for m, _ in members}
        for m, weights in members:
            check_member(shape, weights, samples[m])
        require_all_in_weights(shape, [(weights, samples[m]) for m, weights in members])

    def code(self, name: Literal["final", "best"], snapshots: dict[int, tuple[Weights, int]]) -> dict[int, Snapshot]:
        """Code the corpus with a snapshot, weights and step, of each of some members; write the weights beside."""
        if not snapshots:
            return {}
        shape, rows = self.cohort.shape, list(snapshots)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = stack(shape, [weights for weights, _ in snapshots.values()]).to(device)
        train, heldout = self.data.code(model, rows, self.meter)
        overlapping = self.data.code_overlapping(model, rows, self.meter)
        coded = {}
        for m, seen, unseen, second in zip(rows, train, heldout, overlapping, strict=True):
            self.watch.check()
            weights, step = snapshots[m]
            content = weights_bytes(shape, weights)
            file = keep_once(self.paths.weights(self.cohort.cells[m].run_id, f"{name}.safetensors"), content)
            segments = (*seen.segments, *unseen.segments)
            measured = Snapshot(
                name=name,
                step=step,
                weights_file=file.name,
                weights_sha256=hashlib.sha256(content).hexdigest(),
                segments=segments,
                positions=position_bins(unseen),
                stream=self.data.stream(stack(shape, [weights]).to(device), m, unseen),
                overlapping=second,
            )
            if all(math.isfinite(segment.code_bits) for segment in segments):
                codes = self._trained_code(m, measured) or self._two_part_codes(m, weights, measured)
                measured = replace(measured, coded=codes)
            coded[m] = measured
        return coded

    def _trained_code(self, m: int, measured: Snapshot) -> tuple[CodedWeights, ...]:
        """Of weights trained for the total the one code that they were trained for, written beside them."""
        if m not in self.trained:
            return ()
        coded, density_bits = self.trained[m]
        cell = self.cohort.cells[m]
        file = keep_once(self.paths.weights(cell.run_id, f"{measured.name}.coded"), coded.content)
        return (
            CodedWeights(
                bits=coded.bits,
                coder=coded.coder,
                model_bits=8 * len(coded.content),
                data_bits=measured.own_bits(cell.resolved.subset_bytes),
                coded_file=file.name,
                coded_sha256=hashlib.sha256(coded.content).hexdigest(),
                density_bits=density_bits,
            ),
        )

    def _two_part_codes(self, m: int, weights: Weights, measured: Snapshot) -> tuple[CodedWeights, ...]:
        """Of the own subset, at every precision, where asked for and the weights code anything at all."""
        config, shape, view = self.cohort.cells[m].resolved, self.cohort.shape, self.data.corpora[m].train
        if not config.measure.coded_weights:
            return ()
        n_bytes = config.subset_bytes
        own = measured.own_bits(n_bytes)
        data = DataPart(shape=shape, view=view, n_bytes=n_bytes, plain=dict(weights), own_bits=own, progress=self.meter)
        calibration = calibration_windows(view, n_bytes, shape.context_tokens)
        tuning = Tuning(view, n_bytes, config.measure.tune_steps)
        return tuple(two_part_codes(data, calibration, tuning=tuning, spread=self.spread))
