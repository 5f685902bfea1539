"""One precision of the weights for all models of a dataset size: the one that is best by the law, not by a shape."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.codes.best_precision import AT, best_precisions
from analysis.types import Floats

D = 10_000_000
# A coarse ladder, with a shape at the critical size of 3 bits, and none at that of 4 bits, 291 K.
SIZES = (41_300, 124_000, 372_000, 1_116_000, 3_348_000)
LOSS = {3: 1.031, 4: 1.007, 5: 1.0}  # what rounding makes of the data's code


def total_bits(n: Floats, bits: int) -> Floats:
    return np.asarray(8 * D * (0.13 + 1.6 * n**-0.27) * LOSS[bits] + bits * n)


def cells(bits: int, sizes: tuple[float, ...] = SIZES, share: float = 1.0, group: str = "text") -> pd.DataFrame:
    """`share`: of the code length, which makes parameters weigh more."""
    n = np.array(sizes, np.float64)
    return pd.DataFrame(
        {
            "group": group,
            "subset_bytes": D,
            "n_params": n.astype(int),
            "seed": 0,
            "shuffle_seed": 0,
            "precision_bits": bits,
            "bits_per_param": float(bits),
            "own_bits": share * (total_bits(n, bits) - bits * n),
            "depth": 4,
        }
    )


def at_each(sizes: tuple[float, ...] = SIZES, share: float = 1.0) -> dict[int, pd.DataFrame]:
    return {bits: cells(bits, sizes, share) for bits in LOSS}


def best(chosen: dict[int, pd.DataFrame]) -> int:
    found = best_precisions(chosen)
    assert list(found.columns) == AT
    (bits,) = found["precision_bits"]
    return int(bits)


def shortest(sizes: tuple[float, ...]) -> int:
    return min(LOSS, key=lambda bits: float(total_bits(np.array(sizes, np.float64), bits).min()))


def test_the_law_chooses_where_the_shortest_cell_would_choose_otherwise() -> None:
    truly = shortest(tuple(np.geomspace(SIZES[0], SIZES[-1], 2000)))
    assert (truly, shortest(SIZES)) == (4, 3), "the case that this is about"
    assert best(at_each()) == truly


@pytest.mark.parametrize("step", [1.7, 3.0, 6.0, 10.0])
@pytest.mark.parametrize("off", [0.2, 0.5, 0.8])
def test_it_is_the_true_one_wherever_the_shapes_stand(step: float, off: float) -> None:
    """Of laws without noise, however far apart sizes are: from within the ladder to beyond its end."""
    sizes = tuple(291_000 * step ** (k + off) for k in range(-3, 3))
    assert best(at_each(sizes)) == 4


def test_a_minimum_at_the_edge_is_compared_by_the_law_too() -> None:
    """All three precisions fall to the left edge of the ladder: there, too, each law speaks for itself."""
    sizes = tuple(1_500_000 * 1.8**k for k in range(5))
    truly = min(LOSS, key=lambda bits: float(total_bits(np.array(sizes[:1]), bits)[0]))
    assert best(at_each(sizes)) == truly


def test_each_dataset_size_has_its_own() -> None:
    """Where parameters weigh more, fewer bits are better."""
    both = {bits: pd.concat([cells(bits), cells(bits, share=0.5, group="other")]) for bits in LOSS}
    found = best_precisions(both).set_index("group")["precision_bits"]
    assert found.to_dict() == {"text": 4, "other": 3}


@pytest.mark.parametrize("n_sizes", [1, 2])
def test_with_too_few_sizes_for_a_law_the_shortest_cell_chooses(n_sizes: int) -> None:
    few = SIZES[3 - n_sizes : 3]
    assert best(at_each(few)) == shortest(few)


def test_a_precision_that_some_shapes_lack_loses_none_of_the_others() -> None:
    assert best({5: cells(5), 4: cells(4, SIZES[2:3])}) == 5


def test_nothing_coded_has_no_precision() -> None:
    found = best_precisions({})
    assert found.empty
    assert list(found.columns) == AT
