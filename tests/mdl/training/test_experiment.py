from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mdl.config import Cell, Cohort, from_flat
from mdl.data import open_corpus
from mdl.models import code_lengths, count_params, load_weights, stack
from mdl.records import CellRecord, RunPaths, store
from mdl.sweeps.grid import cohorts_of
from mdl.training import run_cohort
from mdl.training.checkpoint import set_damaged_aside
from mdl.training.cohort_data import reading
from mdl.training.cohort_module import CohortModule
from mdl.training.fit_cohort import cohort_module

T = 64


def cohort(text_file: Path, sizes: tuple[str, ...] = ("10KB", "50KB"), **settings: object) -> Cohort:
    cells = []
    for D in sizes:
        flat = {
            "source": f"file:{text_file}",
            "subset_bytes": D,
            "size": "8x1",
            "context_bytes": T,
            "steps": 30,
            "evaluate_every": 10,
            "block_bytes": 512,
            "heldout_bytes": "20KB",
            "heldout_sample_bytes": 2048,
            "stream_bytes": 4096,
            **settings,
        }
        config = from_flat(flat)
        cells.append(Cell(config.run_id, config))
    return Cohort(tuple(cells))


def without_provenance(record: CellRecord) -> CellRecord:
    """What must be the same whenever and wherever the same cell is run."""
    return replace(record, provenance=None, cohort_id="")  # type: ignore[arg-type]


def test_a_cohort_leaves_one_record_a_cell_that_says_what_was_measured(text_file: Path, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "runs")
    group = cohort(text_file)
    records = run_cohort(group, "s", paths)
    assert [store.read_cell(paths.record(cell.run_id)) for cell in group.cells] == records
    assert not paths.cohorts.exists()
    raw = text_file.read_bytes()
    for cell, record in zip(group.cells, records, strict=True):
        assert record.status == "ok"
        assert record.corpus.sha256 == hashlib.sha256(raw).hexdigest()
        assert (
            record.model.n_params == count_params(group.shape)["total"] == sum(record.model.n_params_by_group.values())
        )
        assert record.training.bytes_seen == cell.resolved.bytes_seen == 30 * 4 * T
        assert record.training.flops == cell.resolved.training_flops
        subset = open_corpus(cell.resolved.corpus).train.read(0, record.subset_bytes)
        assert record.n_byte_values == len(set(subset.tolist()))
        assert [point.step for point in record.training.curve] == [10, 20, 30]
        for snapshot in record.snapshots:
            weights = paths.weights(cell.run_id, snapshot.weights_file)
            assert hashlib.sha256(weights.read_bytes()).hexdigest() == snapshot.weights_sha256
            ends = [s.end_bytes for s in snapshot.segments if s.part == "train"]
            assert cell.config.subset_bytes in ends
            assert ends[-1] == min(180_000, {10_000: 100_000, 50_000: 180_000}[cell.config.subset_bytes])
            assert [s.end_bytes for s in snapshot.segments if s.part == "heldout"][-1] == 20_000
            stream = snapshot.stream
            assert stream is not None
            assert abs(8 * stream.stream_bytes - stream.ideal_bits) <= 0.0005 * stream.ideal_bits + 64


def test_the_recorded_code_length_is_that_of_the_recorded_weights(text_file: Path, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "runs")
    group = cohort(text_file)
    record = run_cohort(group, "s", paths)[1]
    shape, weights = load_weights(paths.weights(record.run_id, "final.safetensors"))
    corpus = open_corpus(group.cells[1].config.corpus.spec())
    again = code_lengths(stack(shape, [weights]), corpus.train, "train", [50_000])[0]
    recorded = [s for s in record.snapshots[0].segments if s.part == "train" and s.end_bytes <= 50_000]
    assert np.allclose([s.code_bits for s in again.segments], [s.code_bits for s in recorded], rtol=1e-6)


def test_the_same_cell_gives_the_same_record_alone_and_in_company(text_file: Path, tmp_path: Path) -> None:
    """Within 1e-4 bits a byte: a library may take another kernel for one matrix than for a batch of them."""
    group = cohort(text_file)
    together = run_cohort(group, "s", RunPaths(tmp_path / "a"))
    for cell, record in zip(group.cells, together, strict=True):
        alone = run_cohort(Cohort((cell,)), "s", RunPaths(tmp_path / "b"))[0]
        for mine, theirs in zip(alone.snapshots, record.snapshots, strict=True):
            for a, b in zip(mine.segments, theirs.segments, strict=True):
                assert abs(a.code_bits - b.code_bits) <= 1e-4 * (a.end_bytes - a.start_bytes)


@pytest.mark.parametrize(
    "settings",
    [{}, pytest.param({"objective": "prequential", "steps": 250, "reach_ratio": 1}, marks=pytest.mark.long)],
)
def test_orders_of_one_corpus_and_leaks_train_together_and_each_reads_its_own(
    text_file: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    orders = [cohort(text_file, **settings, **own) for own in ({}, {"shuffle_seed": 1}, {"leak_fraction": 0.3})]
    (together,) = cohorts_of([cell for group in orders for cell in group.cells])
    records = {record.run_id: record for record in run_cohort(together, "s", RunPaths(tmp_path / "a"))}
    assert {(r.corpus.shuffle_seed, r.corpus.leak_fraction) for r in records.values()} == {(0, 0), (1, 0), (0, 0.3)}
    for group in orders:
        for alone in run_cohort(group, "s", RunPaths(tmp_path / "b")):
            record = records[alone.run_id]
            assert record.corpus == alone.corpus
            for mine, theirs in zip(alone.snapshots, record.snapshots, strict=True):
                for a, b in zip(mine.segments, theirs.segments, strict=True):
                    assert abs(a.code_bits - b.code_bits) <= 1e-4 * (a.end_bytes - a.start_bytes)
            for p, q in zip(alone.prequential, record.prequential, strict=True):
                assert abs(p.code_bits - q.code_bits) <= 1e-4 * p.end_bytes


def test_a_cell_that_diverges_is_a_failed_cell_and_its_companions_are_untouched(
    text_file: Path, tmp_path: Path
) -> None:
    good = cohort(text_file)
    bad = from_flat({**good.cells[0].config.flat(), "lr_scale": 1e30})
    mixed = Cohort((*good.cells, Cell(bad.run_id, bad)))
    records = run_cohort(mixed, "s", RunPaths(tmp_path / "mixed"))
    assert [record.status for record in records] == ["ok", "ok", "failed"]
    assert "loss is not finite from step" in str(records[2].reason)
    assert records[2].snapshots == ()
    assert records[2].training.first_bad_step is not None
    plain = run_cohort(good, "s", RunPaths(tmp_path / "good"))
    for mixed_record, record in zip(records, plain, strict=False):
        for mine, theirs in zip(mixed_record.snapshots, record.snapshots, strict=True):
            for a, b in zip(mine.segments, theirs.segments, strict=True):
                assert abs(a.code_bits - b.code_bits) <= 1e-4 * (a.end_bytes - a.start_bytes)


def test_a_damaged_checkpoint_is_trained_again_and_said(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = RunPaths(tmp_path / "runs")
    group = cohort(text_file)
    paths.cohorts.mkdir(parents=True)
    paths.checkpoint(group.cohort_id).write_bytes(b"x" * 1000)
    damaged = run_cohort(group, "s", paths)
    assert "damaged; training again from the start" in capsys.readouterr().out
    sound = run_cohort(group, "s", RunPaths(tmp_path / "other"))
    assert [without_provenance(r) for r in damaged] == [without_provenance(r) for r in sound]


def test_curves_go_to_a_csv_file_a_cell(text_file: Path, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "runs")
    group = cohort(text_file, logger="csv")
    for record in run_cohort(group, "s", paths):
        lines = (paths.root / record.run_id / "curves" / "metrics.csv").read_text().splitlines()
        assert "heldout/bits_per_byte" in lines[0]
        assert len(lines) == 4


def test_memorising_is_seen_in_the_raw_rate_and_not_in_the_heldout_rate(tmp_path: Path) -> None:
    """Random bytes cannot be compressed: what is coded below 8 bits a byte was learned by heart."""
    config = from_flat(
        {
            "source": "random:40KB",
            "subset_bytes": "2KB",
            "size": "32x1",
            "context_bytes": 32,
            "steps": 400,
            "warmup_steps": 20,
            "batch_windows": 8,
            "heldout_bytes": "20KB",
            "reach_ratio": 1,
            "stream_bytes": 0,
        }
    )
    record = run_cohort(Cohort((Cell(config.run_id, config),)), "s", RunPaths(tmp_path))[0]
    for snapshot in record.snapshots:
        heldout = sum(s.code_bits for s in snapshot.segments if s.part == "heldout")
        assert heldout >= 8 * 20_000
        assert snapshot.stream is None
    final = record.snapshots[0]
    assert sum(s.code_bits for s in final.segments if s.part == "train" and s.end_bytes <= 2000) < 8 * 2000


def _spoilt(content: dict[str, Any], how: str) -> Any:
    if how == "a list":
        return [1, 2]
    if how == "empty":
        return {}
    if how == "another shape":
        content["state_dict"] = {name: tensor[..., :1] for name, tensor in content["state_dict"].items()}
    if how == "no optimizer":
        content["optimizer_states"] = []
    if how == "another optimizer":
        for state in content["optimizer_states"][0]["state"].values():
            state["exp_avg"] = state["exp_avg"][:1]
    if how == "another curve":
        content["curve"] = [(10, "x")]
    if how == "loops":
        content["loops"] = 5
    if how == "step":
        content["global_step"] = 10**9
    return content


def _untrained(group: Cohort) -> CohortModule:
    return cohort_module(group, reading(group))


@pytest.mark.parametrize(
    "how",
    [
        "another optimizer",
        *(
            pytest.param(how, marks=pytest.mark.slow)
            for how in ("a list", "empty", "another shape", "no optimizer", "another curve", "loops", "step")
        ),
    ],
)
def test_a_checkpoint_of_other_content_is_kept_aside_and_the_cohort_trained_anew(
    how: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its hash is right: it failed the cohort on every run until someone deleted it."""
    group, paths = cohort(text_file), RunPaths(tmp_path / "runs")
    monkeypatch.setattr(RunPaths, "forget_checkpoints", lambda *_: None)
    whole = run_cohort(group, "s", RunPaths(tmp_path / "whole"))
    kept = RunPaths(tmp_path / "whole").checkpoint(group.cohort_id).read_bytes()
    buffer = io.BytesIO()
    torch.save(_spoilt(torch.load(io.BytesIO(kept[32:]), weights_only=True), how), buffer)
    path = paths.checkpoint(group.cohort_id)
    path.parent.mkdir(parents=True)
    path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    assert set_damaged_aside(RunPaths(tmp_path / "whole").checkpoint(group.cohort_id), _untrained(group)) is None
    records = run_cohort(group, "s", paths)
    assert [without_provenance(r) for r in records] == [without_provenance(r) for r in whole]
    assert "training again from the start" in capfd.readouterr().out
    assert path.with_name(f"{path.name}.damaged").read_bytes()[32:] == buffer.getvalue()


def test_weights_of_the_users_stay_and_so_does_all_in_a_linked_run_folder(text_file: Path, tmp_path: Path) -> None:
    group, paths = cohort(text_file), RunPaths(tmp_path / "runs")
    linked, plain = (paths.record(run_id).parent for run_id in group.run_ids)
    (tmp_path / "theirs").mkdir()
    paths.root.mkdir()
    linked.symlink_to(tmp_path / "theirs")
    plain.mkdir()
    mine = [linked / "mine.safetensors", linked / "best-01234567.safetensors", plain / "mine.safetensors"]
    stale = plain / "best-01234567.safetensors"
    for path in [*mine, stale]:
        path.write_text("mine")
    run_cohort(group, "s", paths)
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert not stale.exists(), "left by a process that ended before"
