"""Which versions and commands made a report's records is said in full, and where a replicate is a version too."""

import dataclasses
from pathlib import Path
from typing import Any

from analysis.costs import PAPER
from analysis.records import load
from analysis.report.elements import Grid, Text
from analysis.report.sections.provenance import write as provenance
from analysis.report.summary import summarise
from analysis.study import study
from mdl.records import CellRecord
from tests.synthetic import cell, corpus, write_sweep

NEW, OLD = "c0ffee" * 6 + "abcd+", "0123456789" * 4


def made(size: str, day: int, commit: str | None, command: str, *, seed: int = 0, corpus_seed: int = 0) -> CellRecord:
    record = cell(size, 10**6, 3e6, seed=seed, of=corpus(shuffle_seed=corpus_seed))
    told = dataclasses.replace(
        record.provenance, created=f"2026-01-{day:02d}T00:00:00+00:00", git_commit=commit, command=command
    )
    return dataclasses.replace(record, provenance=told)


def explained(folder: Path, records: list[CellRecord]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The summary's provenance, the table's rows by name, and the sentences under it."""
    summary = summarise(study(load(write_sweep(folder / "s", records)), PAPER))
    blocks = provenance(summary)
    (grid,) = [block for block in blocks if isinstance(block, Grid)]
    names = [row[0] for row in grid.rows]
    assert names.index("corpus") == len(summary["provenance"]["commands"]), "a row a command"
    said = [block.text for block in blocks if isinstance(block, Text)]
    return summary["provenance"], {row[0]: row[1] for row in reversed(grid.rows)}, said


def test_every_commit_and_command_is_named_with_its_cells_newest_first(tmp_path: Path) -> None:
    records = [
        made("4x1", 1, None, "mdl sweep a"),
        made("8x1", 2, OLD, "mdl sweep a"),
        made("16x1", 3, OLD, "mdl sweep b"),
        made("16x2", 4, NEW, "mdl sweep a"),
    ]
    found, rows, said = explained(tmp_path, records)
    assert [(row["git_commit"], row["n_records"]) for row in found["commits"]] == [(NEW, 1), (OLD, 2), (None, 1)]
    assert rows["commits"].startswith("c0ffeec0ffee+ (1 cell), 012345678901 (2 cells) and unrecorded (1 cell); + marks")
    assert rows["commands"] == "mdl sweep a (3 cells)"
    assert rows[""] == "mdl sweep b (1 cell)"
    assert said == [], "no replicates, nothing to confound"


def test_one_commit_stands_in_full_and_an_unrecorded_one_is_not_recorded(tmp_path: Path) -> None:
    _, rows, _ = explained(tmp_path / "a", [made("4x1", 1, NEW, "mdl sweep a")])
    assert (rows["command"], rows["commit"]) == ("mdl sweep a", NEW)
    _, rows, _ = explained(tmp_path / "b", [made("4x1", 1, None, "mdl sweep a")])
    assert rows["commit"] == "not recorded"


def test_a_replicate_that_is_another_version_too_is_told(tmp_path: Path) -> None:
    """Corpus seed 0 by a version that nobody recorded, corpus seed 1 by a later one; training seeds by one alone."""
    records = [
        made(size, 1 + seed, NEW if seed else None, "mdl sweep a", corpus_seed=seed)
        for size in ("4x1", "8x1", "16x1")
        for seed in (0, 1)
    ]
    records += [made("4x1", 3, NEW, "mdl sweep a", seed=1, corpus_seed=1)]
    found, _, said = explained(tmp_path, records)
    assert found["confounded"] == [{"axis": "shuffle_seed", "n_apart": 3, "n_replicated": 3}]
    assert len(said) == 1
    assert said[0].startswith("In 3 of 3 cells with several corpus seeds")
    assert "There, corpus seed and version are confounded" in said[0]


def test_versions_that_cut_across_the_replicates_are_not_confounded(tmp_path: Path) -> None:
    records = [
        made(size, 1, commit, "mdl sweep a", seed=seed)
        for size, commit in (("4x1", OLD), ("8x1", NEW))
        for seed in (0, 1)
    ]
    found, _, said = explained(tmp_path, records)
    assert found["confounded"] == []
    assert said == []


def test_what_budgets_share_is_spent_once(tmp_path: Path) -> None:
    """Of 900 and 1,800 steps the first 450 are one trunk's."""
    short = cell("8x1", 10**6, 3e6)
    training = dataclasses.replace(
        short.training, n_steps=1800, bytes_seen=1800 * 1024, flops=2e9, shared_steps=450, curve=()
    )
    told = dataclasses.replace(short.provenance, training_seconds=25.0, shared_seconds=6.0)
    long = dataclasses.replace(short, run_id="8x1-long", cohort_id="8x1-of-1800", training=training, provenance=told)
    found, _, _ = explained(tmp_path, [short, long])
    assert found["training_seconds"] == 12.5 + 25 - 6
    assert found["bytes_seen"] == (900 + 1800 - 450) * 1024
    assert found["flops"] == 1e9 + 2e9 - 0.5e9
