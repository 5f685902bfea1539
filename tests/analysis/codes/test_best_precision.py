"""One precision of the weights for all models of a dataset size: the one that is best by the law, not by a shape."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.codes.best_precision import at_best_precision

D = 10_000_000
# A coarse ladder, with a shape at the critical size of 3 bits, and none at that of 4 bits, 291 K.
SIZES = (41_300, 124_000, 372_000, 1_116_000, 3_348_000)
LOSS = {3: 1.031, 4: 1.007, 5: 1.0}  # what rounding makes of the data's code


def totals(n: np.ndarray, bits: int) -> np.ndarray:
    return 8 * D * (0.13 + 1.6 * n**-0.27) * LOSS[bits] + bits * n


def cells(sizes: tuple[int, ...] = SIZES, group: str = "text", offset: float = 1.0) -> pd.DataFrame:
    n = np.array(sizes, np.float64)
    frames = [
        pd.DataFrame(
            {
                "group": group,
                "subset_bytes": D,
                "n_params": n.astype(int),
                "seed": 0,
                "shuffle_seed": 0,
                "precision_bits": bits,
                "bits_per_param": float(bits),
                "own_bits": offset * (totals(n, bits) - bits * n),
                "depth": 4,
            }
        )
        for bits in LOSS
    ]
    return pd.concat(frames, ignore_index=True)


def chosen_bits(frame: pd.DataFrame) -> int:
    (bits,) = set(frame["precision_bits"])
    return int(bits)


def test_the_law_chooses_where_the_shortest_cell_would_choose_otherwise() -> None:
    everywhere = np.geomspace(SIZES[0], SIZES[-1], 2000)
    truly = min(LOSS, key=lambda bits: totals(everywhere, bits).min())
    measured = min(LOSS, key=lambda bits: totals(np.array(SIZES, np.float64), bits).min())
    assert (truly, measured) == (4, 3), "the case that this is about"
    assert chosen_bits(at_best_precision(cells())) == truly


def test_every_cell_is_kept_at_that_precision_and_each_dataset_size_has_its_own() -> None:
    other = cells(group="other", offset=0.5)  # parameters outweigh more: fewer bits are better
    found = at_best_precision(pd.concat([cells(), other]))
    assert found.groupby("group")["n_params"].apply(list).tolist() == [list(SIZES)] * 2
    assert {group: chosen_bits(own) for group, own in found.groupby("group")} == {"text": 4, "other": 3}


@pytest.mark.parametrize("n_sizes", [1, 2])
def test_with_too_few_sizes_for_a_law_the_shortest_cell_chooses(n_sizes: int) -> None:
    few = cells(SIZES[3 - n_sizes : 3])
    shortest = few.loc[(few["own_bits"] + few["bits_per_param"] * few["n_params"]).idxmin(), "precision_bits"]
    assert chosen_bits(at_best_precision(few)) == shortest


def test_another_training_is_taken_at_the_precisions_of_the_first() -> None:
    """Else a level pair of precisions would move the critical size by a third, though no training did."""
    first = at_best_precision(cells())
    assert chosen_bits(at_best_precision(cells(offset=0.5), like=first)) == chosen_bits(first)
    assert chosen_bits(at_best_precision(cells(offset=0.5))) == 3


def test_what_has_one_price_is_left_as_it_is() -> None:
    plain = cells().drop(columns="precision_bits")
    assert at_best_precision(plain) is plain
