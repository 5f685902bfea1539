"""Rows to fit a law to, made in memory."""

from __future__ import annotations

import numpy as np

from analysis.scaling import Measurements
from analysis.types import Floats


def measurements(
    N: Floats,
    D: Floats,
    loss: Floats,
    *,
    flops: Floats | None = None,
    varies: str = "rows",
    epochs: Floats | None = None,
) -> Measurements:
    """Each row its own cluster; FLOPs of one epoch, 6·N·D, unless given."""
    return Measurements(
        n_params=N,
        data=D,
        loss=loss,
        flops=6 * N * D if flops is None else flops,
        clusters=np.arange(N.size),
        varies=varies,
        epochs=epochs,
    )
