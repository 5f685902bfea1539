"""One pass over a subset: predict the next windows, then learn from them, and from some seen before (replay).

The code lengths of the predictions add up to the online prequential code of the subset (Dawid 1984; with neural
networks and replay Bornschein et al. 2022): a decoder that trains as the encoder did needs no parameters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError

Ints = npt.NDArray[np.int64]

_REPLAY = 1 << 63  # keys of the replay's generator, apart from those of `mdl.data.window_order`


class OnlineOrder:
    """Which windows a member sees at which step, and which of their bytes are coded there: a function of its arguments.

    The subset's windows in their order are spread evenly over the steps; what a step's batch has room for beyond its
    new windows is drawn from all that earlier steps have coded. More steps, more replay.
    """

    def __init__(self, seed: int, subset_length: int, context_length: int, batch_windows: int, steps: int) -> None:
        if subset_length < context_length:
            raise MdlError(
                f"a subset of {subset_length:,} is smaller than one context of {context_length:,} (bytes, or tokens); "
                "use a larger subset_bytes or a smaller model.context_bytes"
            )
        self.seed, self.subset_length, self.context_length = seed, subset_length, context_length
        self.batch_windows, self.steps = batch_windows, steps
        self.n_windows = -(-subset_length // context_length)
        if self.n_windows > steps * batch_windows:
            raise MdlError(
                f"one pass over {subset_length:,} bytes takes {-(-self.n_windows // batch_windows):,} steps of "
                f"{batch_windows} windows, got train.steps {steps:,}; take more steps, for replay a few times as many"
            )

    def _first_new(self, step: int) -> int:
        return -(-self.n_windows * step // self.steps)

    def coded_bytes(self, step: int) -> int:
        """How many bytes have been coded when this step is done."""
        return min(self._first_new(step + 1) * self.context_length, self.subset_length)

    def batch(self, step: int) -> tuple[Ints, Ints]:
        """Offsets (B,) of the step's windows, and from which of its bytes on (B,) each is coded (context: none)."""
        T, first, end = self.context_length, self._first_new(step), self._first_new(step + 1)
        begin = np.arange(first, end) * T
        starts = np.minimum(begin, self.subset_length - T)  # the last window reaches back; what it repeats is not coded
        n_replayed = self.batch_windows - starts.size
        generator = np.random.Generator(np.random.Philox(key=np.array([self.seed, _REPLAY | step], np.uint64)))
        if first:
            seen = min(first * T, self.subset_length)
            replayed = generator.integers(0, seen - T, n_replayed, endpoint=True)
        else:
            replayed = np.resize(starts, n_replayed)  # nothing has been seen yet
        coded_from = np.concatenate([begin - starts, np.full(n_replayed, T)])
        return np.concatenate([starts, replayed]), coded_from
