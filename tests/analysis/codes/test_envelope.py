"""Which model size has the least adjusted rate at which dataset size, for subsets and for prefixes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from analysis.codes import one_model_many_sizes
from analysis.costs import PAPER, parse_cost
from analysis.plots import figure_file
from analysis.records import load
from analysis.report.contents import write
from analysis.report.elements import Grid
from analysis.report.sections.crossover_figures import plot_envelope
from analysis.report.sections.least_rate import POINTS, envelope, own_points, prefix_points, spans
from analysis.report.summary import summarise
from analysis.study import Study, study
from mdl.records import Segment
from tests.synthetic import SIZES, cell, grid, power_law, write_sweep

DATA = (30_000, 300_000, 3_000_000, 30_000_000)
LADDER = ["4x1", "8x1", "16x2", "32x2", "64x2", "64x4"]


def points(sizes: dict[int, float], data: tuple[int, ...] = DATA, price: float = 16.0) -> pd.DataFrame:
    """Models of N parameters with a rate in bits a byte that no dataset size changes."""
    rows = [(n, str(n), d, rate * d, price * n) for n, rate in sizes.items() for d in data]
    return pd.DataFrame(rows, columns=POINTS)


def explained(tmp_path: Path, cost: str = "float16") -> Study:
    return study(load(write_sweep(tmp_path / "s", grid(LADDER, DATA))), parse_cost(cost))


@given(rate=st.floats(1, 7), saved=st.floats(1e-3, 0.9), n=st.integers(100, 10**5), ratio=st.floats(1.1, 8))
def test_the_next_size_takes_over_where_what_it_saves_pays_for_it(
    rate: float, saved: float, n: int, ratio: float
) -> None:
    """D = c·(N2 − N1) / (l1 − l2)."""
    large = int(np.ceil(ratio * n))
    truth = 16 * (large - n) / saved
    found = spans(points({n: rate, large: rate - saved}))
    if not DATA[0] < truth < DATA[-1]:
        assert len(found) == 1
        return
    assert found["n_params"].tolist() == [n, large]
    assert found["from_bytes"].iloc[1] == found["to_bytes"].iloc[0] == pytest.approx(truth, rel=1e-6)
    assert found["from_rate"].iloc[1] == pytest.approx((rate + 16 * n / truth) / 8, rel=1e-6)


def test_on_the_synthetic_law_every_size_inside_the_grid_has_its_stretch_and_they_follow_each_other(
    tmp_path: Path,
) -> None:
    made = explained(tmp_path)
    found = spans(own_points(made, "file:book.txt"))
    assert found["n_params"].is_monotonic_increasing
    assert found["from_bytes"].tolist()[1:] == found["to_bytes"].tolist()[:-1]
    crossed = made.crossings.set_index("n_large")["subset_bytes"]
    for row in found.iloc[1:].to_dict("records"):
        assert row["from_bytes"] == pytest.approx(crossed[row["n_params"]], rel=1e-6)


def test_a_size_that_is_never_the_least_has_no_stretch() -> None:
    assert spans(points({1000: 4.0, 2000: 4.5, 4000: 3.0}))["n_params"].tolist() == [1000, 4000]


def test_where_a_size_was_not_run_nothing_is_said_to_cross() -> None:
    both = pd.concat([points({1000: 4.0}), points({2000: 2.0}, DATA[2:])])
    found = spans(both)
    assert found["n_params"].tolist() == [1000, 2000]
    assert found["from_bytes"].isna().all()


def test_the_envelope_is_below_every_measurement_and_lines_go_through_them(tmp_path: Path) -> None:
    found = envelope(own_points(explained(tmp_path), "file:book.txt"))
    least = found.least.set_index("data_bytes")["adjusted_rate"]
    drawn = found.lines.set_index(["n_params", "data_bytes"])["adjusted_rate"]
    for row in found.measured.to_dict("records"):
        assert least[row["data_bytes"]] <= row["adjusted_rate"] + 1e-12
        assert drawn[row["n_params"], row["data_bytes"]] == pytest.approx(row["adjusted_rate"])


def test_a_prefix_costs_its_bits_and_all_parameters_of_the_model_of_the_largest_subset(tmp_path: Path) -> None:
    """The paper's form: segments of the model of 30 MB. Its block after that is of bytes it has not seen: left out."""
    found = prefix_points(explained(tmp_path), "file:book.txt")
    own = found[found["size"] == "32x2"]
    bits = power_law(SIZES["32x2"], DATA[-1])
    assert own["data_bytes"].tolist() == [1000, DATA[-1]]
    assert own["code_bits"].tolist() == pytest.approx([bits * 1000 / DATA[-1], bits])
    assert own["model_bits"].tolist() == [16 * SIZES["32x2"]] * 2


def test_seeds_are_averaged_and_a_prefix_that_one_of_them_lacks_is_left_out(tmp_path: Path) -> None:
    short = [
        Segment(part="train", start_bytes=0, end_bytes=1000, code_bits=900.0),
        Segment(part="train", start_bytes=1000, end_bytes=10_000, code_bits=9100.0),
    ]
    records = [cell("8x1", 10_000, 12_000.0, seed=0), cell("8x1", 10_000, 10_000.0, seed=1, segments=short)]
    found = prefix_points(study(load(write_sweep(tmp_path / "s", records)), PAPER), "file:book.txt")
    assert found["data_bytes"].tolist() == [1000, 10_000]
    assert found["code_bits"].tolist() == pytest.approx([(1200 + 900) / 2, 11_000])


def test_coded_weights_have_no_code_of_prefixes_and_logn_has_a_price_of_each(tmp_path: Path) -> None:
    found = prefix_points(explained(tmp_path, "logn"), "file:book.txt")
    assert (found["model_bits"] / found["n_params"]).tolist() == pytest.approx(
        (0.5 * np.log2(found["data_bytes"].astype(float))).tolist()
    )
    made = explained(tmp_path / "coded")
    coded = Study(**{**vars(made), "cost": parse_cost("coded")})
    assert prefix_points(coded, "file:book.txt").empty


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 100), st.booleans()), max_size=12), st.randoms())
def test_a_curve_ends_at_the_first_gap_whatever_the_order_of_segments(
    pieces: list[tuple[int, float, bool]], random: np.random.Generator
) -> None:
    """Golden: a plain loop."""
    rows, at = [], 0
    for length, bits, gap in pieces:
        start = at + 5 * gap
        rows.append(("r", "final", "train", start, start + length, bits))
        at = start + length
    wanted: list[tuple[int, float]] = []
    for *_, start, end, bits in rows:
        if start != (wanted[-1][0] if wanted else 0):
            break
        wanted.append((end, bits + (wanted[-1][1] if wanted else 0)))
    random.shuffle(rows)
    columns = ["run_id", "snapshot", "part", "start_bytes", "end_bytes", "code_bits"]
    found = one_model_many_sizes(pd.DataFrame(rows, columns=columns).astype({"code_bits": float}))
    assert found["raw_bytes"].tolist() == [end for end, _ in wanted]
    assert found["code_bits"].tolist() == pytest.approx([bits for _, bits in wanted])


@pytest.mark.slow
def test_the_table_says_where_each_size_is_least_in_both_forms(tmp_path: Path) -> None:
    made = explained(tmp_path)
    summary = summarise(made)
    assert {row["form"] for row in summary["least"]} == {"own subset", "prefix"}
    tables = [block for block in write(summary, []).blocks if isinstance(block, Grid)]
    (found,) = [table for table in tables if "least of all" in table.header]
    assert [row[0] for row in found.rows] == [f"{SIZES[name]:,}" for name in LADDER[1:]]


def test_names_at_the_foot_and_beside_the_curves_do_not_overlap_or_leave_the_figure(tmp_path: Path) -> None:
    found = envelope(own_points(explained(tmp_path), "file:book.txt"))
    with figure_file.theme():
        axes = plot_envelope(found)
        frame = axes.get_window_extent()
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == len(LADDER) + found.spans["from_bytes"].notna().sum()
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        feet = [text.get_window_extent() for text in axes.texts if "\n" in text.get_text()]
        assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in feet)
    plt.close("all")
