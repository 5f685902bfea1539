"""Which windows a member sees at which step: a function of (seed, step, subset, context, batch) and nothing else.

So a run resumed at step k, alone or with companions, on any machine, sees what it would have seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError


class WindowOrder:
    """Passes over a subset in windows of T bytes, each pass with its own phase and its own permutation.

    Window number i belongs to pass i // n; its place comes from a counter-based generator keyed by (seed, pass).
    The phase moves the cuts between windows, so no byte is for ever the first of its window.
    """

    def __init__(self, seed: int, subset_length: int, context_length: int, batch_windows: int) -> None:
        if subset_length < context_length:
            raise MdlError(
                f"a subset of {subset_length:,} is smaller than one context of {context_length:,} (bytes, or tokens); "
                "use a larger subset_bytes or a smaller model.context_bytes"
            )
        self.seed = seed
        self.context_length = context_length
        self.batch_windows = batch_windows
        # The phase takes up to one window of a pass, so that every pass has the same number of windows.
        self.n_windows = max(1, subset_length // context_length - 1)
        self.n_phases = min(context_length, subset_length - self.n_windows * context_length + 1)
        self._pass = -1
        self._starts = np.empty(0, np.int64)

    def starts(self, step: int) -> npt.NDArray[np.int64]:
        """Offsets (B,) in the subset of the windows of one step; each window lies wholly within the subset."""
        numbers = np.arange(step * self.batch_windows, (step + 1) * self.batch_windows)
        passes, places = np.divmod(numbers, self.n_windows)
        return np.concatenate([self._pass_starts(int(p))[places[passes == p]] for p in np.unique(passes)])

    def _pass_starts(self, number: int) -> npt.NDArray[np.int64]:
        if number != self._pass:
            generator = np.random.Generator(np.random.Philox(key=np.array([self.seed, number], np.uint64)))
            phase = int(generator.integers(self.n_phases))
            order = generator.permutation(self.n_windows)
            self._pass, self._starts = number, phase + order * self.context_length
        return self._starts
