"""What docs/study.md says in sentences is what the committed summaries hold; its tables are compared in test_readme."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.report.readme_tables import main, with_tables
from analysis.report.study_tables import Study, exponents_table, theory_table
from tests import ROOT

STUDY = " ".join((ROOT / "docs/study.md").read_text().split())


def summary_of(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "reports" / name / "summary.json").read_text())  # type: ignore[no-any-return]


def row(name: str, data: str = "text") -> Study:
    summary = summary_of(name)
    return Study(data=data, summary=summary, law=copy.deepcopy(summary["laws"][0]))  # type: ignore[arg-type]


def test_the_three_facts_of_the_headline() -> None:
    """Of the sizes and of the exponent by either estimator, and of the size after half of the training."""
    summary = summary_of("study-text-converged")
    (law,) = summary["laws"]
    outside = [r for r in summary["critical"] if not r["low"] <= r["n_local"] <= r["high"]]
    assert (len(outside), len(summary["critical"])) == (5, 7)
    assert f"at five of the seven dataset sizes, and an exponent of {law['gamma_local']:.2f}." in STUDY
    (ten,) = (r for r in summary["critical"] if r["subset_bytes"] == 10**7)
    assert f"at 10 MB, {ten['local_low'] / 1e3:.0f} K to {ten['high'] / 1e3:.0f} K parameters" in STUDY
    doubled = [r for r in summary["convergence"] if r["half_bytes_seen"] * 2 == r["bytes_seen"]]
    least, *_, most = sorted(100 * (r["ratio"] - 1) for r in doubled)
    assert f"made them larger at every dataset size, by {least:.1f} to {most:.1f} % " in STUDY
    fell = sorted(100 * r["points"] for r in doubled)
    assert f"Rates still fall by {fell[0]:.1f} to {fell[-1]:.1f} points a doubling." in STUDY
    assert f"at most {max(100 * (r['ratio_high'] - 1) for r in doubled):.0f} % within the 95 % intervals" in STUDY


def test_what_a_parameter_costs_coded() -> None:
    rows = [r for r in summary_of("study-text-converged")["precisions"] if r["cost"] == "coded"]
    bits = sorted(r["bits_per_param"] for r in rows if r["status"] == "bracketed")
    assert f"of the critical size then costs {bits[0]:.1f} to {bits[-1]:.1f} bits" in STUDY


def test_what_twice_the_training_does_to_coded_sizes() -> None:
    """Of the text's seven sizes, and of the two that were trained once more as long."""
    rows = summary_of("study-text-converged")["coded_convergence"]
    rows = [row for row in rows if row["half_bytes_seen"] * 2 == row["bytes_seen"]]
    *smaller, largest = sorted(rows, key=lambda row: row["subset_bytes"])
    text = " ".join(STUDY.split())
    most, surely = (max(100 * abs(row[name] - 1) for row in smaller) for name in ("ratio", "ratio_high"))
    assert f"changed N\\* of datasets up to 30 MB by at most {most:.0f} % ({surely:.0f} % within the intervals)" in text
    ends = [f"{100 * (largest[name] - 1):.0f}" for name in ("ratio", "ratio_low", "ratio_high")]
    assert "raised that of 80 MB by {} % ({} to {} %)".format(*ends) in text
    longer = summary_of("study-text-coded-longer")
    ten, thirty = (f"{100 * (row['ratio'] - 1):.0f}" for row in longer["convergence"])
    assert f"at 30 MB, {ten} and {thirty} % above the same shapes after 12,000 steps" in text
    (row, _) = longer["critical"]
    assert f"interpolating between the models gives {row['n_local'] / 1e3:.0f} K at 10 MB" in text
    for row, size in zip(
        longer["critical"], ("490 K ({:.0f} K to {:.0f} K)", "1.04 M ({:.0f} K to 1.21 M)"), strict=True
    ):
        assert size.format(row["low"] / 1e3, row["high"] / 1e3) in text


def test_where_zpaq_and_the_best_model_of_source_are_level() -> None:
    summary = summary_of("study-source")
    ratios = {}
    for critical in summary["critical"]:
        if critical["coder"] == "zpaq":
            rates = [r["adjusted_rate"] for r in summary["rates"] if r["subset_bytes"] == critical["subset_bytes"]]
            ratios[critical["subset_bytes"]] = min(rates) / critical["classical_rate"]
    assert max(ratios) == 30_000_000
    assert all(ratio > 1 for ratio in ratios.values())
    assert ratios[30_000_000] < 1.002
    assert "at 30 MB the best one is level with it, at 14.7 %" in STUDY


def test_how_many_rows_of_the_theory_table_say_what() -> None:
    """Ten intervals contain 0, two end there, two lie below; thirteen of the fourteen differences are negative."""
    text = (ROOT / "docs/study.md").read_text().partition("<!-- theory:")[2].partition("<!-- end of theory")[0]
    cells = [line.split(" | ")[4] for line in text.splitlines() if line.startswith("| ")][1:]
    ends = [cell.strip("*").partition("(")[2].rstrip(")").split(" to ") for cell in cells]
    around = [
        cell
        for cell, (low, high) in zip(cells, ends, strict=True)
        if low[0] == "−" and high != "0.00" and high[0] != "−"
    ]
    at = [cell for cell, (_, high) in zip(cells, ends, strict=True) if high == "0.00"]
    assert (len(cells), len(at), sum(cell[0] == "*" for cell in cells)) == (14, 2, 2)
    assert len([cell for cell in around if cell[0] != "*"]) == 10
    assert sum(cell.strip("*")[0] == "−" for cell in cells) == 13


def test_how_much_shapes_of_other_texts_scatter() -> None:
    others = {r["group"]: r["shape_sd"] for r in summary_of("study-other-texts")["critical"]}
    three = [f"{100 * others[f'file:{name}.txt']:.1f}" for name in ("bible", "dictionary", "kernel")]
    own = 100 * summary_of("study-text")["critical"][0]["shape_sd"]
    assert f"by {three[0]}, {three[1]} and {three[2]} % of the code length (those of the encyclopedia" in STUDY
    assert f"with recipe 1 by {own:.1f} %)" in STUDY


def test_what_is_said_of_the_exponent_of_other_texts() -> None:
    """The common part of the four intervals, the other estimator, the coder ahead, the training, the scatter."""
    found, own = summary_of("study-other-texts-converged"), summary_of("study-text-converged")
    laws = [*found["laws"], *own["laws"]]
    low, high = max(law["gamma_low"] for law in laws), min(law["gamma_high"] for law in laws)
    assert 0.74 < low < 0.75 < 0.77 < high < 0.78
    assert "Any exponent from 0.75 to 0.77 lies in all four intervals" in STUDY
    local = [f"{law['gamma_local']:.2f}" for law in (*own["laws"], *found["laws"])]
    assert f"models gives 0.79 ({local[0]} through 80 MB), {local[1]}, {local[2]} and {local[3]}." in STUDY
    ahead = []
    for row in found["critical"]:
        if row["subset_bytes"] == 3_000_000:
            same = [r for r in found["rates"] if (r["group"], r["subset_bytes"]) == (row["group"], 3_000_000)]
            ahead.append(100 * (min(r["adjusted_rate"] for r in same) - row["classical_rate"]))
    assert f"at two bytes a parameter by {min(ahead):.1f} to {max(ahead):.1f} points" in STUDY
    half = [row for row in found["convergence"] if row["bytes_seen"] == 2 * row["half_bytes_seen"]]
    assert len(half) == 12
    most, within = max(row["ratio"] for row in half) - 1, max(row["ratio_high"] for row in half) - 1
    assert f"by at most {100 * most:.0f} % ({100 * within:.0f} % within the 95 % intervals)" in STUDY
    outside = [row for row in found["critical"] if not row["low"] <= row["n_local"] <= row["high"]]
    assert (len(outside), len(found["critical"])) == (8, 12)
    scatter = {row["group"]: row["shape_sd"] for row in found["critical"]}
    three = [f"{100 * scatter[f'file:{name}.txt']:.1f}" for name in ("bible", "dictionary", "kernel")]
    assert f"shapes scatter by {three[0]} (Bible), {three[1]} and {three[2]} % of the code length" in STUDY
    assert f"(those of the encyclopedia by {100 * own['critical'][0]['shape_sd']:.1f} %, with recipe 1" in STUDY


def test_which_architecture_pays() -> None:
    """What minGRU saves at its critical sizes, whose intervals overlap with the Transformer's."""
    rows = {(r["group"].split(", ")[-1], r["subset_bytes"]): r for r in summary_of("study-architectures")["critical"]}
    sizes = sorted({n_bytes for _, n_bytes in rows})
    pairs = [(rows["mingru", n], rows["transformer", n]) for n in sizes]
    saved = sorted(100 * (other["adjusted_rate"] - own["adjusted_rate"]) for own, other in pairs)
    overlap = [own["low"] < other["high"] and other["low"] < own["high"] for own, other in pairs]
    assert f"shorter by {saved[0]:.1f} to {saved[-1]:.1f} points at the critical sizes of 100 KB to 1 MB" in STUDY
    assert all(overlap), "The sizes themselves cannot be told apart."


def test_a_difference_is_bold_if_its_interval_is_clear_of_0_as_printed() -> None:
    study = row("study-text-converged")
    assert study.law["theory"]
    for high, shown in ((-0.02, "**−0.03 (−0.17 to −0.02)**"), (-0.0049, "−0.03 (−0.17 to 0.00)")):
        study.law["theory"]["difference_high"] = high
        assert f"| {shown} |" in theory_table([study])
    assert "−0.00" not in theory_table([study])


def test_the_sizes_are_those_of_the_group_and_of_the_last_rows_dataset_sizes() -> None:
    lines = exponents_table([row("study-text"), row("study-other-texts", "Bible")]).splitlines()
    assert lines[0] == "| data | recipe | 100 KB | 300 KB | 1 MB | 3 MB | exponent (95 %) |"
    assert lines[3] == "| Bible | 1 | 4.3 K | 9.9 K | 23 K | 57 K | 0.75 (0.68 to 0.81) |"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Bible reports/x.json", "names no study; write it as DATA: PATH/summary.json"),
        ("Bible: s.json", "names 3 groups of its summary, and must name one of: file:bible.txt, "),
        ("Bible: s.json file:none.txt", "names 0 groups of its summary"),
        ("Bible: t.json", "Bible: its summary has no test of the theory; leave its line out"),
    ],
)
def test_a_line_that_names_no_row_is_told_and_nothing_is_written(
    tmp_path: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.json").write_text((ROOT / "reports/study-other-texts/summary.json").read_text())
    untested = summary_of("study-text")
    untested["laws"][0]["theory"] = None
    (tmp_path / "t.json").write_text(json.dumps(untested))
    page = tmp_path / "page.md"
    page.write_text(text := f"<!-- theory: of\n{line}\n-->\n| old |\n<!-- end of theory -->\n")
    assert main([str(page)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert said in told
    assert page.read_text() == text


def test_tables_of_several_studies_are_written_anew() -> None:
    page = ROOT / "docs/study.md"
    assert page.read_text().count("<!-- end of theory -->") == page.read_text().count("<!-- end of exponents -->") == 1
    assert with_tables(page) == page.read_text()
