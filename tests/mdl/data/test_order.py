import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.data import WindowOrder
from mdl.errors import MdlError

sizes = st.tuples(st.integers(1, 64), st.integers(0, 5000)).map(lambda ct: (ct[0], ct[0] + ct[1]))


@given(seed=st.integers(0, 2**63 - 1), size=sizes, batch=st.integers(1, 9), step=st.integers(0, 10_000))
def test_every_window_lies_within_the_subset(seed: int, size: tuple[int, int], batch: int, step: int) -> None:
    context, subset = size
    starts = WindowOrder(seed, subset, context, batch).starts(step)
    assert starts.shape == (batch,)
    assert starts.min() >= 0
    assert starts.max() + context <= subset


@given(seed=st.integers(0, 1000), size=sizes, step=st.integers(0, 1000))
def test_a_step_does_not_depend_on_the_steps_before_it(seed: int, size: tuple[int, int], step: int) -> None:
    context, subset = size
    used, fresh = WindowOrder(seed, subset, context, 3), WindowOrder(seed, subset, context, 3)
    for k in range(0, step, 97):
        used.starts(k)
    assert np.array_equal(used.starts(step), fresh.starts(step))


def test_a_pass_takes_every_window_once() -> None:
    order = WindowOrder(seed=1, subset_length=1000, context_length=10, batch_windows=1)
    starts = np.concatenate([order.starts(k) for k in range(order.n_windows)])
    assert np.array_equal(np.sort(starts), starts.min() + 10 * np.arange(order.n_windows))
    assert order.n_windows == 99


def test_seeds_and_passes_differ() -> None:
    def first(seed: int, step: int) -> list[int]:
        return WindowOrder(seed, 1000, 10, 20).starts(step).tolist()

    assert first(0, 0) != first(1, 0)
    assert first(0, 0) != first(0, 5)  # 99 windows: step 5 is in the second pass


def test_the_order_never_changes() -> None:
    assert WindowOrder(7, 100_000, 256, 4).starts(123).tolist() == GOLDEN


def test_a_subset_smaller_than_a_window_is_an_error_with_both_numbers() -> None:
    with pytest.raises(MdlError, match="a subset of 100 is smaller than one context of 256"):
        WindowOrder(0, 100, 256, 4)


GOLDEN = [74431, 10431, 21951, 48063]
