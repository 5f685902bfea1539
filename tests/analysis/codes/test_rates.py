from random import Random

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.codes import adjusted_compression_rate, best_classical, classical_rates, raw_rate
from analysis.costs import Fixed, parse_cost
from analysis.errors import AnalysisError
from analysis.records import span_bits
from analysis.report.sections.appendix import classical

# Delétang et al. 2024, Table 1, neural rows: nominal N; raw and adjusted % on enwik9, ImageNet, LibriSpeech, random.
TABLE_1 = {
    "Transformer 200K": (2e5, (30.9, 194.0, 146.6, 195.5), (30.9, 194.0, 146.6, 195.5)),
    "Transformer 800K": (8e5, (21.7, 185.1, 131.1, 200.1), (21.9, 185.3, 131.3, 200.3)),
    "Transformer 3.2M": (3.2e6, (17.0, 215.8, 228.2, 224.0), (17.7, 216.5, 228.9, 224.7)),
    "Llama 2 7B": (7e9, (8.9, 53.4, 23.1, 103.2), (1408.9, 1453.4, 1423.1, 1503.2)),
    "Chinchilla 1B": (1e9, (11.3, 62.2, 24.9, 108.8), (211.3, 262.2, 224.9, 308.8)),
    "Chinchilla 7B": (7e9, (10.2, 54.7, 23.6, 101.6), (1410.2, 1454.7, 1423.6, 1501.6)),
    "Chinchilla 70B": (7e10, (8.3, 48.0, 21.0, 100.8), (14008.3, 14048.0, 14021.0, 14100.8)),
}


@pytest.mark.parametrize("row", TABLE_1)
def test_the_papers_adjusted_rates_come_out_within_a_tenth_of_a_point(row: str) -> None:
    n_params, raw, adjusted = TABLE_1[row]
    ours = 100 * adjusted_compression_rate(np.array(raw) / 100, n_params, 1e9)
    assert np.abs(ours - np.array(adjusted)).max() <= 0.1 + 1e-9


def test_the_3_2m_row_is_exact_with_its_true_parameter_count() -> None:
    ours = 100 * adjusted_compression_rate(0.170, 3_286_272, 1e9)
    assert round(float(ours), 1) == 17.7


def test_rates_are_of_the_raw_size() -> None:
    assert raw_rate(800, 100) == 1
    assert adjusted_compression_rate(0.25, 1000, 10_000, 4) == 0.25 + 0.4


def segments(*rows: tuple[int, int, float]) -> npt.NDArray[np.float64]:
    return np.array(rows, np.float64).reshape(-1, 3)


def test_a_span_is_the_sum_of_the_segments_that_tile_it() -> None:
    parts = segments((10, 30, 2.0), (0, 10, 1.0), (30, 100, 4.0))
    assert span_bits(parts, 0, 30) == 3
    assert span_bits(parts, 10, 100) == 6


@pytest.mark.parametrize(
    "rows",
    [
        ((0, 10, 1.0), (20, 30, 1.0)),  # a gap
        ((0, 20, 1.0), (10, 30, 1.0)),  # an overlap
        ((0, 10, 1.0),),  # too short
        ((10, 30, 1.0),),  # no beginning
        ((0, 10, 1.0), (10, 40, 1.0)),  # no boundary at the end
        (),
    ],
)
def test_what_is_not_tiled_exactly_was_not_evaluated(rows: tuple[tuple[int, int, float], ...]) -> None:
    assert np.isnan(span_bits(segments(*rows), 0, 30))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), st.randoms())
def test_a_span_does_not_depend_on_the_order_of_segments(bits: list[float], random: Random) -> None:
    rows = [(10 * i, 10 * i + 10, b) for i, b in enumerate(bits)]
    random.shuffle(rows)
    assert span_bits(segments(*rows), 0, 10 * len(bits)) == pytest.approx(sum(bits))


def coded(
    coder: str, order: str, size: int, *, chunk: float = float("nan"), n: int = 1, d: int = 1000
) -> dict[str, object]:
    return {"corpus": "c", "subset_bytes": d, "coder": coder, "order": order, "chunk_bytes": chunk,
            "sample_bytes": 1000, "n_chunks": n, "compressed_bytes": size, "header_bytes": 20}  # fmt: skip


def test_a_header_counts_once_however_many_chunks() -> None:
    """10 chunks of a coder with a 20-byte header: 400 bytes at true size, 220 the paper's way."""
    rates = classical_rates(pd.DataFrame([coded("gzip", "shuffled", 400, chunk=100, n=10)]))
    assert rates["rate"].tolist() == [0.4]
    assert rates["rate_header_once"].tolist() == [0.22]


def test_the_coder_to_beat_coded_the_same_bytes_whole() -> None:
    """The first bytes of the source are others, and count only where nothing was shuffled."""
    frame = pd.DataFrame([
        coded("xz", "shuffled", 300), coded("xz", "contiguous", 280), coded("gzip", "shuffled", 350),
        coded("gzip", "shuffled", 100, chunk=100, n=10),  # chunked: another code
        coded("bzip2", "shuffled", 250, d=2000), coded("xz", "contiguous", 900, d=3000),
    ])  # fmt: skip
    best = best_classical(frame)[["subset_bytes", "coder", "order", "rate"]]
    assert best.to_numpy().tolist() == [
        [1000, "xz", "shuffled", 0.3], [2000, "bzip2", "shuffled", 0.25], [3000, "xz", "contiguous", 0.9],
    ]  # fmt: skip


def test_shuffle_seeds_are_averaged_not_picked() -> None:
    frame = pd.DataFrame([coded("xz", "shuffled", 200), coded("xz", "shuffled", 400), coded("zstd", "shuffled", 290)])
    assert best_classical(frame)["coder"].tolist() == ["zstd"]


def test_prices() -> None:
    assert [parse_cost(name).bytes_per_param for name in ("float32", "float16", "none", "0.75", 3)] == [
        4,
        2,
        0,
        0.75,
        3,
    ]
    assert parse_cost("float16").bits_per_param == 16
    assert parse_cost(Fixed("mine", 1.0)).name == "mine"


@pytest.mark.parametrize(
    ("cost", "message"),
    [("flot16", "unknown cost 'flot16'.*did you mean 'float16'"), ("-1", "-1 bytes"), ("nan", "nan"), ("inf", "inf")],
)
def test_an_impossible_price_is_one_line(cost: str, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        parse_cost(cost)


def test_chunks_are_of_the_order_that_models_read() -> None:
    """Never averaged with chunks of the source's own order, and of several lengths the longest."""
    of = [coded("png", "shuffled", 400, chunk=100, n=10), coded("png", "shuffled", 300, chunk=200, n=5),
          coded("png", "shuffled", 320, chunk=200, n=5), coded("png", "contiguous", 100, chunk=200, n=5),
          coded("xz", "contiguous", 200, chunk=200, n=5)]  # fmt: skip
    png, xz = classical(pd.DataFrame(of).assign(settings="-9"))
    assert (png["chunk_bytes"], png["chunked_rate"]) == (200, pytest.approx(0.31))
    assert png["chunked_rate_header_once"] == pytest.approx(0.23)
    assert xz["chunked_rate"] == pytest.approx(0.2)
