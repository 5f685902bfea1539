"""Curves for people: one Lightning logger a member, so that a W&B run or a CSV file is a cell, in whatever cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mdl.config import Cohort
from mdl.records import CellRecord, RunPaths
from mdl.training.wandb_runs import CarefulRun, WandbServer, log_artifacts

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


def make_loggers(cohort: Cohort, paths: RunPaths, server: WandbServer) -> list[Logger]:
    """A logger a member in the order of the cohort; none where the sweep asks for none."""
    kind = cohort.cells[0].config.logger
    if kind == "none":
        return []
    members = range(len(cohort.cells))
    return [_wandb(cohort, m, paths, server) if kind == "wandb" else _csv(cohort, m, paths) for m in members]


def _csv(cohort: Cohort, m: int, paths: RunPaths) -> Logger:
    """A logger that writes `<run id>/curves/metrics.csv`."""
    from pytorch_lightning.loggers import CSVLogger

    return CSVLogger(paths.root / cohort.cells[m].run_id, name="", version="curves", flush_logs_every_n_steps=10)


def _wandb(cohort: Cohort, m: int, paths: RunPaths, server: WandbServer) -> Logger:
    """A W&B run of its own; the cohort is its group. Offline with WANDB_MODE=offline, and then without an account."""
    from mdl.training.wandb_logger import HarmlessWandbLogger

    cell = cohort.cells[m]
    # The first run of an agent's process is the one the agent opened; further members open their own.
    run = server.open_run(cell.run_id, cohort.recorded_ids[m], cell.config.flat(), paths, is_new=m > 0)
    return HarmlessWandbLogger(run)


def log_record(record: CellRecord, paths: RunPaths) -> None:
    """A W&B run of a cell that is on disk already: its configuration, curve and final figures."""
    careful = WandbServer().open_run(record.run_id, record.cohort_id, record.config, paths, is_new=False)
    with careful.harmless("curve"):
        for point in record.training.curve:
            careful.run.log(
                {"heldout/bits_per_byte": point.code_bits / point.n_bytes, "trainer/global_step": point.step}
            )
    _finish(careful, record, paths)


def summary(record: CellRecord) -> dict[str, Any]:
    """The record's figures as flat keys, so that a panel can plot them against each other; `analysis` makes rates."""
    figures: dict[str, Any] = {
        "status": record.status,
        "n_params": record.model.n_params,
        "subset_bytes": record.subset_bytes,
        "training_flops": record.training.flops,
        "bytes_seen": record.training.bytes_seen,
    }
    for snapshot in record.snapshots:
        code_bits = snapshot.own_bits(record.subset_bytes)
        heldout = sum(s.code_bits for s in snapshot.segments if s.part == "heldout")
        figures |= {
            f"{snapshot.name}/own_code_bits": code_bits,
            f"{snapshot.name}/heldout_code_bits": heldout,
            f"{snapshot.name}/own_bits_per_byte": code_bits / record.subset_bytes,
            f"{snapshot.name}/heldout_bits_per_byte": heldout / record.corpus.heldout_bytes,
        }
        if second := snapshot.overlapping:  # of the own subset and the held-out part, no more
            bits = {part: sum(s.code_bits for s in second.segments if s.part == part) for part in ("train", "heldout")}
            key = f"{snapshot.name}/{'mixed' if second.bucket_bits else 'overlapping'}"
            figures |= {
                f"{key}_own_bits_per_byte": bits["train"] / record.subset_bytes,
                f"{key}_heldout_bits_per_byte": bits["heldout"] / record.corpus.heldout_bytes,
            }
    return figures


def finish_loggers(loggers: Sequence[Any], records: Sequence[CellRecord], paths: RunPaths) -> None:
    """Write the final figures of every member and close its logger."""
    for logger, record in zip(loggers, records, strict=False):
        if type(logger).__name__ == "HarmlessWandbLogger":
            _finish(logger.careful, record, paths)


def _finish(careful: CarefulRun, record: CellRecord, paths: RunPaths) -> None:
    """Parallel coordinates are over the configuration, so that N stands there too."""
    run = careful.run
    with careful.harmless("figures"):
        run.config.update({"n_params": record.model.n_params, "corpus_sha256": record.corpus.sha256})
        run.summary.update(summary(record))
    with careful.harmless("artifacts"):
        log_artifacts(run, record, paths)
    with careful.harmless("end of the run"):
        run.finish(exit_code=0 if record.status == "ok" else 1)
