"""A block's guard list in the order in which a decoder meets it: all lanes' places of one time together."""

from __future__ import annotations

import numpy as np

from mdl.entropy import Guard, guard_list
from mdl.units import VOCABULARY


class GuardByTime:
    """The guard list of n symbols of V in rows of `length`, time by time."""

    def __init__(self, n: int, packed: bytes, length: int, n_values: int = VOCABULARY) -> None:
        self.n_rows = -(-n // length)
        self._n_full, self._rest = divmod(n, length)
        listed = guard_list.unpack(packed, n * n_values)
        position, value = np.divmod(listed.index, n_values)
        window, t = np.divmod(position, length)
        order = np.argsort(t, kind="stable")
        self._t, self._up = t[order], listed.up[order]
        self._index = (window * n_values + value)[order]

    def n_active(self, t: int) -> int:
        """Windows that have a symbol at t: all, or all but a shorter last one."""
        return self._n_full + 1 if t < self._rest else self._n_full

    def guard_at(self, t: int) -> Guard:
        """The places of time t, as window · V + symbol."""
        low, high = np.searchsorted(self._t, [t, t + 1])
        return Guard(self._index[low:high], self._up[low:high])
