"""A user hears once, before anything is trained, that held-out bytes also stand in the training part."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from mdl.records import CellRecord, read_cell
from mdl.sweeps import plan_cell
from mdl.sweeps.manifest import open_corpora
from mdl.training import run_cohort
from tests.conftest import markov_text

SMALL = ["size=4x1", "subset_bytes=10KB", "steps=2", "context_bytes=64", "heldout_bytes=20KB", "reach_ratio=1"]


def told(out: Path, *words: str) -> list[str]:
    """What is said of the corpora of a sweep's cell with these settings."""
    console = Console(file=io.StringIO(), width=80)
    open_corpora(plan_cell([*SMALL, *words], "single", out), console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_copies_are_told_in_one_line_with_the_way_out(text_file: Path, tmp_path: Path) -> None:
    """As a share of the held-out bytes; no trace of a corpus that has none, or none left."""
    source, text = f"source=file:{text_file}", text_file.read_bytes()
    assert len(told(tmp_path, source)) == 1
    text_file.write_bytes(text + text[50_000:60_000])
    _, line = told(tmp_path, source)
    share = float(line.partition(" %")[0])
    assert 40 < share <= 50
    assert f"of the held-out bytes of corpus 'file:{text_file}' also occur in its training part" in line
    assert line.endswith("corpus.deduplicate: true leaves later copies out")
    (line,) = told(tmp_path, source, "deduplicate=true")
    assert line.endswith("left out as copies")


def made(out: Path, *words: str) -> CellRecord:
    plan = plan_cell([*SMALL, *words], "single", out)
    run_cohort(plan.cohorts[0], "single", plan.paths)
    return read_cell(plan.paths.record(plan.cells[0].run_id))


def test_a_run_without_copies_is_another_run_and_its_record_says_so(tmp_path: Path) -> None:
    text = tmp_path / "twice.txt"
    text.write_bytes(markov_text(100_000) * 2)
    plain, without = (made(tmp_path, f"source=file:{text}", f"deduplicate={d}") for d in ("false", "true"))
    assert plain.run_id != without.run_id
    assert (plain.config["corpus.deduplicate"], without.config["corpus.deduplicate"]) == (False, True)
    assert plain.corpus.sha256 == without.corpus.sha256
    assert (plain.corpus.deduplicated_bytes, without.corpus.heldout_copied_bytes) == (None, 0)
    assert (plain.corpus.heldout_copied_bytes or 0) > 0.9 * plain.corpus.heldout_bytes
    used = without.corpus.train_bytes + without.corpus.heldout_bytes
    assert without.corpus.deduplicated_bytes == 200_000 - used
    assert 100_000 <= used < 110_000
