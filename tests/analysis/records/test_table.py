import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.codes import fixed_sizes, one_model_many_sizes, shortest_codes
from analysis.costs import PAPER
from analysis.errors import AnalysisError
from analysis.records import load
from analysis.report.summary import summarise
from analysis.study import in_context, study
from mdl.records import BaselineRecord, CellRecord, Segment
from tests.synthetic import HELDOUT_BYTES, baseline, cell, corpus, grid, power_law, write_sweep


def test_a_row_a_snapshot_with_own_and_held_out_code_lengths(tmp_path: Path) -> None:
    table = load(write_sweep(tmp_path / "s", grid(["8x1", "16x1"], [10_000, 100_000])))
    assert len(table.runs) == 4
    assert len(table.cells) == 8
    own = table.cells[(table.cells["n_params"] == 2840) & (table.cells["subset_bytes"] == 10_000)]
    assert own["snapshot"].tolist() == ["best", "final"]
    assert own["own_bits"].tolist() == pytest.approx([power_law(2840, 10_000)] * 2)
    assert own["heldout_bits"].tolist() == pytest.approx([8 * 0.4 * HELDOUT_BYTES] * 2)


def test_what_was_not_coded_in_full_is_absent_not_zero(tmp_path: Path) -> None:
    gap = [
        Segment(part="train", start_bytes=0, end_bytes=1000, code_bits=5.0),
        Segment(part="train", start_bytes=2000, end_bytes=10_000, code_bits=5.0),
    ]
    table = load(write_sweep(tmp_path / "s", [cell("8x1", 10_000, 10.0, segments=gap)]))
    assert table.cells[["own_bits", "heldout_bits"]].isna().all(axis=None)
    assert shortest_codes(table).empty


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("N,D,code_bits\n1e3,1e5,4e5,5\n", "line 2 has 4 fields, the header 3"),
        ("N,D,code_bits\n1e3,1e5,4e5\n1e3,1e5,4e5,\n", "line 3 has 4 fields, the header 3"),
        ("N,D,code_bits\n", "only a header"),
        ("N,D,code_bits\n1e3,1e5,0\n", "line 2: code_bits is 0; want a number above 0"),
        ("N,D,code_bits\n1e30,1e5,4e5\n", r"line 2: N is 1e30; want a number above 0, below 1e18"),
        ("N,D,code_bits\nabc,1e5,4e5\n", "line 2: N is abc .tried as a number with k, M, B or T behind it.; want"),
        ("N,D,code_bits,seed\n1e3,1e5,4e5,0\n1e3,1e5,5e5,0\n", "line 3 repeats the N, D and seed of another"),
    ],
)
def test_a_table_that_would_be_misread_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    """A field too many would move every column by one."""
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(AnalysisError, match=said):
        load(tmp_path / "t.csv")


def test_a_table_without_seeds_may_have_a_model_several_times(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("N,D,code_bits\n1e3,1e5,4e5\n1e3,1e5,5e5\n2e3,1e5,3e5\n4e3,1e5,3e5\n")
    found = study(load(tmp_path / "t.csv"), PAPER)
    assert found.rates["n_seeds"].tolist() == [2, 1, 1]
    assert found.convergence.empty, "nobody said how long they were trained"
    assert summarise(found)


def test_records_beside_their_report_have_its_name(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "study" / "records", [cell("8x1", 10_000, 10.0)])
    (folder / "sweep.json").unlink()
    assert load(folder).name == "study"


def test_failed_and_missing_cells_are_counted(tmp_path: Path) -> None:
    table = load(write_sweep(tmp_path / "s", [cell("8x1", 10_000, None)], more_run_ids=["a", "b"]))
    assert table.failed["reason"].tolist() == ["the loss is not finite from step 7 on"]
    assert table.n_missing == 2
    assert table.cells.empty


def test_the_shorter_snapshot_counts_and_the_best_one_is_held_out(tmp_path: Path) -> None:
    """The decoder of a two-part code is given the weights, so any snapshot may be sent."""
    table = load(write_sweep(tmp_path / "s", [cell("8x1", 10_000, 30_000.0)]))
    cells = table.cells
    final = cells["snapshot"] == "final"
    cells.loc[final, ["own_bits", "heldout_bits"]] = [25_000.0, 999.0]
    chosen = shortest_codes(table)
    assert chosen["own_bits"].tolist() == [25_000.0]
    assert chosen["heldout_bits"].tolist() == [pytest.approx(8 * 0.4 * HELDOUT_BYTES)]


def test_the_block_prequential_code_sums_blocks_by_earlier_models(tmp_path: Path) -> None:
    """10 KB uniform, then [10, 30) KB by the model of 10 KB, then [30, 90) KB by the model of 30 KB."""
    bits = {10_000: 40_000.0, 30_000: 100_000.0, 90_000: 250_000.0}
    table = load(write_sweep(tmp_path / "s", [cell("8x1", d, b) for d, b in bits.items()]))
    code = fixed_sizes(table)
    assert code["raw_bytes"].tolist() == [30_000, 90_000]
    assert code["code_bits"].tolist() == pytest.approx([80_000 + 2.2 * 40_000, 168_000 + 2.2 * 100_000])


def test_a_prequential_chain_ends_at_a_block_that_was_not_coded(tmp_path: Path) -> None:
    table = load(write_sweep(tmp_path / "s", [cell("8x1", d, 4.0 * d) for d in (10_000, 20_000, 60_000)]))
    assert fixed_sizes(table).empty


def test_one_model_codes_every_prefix_of_the_ladder(tmp_path: Path) -> None:
    table = load(write_sweep(tmp_path / "s", [cell("8x1", 10_000, 40_000.0)]))
    curve = one_model_many_sizes(table.segments)
    own = curve[curve["snapshot"] == "final"]
    assert own["raw_bytes"].tolist() == [1000, 10_000, 30_000]
    assert own["code_bits"].tolist() == pytest.approx([4_000, 40_000, 128_000])


def test_corpora_and_contexts_are_not_mixed(tmp_path: Path) -> None:
    """One folder may hold runs on several corpora: each has its own critical sizes and classical coders."""
    other = corpus("random:2MB")
    records: list[CellRecord | BaselineRecord] = [
        cell("8x1", 10_000, 4e4), cell("8x1", 10_000, 8e4, of=other), cell("8x1", 10_000, 3e4, context_bytes=512),
        baseline("xz", 10_000, 0.3), baseline("xz", 10_000, 1.0, of=other),
    ]  # fmt: skip
    table = load(write_sweep(tmp_path / "s", records))
    assert sorted(table.runs["group"]) == [
        "file:book.txt, context 256", "file:book.txt, context 512", "random:2MB, context 256",
    ]  # fmt: skip
    assert sorted(table.baselines["corpus"]) == ["file:book.txt", "random:2MB"]


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    records = [cell("8x1", 10_000, 4e4, of=corpus(f"file:/{x}/book.txt")) for x in "ab"]
    assert load(write_sweep(tmp_path / "s", records)).runs["group"].nunique() == 2


def test_bits_by_position_are_of_the_largest_subset(tmp_path: Path) -> None:
    table = load(write_sweep(tmp_path / "s", grid(["8x1"], [10_000, 30_000])))
    bins = in_context(table, "file:book.txt")
    assert bins["position"].tolist() == [2**k - 1 for k in range(1, 9)]
    assert bins["bits_per_byte"].iloc[0] == pytest.approx(5 + 20 * 2840**-0.4)


def test_a_csv_of_three_columns_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("N,D,code_bits\n1000,100000,400000\n2000,100000,300000.5\n")
    table = load(path)
    assert table.cells["own_bits"].tolist() == [400_000, 300_000.5]
    assert table.cells["heldout_bits"].isna().all()
    assert table.runs["n_params"].tolist() == [1000, 2000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a CSV"),
        ("N,D\n1,2\n", "no column 'code_bits'"),
        ("N,D,code_bits\n1000,10,few\n", "line 2: code_bits is few"),
        ("N,D,code_bits\n1000,10,5\n0,10,5\n", "line 3: N is"),
        ("N,D,code_bits\n1000,10,\n", "line 2: code_bits"),
        ("N,D,code_bits\n1000,10,inf\n", "line 2: code_bits"),
        ("N,D,code_bits\n1000,10,-1\n", "line 2: code_bits"),
    ],
)
def test_a_csv_that_is_no_table_is_one_line_naming_the_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(content)
    with pytest.raises(AnalysisError, match=message) as caught:
        load(path)
    assert "mine.csv" in str(caught.value)


def _edit(record: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        record = record[int(part)] if isinstance(record, list) else record[part]
    if value is None:
        del record[last]
    else:
        record[last] = value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema_version", 2, "schema version 2.*upgrade"),
        ("kind", "poem", "kind is 'poem'"),
        ("model.n_params", "many", "model.n_params is 'many'"),
        ("model.n_params", -3, "model.n_params is -3"),
        ("model.n_params", 0, "model.n_params is 0, want a whole number of at least 1"),
        ("model", 7, "model is 7, want an object"),
        ("subset_bytes", True, "subset_bytes is True"),
        ("provenance.device", None, "provenance.device is missing"),
        ("snapshots", "none", "snapshots is 'none', want a list"),
        ("snapshots.0.segments.0.code_bits", "x", "code_bits is 'x'"),
        ("status", "perhaps", "status is 'perhaps'"),
    ],
)
def test_a_damaged_record_is_one_line_naming_the_file(tmp_path: Path, key: str, value: Any, message: str) -> None:
    folder = write_sweep(tmp_path / "s", [cell("8x1", 10_000, 4e4)])
    path = next(folder.glob("*/record.json"))
    record = json.loads(path.read_text())
    _edit(record, key, value)
    path.write_text(json.dumps(record))
    with pytest.raises(AnalysisError, match=message) as caught:
        load(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "cell", "a": NaN}', "\xff"])
def test_a_file_that_is_no_json_object_is_one_line_naming_it(tmp_path: Path, content: str) -> None:
    folder = write_sweep(tmp_path / "s", [cell("8x1", 10_000, 4e4)])
    path = next(folder.glob("*/record.json"))
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(AnalysisError, match=str(path)):
        load(folder)


def test_two_records_of_one_cell_are_refused(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", [cell("8x1", 10_000, 4e4)])
    path = next(folder.glob("*/record.json"))
    (folder / "copy").mkdir()
    (folder / "copy" / "record.json").write_bytes(path.read_bytes())
    with pytest.raises(AnalysisError, match=r"two records of"):
        load(folder)


def test_no_folder_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"no sweep at .*run folder"):
        load(tmp_path / "absent")


def test_every_cell_of_a_large_sweep_is_there(tmp_path: Path) -> None:
    table = load(write_sweep(tmp_path / "s", grid(["8x1", "16x1", "32x2"], [10_000, 30_000], seeds=range(4))))
    assert len(table.cells) == 48
    assert np.isfinite(table.cells["own_bits"]).all()


def test_recipes_are_told_apart_where_there_are_several(tmp_path: Path) -> None:
    """Another recipe has another N*; a key's absence means the first."""
    first = [cell(size, 10**6, 1e6) for size in ("8x1", "16x1")]
    second = [
        dataclasses.replace(one, run_id=f"{one.run_id}-2", config=one.config | {"train.recipe": 2}) for one in first
    ]
    both, alone = (load(write_sweep(tmp_path / n, some)) for n, some in (("both", [*first, *second]), ("one", second)))
    told = [[table.groups[name].parts for name in sorted(set(table.cells["group"]))] for table in (both, alone)]
    assert told == [[["recipe 1"], ["recipe 2"]], [[]]]
