"""A model that was not trained here: what its file costs, and from which dataset size on it beats the best coder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mdl
from analysis.costs import parse_cost
from analysis.errors import AnalysisError
from analysis.formatting import format_bytes
from analysis.records import load
from analysis.report.sections import pays_from
from analysis.study import study

pytestmark = pytest.mark.slow

Array = np.ndarray[Any, Any]
T = 250
MIX = np.random.default_rng(0).integers(0, 256, (4, 256))


def chaotic(n_bytes: int) -> bytes:
    """Each byte is told by the four before it, and no classical coder sees how."""
    made = [1, 2, 3, 4]
    while len(made) < n_bytes:
        made.append(int(MIX[0, made[-1]] ^ MIX[1, made[-2]] ^ MIX[2, made[-3]] ^ MIX[3, made[-4]]))
    return bytes(made)


def knows(p: float) -> Any:
    """Gives the right byte the probability p, but for the first four of a window."""

    def predict(windows: Array) -> Array:
        rows = np.full((*windows.shape, 256), 1 / 256)
        told = MIX[0, windows[:, 3:-1]] ^ MIX[1, windows[:, 2:-2]] ^ MIX[2, windows[:, 1:-3]] ^ MIX[3, windows[:, :-4]]
        rows[:, 4:] = (1 - p) / 255
        np.put_along_axis(rows[:, 4:], told[..., None], p, -1)
        return rows

    return predict


MODELS = {
    "tiny": (1, 0.9),
    "small": (4000, 0.9),
    "alike": (4000, 0.8),
    "large": (100_000, 0.95),
    "wrong": (3000, 1 / 1024),
}


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ladder")
    (root / "data").write_bytes(chaotic(20_000))
    (root / "weights").write_bytes(bytes(700))
    for name, (n_params, p) in MODELS.items():
        mdl.measure(knows(p), f"bytes:{root / 'data'}", n_params=n_params, name=name, sizes=["3KB", "10KB", "20KB"],
                    context=T, out=root / "run", files=[root / "weights"] if name == "small" else ())  # fmt: skip
    return root / "run"


def bits_a_byte(p: float) -> float:
    """By a window of T bytes."""
    return (4 * 8 - (T - 4) * math.log2(p)) / T


def test_each_model_pays_where_what_it_saves_outweighs_its_parameters(ladder: Path) -> None:
    rows = {row["size"]: row for row in pays_from.measure(study(load(ladder), parse_cost("float16")))}
    assert set(rows) == set(MODELS)
    assert (rows["tiny"]["message"], rows["tiny"]["first_bytes"]) == ("always", 3000)
    assert rows["wrong"]["message"] == "never"
    for name in ("small", "alike", "large"):
        n_params, p = MODELS[name]
        row = rows[name]
        wanted = 2 * n_params / (row["classical_rate"] - bits_a_byte(p) / 8)
        assert row["from_bytes"] == pytest.approx(wanted, rel=0.02)
        assert row["extrapolated"] is (name == "large")
        assert row["raw_rate"] == pytest.approx(bits_a_byte(p) / 8, rel=1e-9)
    (text, grid) = pays_from.write(list(rows.values()))
    assert "beyond" in text.text  # type: ignore[union-attr]
    said = {row[0]: row[2] for row in grid.rows}  # type: ignore[union-attr]
    assert said["tiny"] == "≤ 3 KB"
    assert said["wrong"] == "never"
    assert said["large"].startswith("≈ ")


def test_models_that_were_trained_here_are_not_in_it(ladder: Path) -> None:
    table = load(ladder)
    table.cells["n_steps"] = 100
    assert pays_from.measure(study(table, parse_cost("float16"))) == []


def test_the_price_file_is_the_bytes_on_disk_and_unknown_ones_are_left_out(ladder: Path) -> None:
    found = study(load(ladder), parse_cost("file")).rates
    assert set(found["size"]) == {"small"}
    for row in found.itertuples():
        assert row.adjusted_rate == pytest.approx(row.raw_rate + 700 / row.subset_bytes, rel=1e-12)
    table = load(ladder)
    table.cells["file_bytes"] = None
    with pytest.raises(AnalysisError, match="has no model whose bytes on disk are known"):
        study(table, parse_cost("file"))


def test_a_report_of_a_ladder_says_both(ladder: Path, tmp_path: Path) -> None:
    from analysis.report import build_report

    build_report(ladder, tmp_path / "r", parse_cost("file"), formats=["md"])
    text = (tmp_path / "r/report.md").read_text()
    assert "From which dataset size on each model pays" in text
    assert "A model costs the bytes of its weights' file as it lies on disk (file)." in text


class Momentum(nn.Module):
    """The next byte from where the last two point, through 4 numbers: 2,304 parameters."""

    predicts = "next"

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(256, 4), nn.Linear(4, 256)

    def forward(self, windows: Tensor) -> Tensor:
        ahead = (2 * windows - nn.functional.pad(windows, (1, 0))[:, :-1]) % 256
        rows: Tensor = self.head(self.embedding(ahead))
        return rows


def trained(data: Array, steps: int = 400) -> Momentum:
    """By Adam, on any places of the data."""
    torch.manual_seed(0)
    model, generator = Momentum(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(steps):
        at = generator.integers(0, len(data) - 2, 2000)
        windows = torch.from_numpy(data[at[:, None] + np.arange(3)]).long()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(windows)[:, 1], windows[:, 2]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def test_a_trained_model_pays_from_where_the_records_say_so_by_hand(tmp_path: Path) -> None:
    """A body that coasts and is pushed now and then, whose places coders of repeated bytes foretell badly."""
    pushes = np.random.default_rng(1).normal(0, 3, 30_000).round().astype(int)
    walk = (np.cumsum(np.cumsum(pushes)) % 256).astype(np.uint8)
    (tmp_path / "walk").write_bytes(walk.tobytes())
    sizes, run = [3_000, 10_000, 30_000], tmp_path / "run"
    mdl.measure(trained(walk), f"bytes:{tmp_path / 'walk'}", name="momentum", sizes=sizes, context=512, out=run)
    records = [json.loads(path.read_text()) for path in run.rglob("*.json")]
    saved, price = [], 16 * 2304
    for D in sizes:
        (own,) = (r for r in records if r["subset_bytes"] == D and "snapshots" in r)
        assert own["model"]["n_params"] == 2304
        coders = [r["compressed_bytes"] for r in records if r["subset_bytes"] == D and "coder" in r]
        assert len(coders) > 4
        saved.append(8 * min(coders) - sum(s["code_bits"] for s in own["snapshots"][0]["segments"]))
    assert saved[0] < price < saved[-1], "it crosses in the grid"
    fine = np.geomspace(sizes[0], sizes[-1], 1_000_001)
    a_byte = np.interp(np.log(fine), np.log(sizes), np.array(saved) / sizes)
    by_hand = fine[np.flatnonzero(fine * a_byte < price)[-1]]
    (row,) = pays_from.measure(study(load(run), parse_cost("float16")))
    assert (row["message"], row["extrapolated"]) == ("crossed", False)
    assert row["from_bytes"] == pytest.approx(by_hand, rel=1e-4)
    (_, grid) = pays_from.write([row])
    assert format_bytes(row["from_bytes"]) in str(grid)
