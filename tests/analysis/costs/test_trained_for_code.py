"""Cells that were trained for their coded weights, beside those that were rounded after training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis.codes import shortest_codes
from analysis.costs import parse_cost
from analysis.records import load
from analysis.study import study
from tests import ROOT

RECORDS = ROOT / "reports" / "study-precision" / "records"


def totals(record: dict[str, Any]) -> list[float]:
    return [code["model_bits"] + code["data_bits"] for s in record["snapshots"] for code in s["coded"]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Records of one dataset size, and to each a cell trained for its code, by turns 5 % shorter and 5 % longer."""
    paths = [path for path in sorted(RECORDS.glob("*/record.json")) if "-1MB-" in path.parent.name]
    for i, path in enumerate(paths):
        record = json.loads(path.read_bytes())
        (tmp_path / record["run_id"]).mkdir()
        shutil.copy(path, tmp_path / record["run_id"])
        least, factor = min(totals(record)), 1.05 if i % 2 else 0.95
        code = {"bits": 4, "coder": "density", "model_bits": 8 * record["model"]["n_params"] // 2}
        code |= {"data_bits": least * factor - code["model_bits"], "coded_file": "final.coded", "coded_sha256": "0"}
        record["run_id"] += "-total"
        record["config"] |= {"train.weight_bits": "auto", "train.rounding_start": 0.7}
        record["snapshots"] = [{**s, "coded": [code]} for s in record["snapshots"]]
        (tmp_path / record["run_id"]).mkdir()
        (tmp_path / record["run_id"] / "record.json").write_text(json.dumps(record))
    assert len(paths) > 5
    return tmp_path


def test_the_coded_price_takes_the_shorter_and_no_other_price_knows_them(runs: Path) -> None:
    """At bits that are asked for too: a precision is one of weights that were rounded after training."""
    table = load(runs)
    assert len(table.for_code) == len(table.cells) == len(table.runs)
    assert not table.coded["coded_file"].notna().any()
    for cost in ("float16", "float32", "coded4"):
        assert not shortest_codes(table, parse_cost(cost))["run_id"].str.endswith("-total").any(), cost
    chosen = shortest_codes(table, parse_cost("coded"))
    for row in chosen.to_dict("records"):
        run = row["run_id"].removesuffix("-total")
        least = min(totals(json.loads((runs / run / "record.json").read_bytes())))
        total = row["own_bits"] + row["bits_per_param"] * row["n_params"]
        if row["run_id"].endswith("-total"):
            assert total == pytest.approx(0.95 * least)
        else:
            assert least <= total < 1.05 * least
    assert 0 < chosen["run_id"].str.endswith("-total").sum() < len(chosen)


def test_the_critical_size_at_two_bytes_is_that_of_plain_cells(runs: Path) -> None:
    """To the digit, though cells of the same shapes were trained otherwise; the price coded has one of its own."""
    both = study(load(runs), parse_cost("float16")).critical
    coded = study(load(runs), parse_cost("coded")).critical
    for folder in runs.glob("*-total"):
        shutil.rmtree(folder)
    plain = study(load(runs), parse_cost("float16")).critical
    assert both["n_params"].tolist() == plain["n_params"].tolist()
    assert both["adjusted_rate"].tolist() == plain["adjusted_rate"].tolist()
    assert coded["adjusted_rate"].iloc[0] < study(load(runs), parse_cost("coded")).critical["adjusted_rate"].iloc[0]
