"""Compression rates as fractions of the raw size, and the code lengths they come from as sums of segments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.types import Floats


def raw_rate(code_bits: npt.ArrayLike, raw_bytes: npt.ArrayLike) -> Floats:
    """Compressed size / raw size, parameters not counted (Delétang et al. 2024, section 2). Broadcasts."""
    return np.asarray(code_bits, np.float64) / (8 * np.asarray(raw_bytes, np.float64))


def adjusted_compression_rate(
    raw_rate: npt.ArrayLike, n_params: npt.ArrayLike, raw_bytes: npt.ArrayLike, bytes_per_param: npt.ArrayLike = 2.0
) -> Floats:
    """(Compressed size + parameter size) / raw size, a two-part code (Delétang et al. 2024, Table 1). Broadcasts."""
    parameter_bytes = np.asarray(n_params, np.float64) * np.asarray(bytes_per_param, np.float64)
    return np.asarray(raw_rate, np.float64) + parameter_bytes / np.asarray(raw_bytes, np.float64)


_SNAPSHOT = ["run_id", "snapshot"]


def one_model_many_sizes(segments: pd.DataFrame) -> pd.DataFrame:
    """The paper's curves: one model's code for growing prefixes, whatever it was trained on (its Figure 2).

    `segments` as in `table.Table.segments`. One row per (run_id, snapshot, boundary): raw_bytes and code_bits of
    [0, boundary), up to the first gap.
    """
    train = segments[segments["part"] == "train"].sort_values([*_SNAPSHOT, "start_bytes"], kind="stable")
    by_model = train.groupby(_SNAPSHOT, sort=False)
    joins = train["start_bytes"] == by_model["end_bytes"].shift(fill_value=0)
    unbroken = joins.groupby([train[name] for name in _SNAPSHOT], sort=False).cummin()
    curves = train.assign(raw_bytes=train["end_bytes"], code_bits=by_model["code_bits"].cumsum())
    return curves.loc[unbroken, [*_SNAPSHOT, "raw_bytes", "code_bits"]].reset_index(drop=True)


def classical_rates(baselines: pd.DataFrame) -> pd.DataFrame:
    """`baselines` with two rates of what was coded: `rate` at true size and `rate_header_once`, the paper's way."""
    headers_saved = (baselines["n_chunks"] - 1).clip(lower=0) * baselines["header_bytes"]
    return baselines.assign(
        rate=baselines["compressed_bytes"] / baselines["sample_bytes"],
        rate_header_once=(baselines["compressed_bytes"] - headers_saved) / baselines["sample_bytes"],
    )


def classical_of_subsets(baselines: pd.DataFrame) -> pd.DataFrame:
    """Every classical coder on whole subsets, at true size: corpus, subset_bytes, coder, order, rate; the least first.

    Of the bytes that the models code: the shuffled subset where there is one. The first D bytes of the source in their
    own order are other bytes, and may be much easier or harder than the rest; they count where nothing was shuffled.
    Several shuffle seeds are averaged.
    """
    whole = classical_rates(baselines[baselines["chunk_bytes"].isna()])
    shuffled = whole["order"] == "shuffled"
    same_bytes = whole[shuffled | ~shuffled.groupby([whole["corpus"], whole["subset_bytes"]]).transform("any")]
    key = ["corpus", "subset_bytes", "coder", "order"]
    mean = same_bytes.groupby(key)["rate"].mean().reset_index()
    return mean.sort_values(["corpus", "subset_bytes", "rate", "coder"])


def best_classical(baselines: pd.DataFrame) -> pd.DataFrame:
    """The classical coder to beat: per (corpus, subset_bytes) the first of `classical_of_subsets`, in its columns."""
    return classical_of_subsets(baselines).drop_duplicates(["corpus", "subset_bytes"]).reset_index(drop=True)
