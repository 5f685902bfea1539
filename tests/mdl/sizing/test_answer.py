"""What the answer says: of endless training, with what is not known of it in the interval, whatever was foretold."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.api import Study
from analysis.codes import of_one_budget
from analysis.costs import parse_cost
from analysis.formatting import format_count, format_size
from analysis.records import Table, load
from analysis.study import study as explain
from benchmarks.coverage_of_size import World, ask
from mdl.cli.size import content, told
from mdl.models import ENVELOPE, Shape, count_params, parse_size
from mdl.records import SEARCHED, CellRecord
from mdl.sizing import Answer, answer_of, sentences
from mdl.sizing import ask as ask_question
from mdl.sizing.answer_text import table_lines
from mdl.sizing.ladder import coarse
from tests import ROOT
from tests.synthetic import grid, power_law, write_sweep

QUICK = ROOT / "reports/quick/records"
PRICE = parse_cost("float16")


def final_cells() -> Table:
    """21 cells of three dataset sizes, one training budget."""
    table = load(QUICK)
    return replace(table, cells=table.cells[table.cells["snapshot"] == "final"])


@pytest.fixture(scope="module")
def records() -> Table:
    return final_cells()


def with_half(table: Table, more_bits: float) -> Table:
    """Beside every cell one of half its training, whose larger models are behind by more."""
    half = table.cells.assign(
        run_id=table.cells["run_id"] + "-half",
        bytes_seen=table.cells["bytes_seen"] // 2,
        own_bits=table.cells["own_bits"] * (1 + more_bits * (table.cells["n_params"] / 10_000) ** 0.5),
    )
    return replace(table, cells=pd.concat([table.cells, half]))


def answer(table: Table, train_bytes: int = 1_000_000) -> Answer:
    return answer_of(table, "float16", folder=QUICK, source="x", size_bytes=train_bytes, train_bytes=train_bytes)


def test_a_size_that_half_of_the_training_has_too_is_that_of_endless_training(records: Table) -> None:
    found = answer(with_half(records, 0.0))
    assert found.is_converged
    assert found.n_params == pytest.approx(found.at_this_training("n_params"), rel=0.01)
    assert not any("onverged" in line or "too short" in line for line in sentences(found, "float16"))


def test_what_the_last_doubling_moved_goes_on_and_widens_the_interval(records: Table) -> None:
    """Larger models gain more by training, so that endless training's is larger than the longest's."""
    found = answer(with_half(records, 0.04))
    alone = answer(records)
    assert found.limit is not None
    assert alone.limit is None
    assert found.limit.low < 1 < found.limit.factor < found.limit.high
    assert found.is_converged is False
    assert found.n_params == pytest.approx(alone.n_params * found.limit.factor)
    assert found.width() > alone.width()
    said = " ".join(sentences(found, "float16"))
    assert "and all of it gave 22 K." in said
    assert "extrapolated from these two to endless training: 22 K ×" in said


def test_the_more_of_the_rate_is_still_to_come_the_less_sure_is_the_size(records: Table) -> None:
    """A gain that is the same for all models moves no size now; it tells that there is much left to learn."""
    table = records.cells
    widths = []
    for gain in (0.0, 0.02, 0.1):
        half = table.assign(
            run_id=table["run_id"] + "-half",
            bytes_seen=table["bytes_seen"] // 2,
            own_bits=table["own_bits"] + gain * 8 * table["subset_bytes"],
        )
        found = answer(replace(records, cells=pd.concat([table, half])))
        assert found.limit is not None
        assert found.limit.factor == pytest.approx(1, abs=0.02)
        widths.append(found.limit.high / found.limit.low)
    assert widths == sorted(widths)
    assert widths[0] < 1.2
    assert widths[2] > 1.8


def test_one_training_budget_alone_is_no_answer_about_endless_training(records: Table) -> None:
    said = sentences(answer(records), "float16")
    assert any(line.startswith("Unconverged: it is the size for this much training.") for line in said)


def test_a_part_of_the_data_is_carried_on_by_the_law_with_its_uncertainty(records: Table) -> None:
    part, whole = answer(records), answer(records, 4_000_000)
    law = Study(explain(records, PRICE), QUICK).size_laws["stdlib"]
    assert law.gamma is not None
    assert whole.is_extrapolated
    assert whole.n_params == pytest.approx(part.n_params * 4**law.gamma, rel=0.1)
    assert whole.width() > part.width()


def test_a_part_that_no_law_carries_on_is_told_as_a_part(records: Table) -> None:
    one = replace(records, cells=records.cells[records.cells["subset_bytes"] == 300_000])
    found = answer(one)
    assert found.n_params is None
    assert "300 KB of it pay for 8.75 K parameters" in sentences(found, "float16")[0]


def test_an_edge_of_a_part_is_told_as_of_that_part(records: Table) -> None:
    """More data pay for more parameters than a part at most pays for."""
    cells = records.cells[(records.cells["subset_bytes"] == 300_000) & (records.cells["n_params"] > 8000)]
    said = sentences(answer(replace(records, cells=cells)), "float16")[0]
    assert said.startswith("x, 1 MB, pays, by 300 KB of it, for at most 10 K parameters:"), said


def test_a_part_of_too_few_shapes_is_told_without_numbers_that_there_are_not(records: Table) -> None:
    cells = records.cells[(records.cells["subset_bytes"] == 300_000) & records.cells["size"].isin(["8x1", "12x1"])]
    said = sentences(answer(replace(records, cells=cells)), "float16")[0]
    assert said == "x, 1 MB, has no known model size yet: 2 model sizes; at least 3 are needed."


def test_a_longer_training_of_shapes_that_are_all_too_small_is_not_asked(records: Table) -> None:
    """A plan that the data outgrew took all of its steps, and the one after it fewer."""
    cells = records.cells[records.cells["subset_bytes"] == 1_000_000]
    too_small = cells.assign(
        run_id=cells["run_id"] + "-small", n_params=cells["n_params"] // 20, bytes_seen=2 * cells["bytes_seen"]
    )
    both = replace(records, cells=pd.concat([cells, too_small]))
    assert set(of_one_budget(both, PRICE).cells["n_params"]) == set(cells["n_params"])


@pytest.mark.parametrize("edge", [1236, 14_881, 213_891])
def test_shapes_beyond_an_edge_lie_far_apart(edge: int) -> None:
    sizes = [
        count_params(Shape(*parse_size(name), context_tokens=2))["total"]
        for name in coarse(ENVELOPE, "transformer", edge)
    ]
    assert sizes == sorted(sizes)
    around = sorted([*sizes, edge])
    assert all(b / a >= 1.7 for a, b in itertools.pairwise(around))


@pytest.mark.slow
def test_a_forecast_that_is_off_by_ten_either_way_gives_the_same_size_within_its_interval() -> None:
    """Of the real search, with a law in the place of training."""
    found = [ask(World.of(3), 300_000, 180.0, off_by) for off_by in (1.0, 0.1, 10.0)]
    assert all(one.covers for one in found)
    assert max(one.off for one in found) / min(one.off for one in found) < 1.25


def test_a_part_that_pays_for_no_model_says_nothing_of_all_the_data(records: Table) -> None:
    """More data may pay for one."""
    some = records.cells[records.cells["subset_bytes"] == 100_000]
    dear = replace(records, cells=some.assign(own_bits=some["own_bits"] + 8 * 100_000))
    assert sentences(answer(dear, 100_000), "float16")[0].startswith("x, 100 KB, does not pay for any model:")
    assert sentences(answer(dear), "float16")[0].startswith("x, 1 MB, does not pay, by 100 KB of it, for any model:")


def test_a_longer_training_that_moved_the_size_past_its_smallest_shape_is_asked(records: Table) -> None:
    """A shorter one with the best shape among its own would say what is no longer so."""
    cells = records.cells[(records.cells["subset_bytes"] == 1_000_000)]
    smallest = cells["n_params"].min()
    gain = (cells["n_params"] == smallest) * 8.0 * 1_000_000
    longer = cells.assign(
        run_id=cells["run_id"] + "-longer", bytes_seen=8 * cells["bytes_seen"], own_bits=cells["own_bits"] * 0.9 - gain
    )
    both = replace(records, cells=pd.concat([cells, longer]))
    assert set(of_one_budget(both, PRICE).cells["run_id"]) == set(longer["run_id"])


def test_where_there_is_no_smaller_model_more_time_is_not_asked_for(records: Table) -> None:
    """Bytes that hardly any model is worth its parameters for."""
    cells = records.cells[records.cells["subset_bytes"] == 300_000]
    found = answer(replace(records, cells=cells.assign(own_bits=8e5 + 10.0 * cells["n_params"])), 300_000)
    assert "the smallest model tried was the best" in sentences(found, "float16")[0]
    assert "Give more time." in sentences(found, "float16")
    assert "Give more time." not in sentences(replace(found, more_helps=False), "float16")


def test_a_law_through_two_sizes_has_no_interval_and_gives_no_size(records: Table) -> None:
    """What it carries on to all of the data may be off by any factor."""
    two = records.cells[records.cells["subset_bytes"] > 200_000]
    found = answer(replace(records, cells=two), train_bytes=10_000_000)
    assert found.is_extrapolated
    assert found.n_params is None
    assert found.interval is None
    assert "has no known model size yet" in sentences(found, "float16")[0]
    assert answer(records, train_bytes=10_000_000).n_params is not None


def test_an_interrupt_while_the_report_is_made_says_how_to_get_one(
    records: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(found: Answer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Answer, "report", report)
    asked = ask_question("x", budget="1min", within=1.25, cost="float16", runs=ROOT / "runs")
    lines = told(answer(records), asked)
    said = [next(lines) for _ in (*sentences(answer(records), "float16"), "an empty line before", "and one after")]
    assert said[-1] == f"no report was made; mdl report {QUICK} makes it"
    with pytest.raises(KeyboardInterrupt):
        next(lines)


def test_every_null_for_scripts_has_its_reason_and_nothing_else_has(records: Table) -> None:
    cells = records.cells
    part = replace(records, cells=cells[cells["subset_bytes"] == 300_000])
    edge = replace(records, cells=part.cells[part.cells["n_params"] > 8000])
    few = replace(records, cells=part.cells[part.cells["size"].isin(["8x1", "12x1"])])
    nothing = Answer(source="x", size_bytes=10, train_bytes=9, folder=QUICK, study=None)
    found = [nothing, *(answer(table) for table in (records, with_half(records, 0.04), part, edge, few))]
    for one in map(content, found):
        assert {key for key, value in one.items() if value is None} == set(one["unknown"])
    assert content(found[2])["unknown"] == {}
    assert content(found[4])["unknown"]["n_params"].startswith("that part pays for at most 10 K parameters")


def test_an_interval_that_holds_more_than_the_tables_says_what(records: Table) -> None:
    def said(found: Answer) -> str:
        return table_lines(found)[-1]

    assert "may change." not in said(answer(records))
    assert "The answer's interval also allows for longer training." in said(answer(with_half(records, 0.04)))
    carried = answer(with_half(records, 0.04), 4_000_000)
    assert "also allows for the rest of the data and longer training." in said(carried)


def test_the_report_of_a_search_has_the_answers_size(tmp_path: Path) -> None:
    """Shapes about the answer train longer than those at the edges; all in one law would tell another size."""
    about = ["8x1", "16x1", "16x2", "32x2", "64x2"]

    def seen(sizes: list[str], share: float, bits: float) -> list[CellRecord]:
        return [
            replace(
                one,
                run_id=f"{one.run_id}-{share}",
                training=replace(one.training, bytes_seen=int(1e6 * share)),
                corpus=replace(one.corpus, train_bytes=300_000, heldout_bytes=15_000),
            )
            for one in grid(sizes, [300_000], lambda n, d, s: bits * power_law(n, d, s), seeds=(0,))
        ]

    all_of_them = ["4x1", *about, "64x4", "128x4"]
    records = [*seen(all_of_them, 0.5, 1.02), *seen(all_of_them, 1, 1.0), *seen(about, 4, 0.95), *seen(about, 8, 0.94)]
    folder = write_sweep(tmp_path / "size-x", records)
    (folder / "sweep.yaml").write_text(f"{SEARCHED}; mdl sweep goes on with them.\n")
    found = answer_of(load(folder), "float16", folder=folder, source="x", size_bytes=315_000, train_bytes=300_000)
    summary = json.loads((found.report(tmp_path / "made", formats=("md", "html")) / "summary.json").read_text())
    (row,) = summary["critical"]
    ends = [found.at_this_training(name) for name in ("n_params", "low", "high")]
    assert [row["n_params"], row["low"], row["high"]] == pytest.approx(ends)
    assert row["n_sizes"] == len(about)
    size, (low, high) = format_size(found.n_params or 0.0, *(found.interval or (0.0, 0.0))), found.interval or (0, 0)
    first = "Answer of mdl size, for endless training: 315 KB (15 KB of it held out) pays for "
    answered = f"{first}{size} parameters (95 %: {format_count(low)} to {format_count(high)})."
    said = (tmp_path / "made/report.md").read_text().replace("\u00a0", " ")
    assert answered in said
    assert "Endless training is extrapolated" not in said, "once is enough"
    assert said.index(answered) < said.index("The critical size is the number of parameters")
    web = (tmp_path / "made/explorer.html").read_text().split("<script")[0].replace("\u00a0", " ")
    assert [match.start() < web.index("<form") for match in re.finditer(re.escape(answered), web)] == [True]
