"""Block-prequential codes from a nested grid: block k by models trained on the blocks before it, parameters free.

Blocks end at the dataset sizes of a group. The decoder trains the same models on what it has decoded (the same program
on the same machine; that it can is taken for granted, and the time is not counted), so whatever is chosen, a model size
or a snapshot, must be chosen from bytes that it has, or be announced in bits that are counted (Dawid 1984; Blier &
Ollivier 2018). `final` snapshots need nothing. A `best` snapshot was chosen on a held-out sample, which the decoder has
only if it was sent first: it is counted at 8 bits per byte.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.codes.rates import classical_rates
from analysis.errors import AnalysisError
from analysis.records import Table, segments_by, span_bits
from analysis.types import Floats


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What one seed's models make of the blocks [D₀, D₁), [D₁, D₂), … of a group; C candidates, m blocks."""

    group: str
    snapshot: str  # of all candidates: final or best
    edges: tuple[int, ...]  # D₀ … D_m, bytes
    n_params: tuple[int, ...]  # (C,) ascending
    bits: Floats  # (C, m) of a block by the model trained up to its start; NaN: not evaluated
    heldout: Floats  # (C, m + 1) rate on unseen bytes of the model trained up to each edge; NaN: not known
    first_bits: float  # of [0, D₀), with the choice of its coder
    first_coder: str  # uniform: 8 bits per byte
    validation_bits: float  # of the sample by which snapshots were chosen; 0 for final


class Seen:
    """What the decoder knows when block `n_blocks` (from 0) begins: the candidates' codes of the blocks before."""

    def __init__(self, bits: Floats, n_blocks: int) -> None:
        self._bits, self.n_blocks, self.n_candidates = bits, n_blocks, len(bits)

    def bits(self, block: int) -> Floats:
        """Code lengths (C,) of a block; AnalysisError for one that has not been decoded."""
        if not 0 <= block < self.n_blocks:
            raise AnalysisError(
                f"block {block} is not decoded when block {self.n_blocks} begins; choose by earlier blocks, or announce"
            )
        return np.asarray(self._bits[:, block])


Choose = Callable[[Seen], int]


def best_so_far(seen: Seen) -> int:
    """The candidate that coded the last decoded block best: a rule that the decoder follows without being told."""
    return int(np.nanargmin(seen.bits(seen.n_blocks - 1)))


def chosen(chain: Chain, choose: Choose) -> list[int]:
    """The candidate of every block after the first, each by `choose` from the blocks before it."""
    return [choose(Seen(chain.bits, k)) for k in range(1, chain.bits.shape[1])]


def chains(table: Table, snapshot: str = "final") -> Iterator[Chain]:
    """One for every (group, corpus seed, training seed) whose models were evaluated beyond their subset.

    Of k recipes of one cell the one whose block is shortest is announced, in log₂ k bits that the block holds.
    """
    cells = table.cells[table.cells["snapshot"] == snapshot]
    train = table.segments[(table.segments["part"] == "train") & (table.segments["snapshot"] == snapshot)]
    by_run = segments_by(train, ["run_id"])
    samples = table.curves.groupby("run_id")["n_bytes"].max()
    for (group, shuffle_seed), shared in cells.groupby(["group", "shuffle_seed"], sort=True):
        edges = tuple(sorted(set(shared["subset_bytes"].tolist())))
        first_bits, coder = _first(table, str(shared["corpus"].iloc[0]), int(str(shuffle_seed)), edges[0])
        for _, own in shared.groupby("seed", sort=True):
            sizes = tuple(sorted(set(own["n_params"].tolist())))
            validation = 0.0 if snapshot == "final" else 8 * float(samples.reindex(own["run_id"]).max())
            if np.isfinite(validation):
                yield Chain(
                    group=str(group),
                    snapshot=snapshot,
                    edges=edges,
                    n_params=sizes,
                    bits=_blocks(own, by_run, sizes, edges),
                    heldout=_unseen(own, sizes, edges),
                    first_bits=first_bits,
                    first_coder=coder,
                    validation_bits=validation,
                )


def _blocks(
    own: pd.DataFrame, by_run: dict[Hashable, Floats], sizes: tuple[int, ...], edges: tuple[int, ...]
) -> Floats:
    bits = np.full((len(sizes), len(edges) - 1), np.nan)
    at = {key: cells["run_id"].tolist() for key, cells in own.groupby(["n_params", "subset_bytes"])}
    for i, n in enumerate(sizes):
        for k, (start, end) in enumerate(itertools.pairwise(edges)):
            runs = [run for run in at.get((n, start), []) if run in by_run]
            blocks = [span_bits(by_run[run], start, end) for run in runs]
            found = [block for block in blocks if not np.isnan(block)]
            if found:
                bits[i, k] = min(found) + np.log2(len(found))
    return bits


def _unseen(own: pd.DataFrame, sizes: tuple[int, ...], edges: tuple[int, ...]) -> Floats:
    rate = own["heldout_bits"] / (8 * own["heldout_bytes"]).where(own["heldout_bytes"] > 0)
    grid = rate.groupby([own["n_params"], own["subset_bytes"]]).min().unstack()
    return grid.reindex(index=list(sizes), columns=list(edges)).to_numpy(np.float64)


def _first(table: Table, corpus: str, shuffle_seed: int, n_bytes: int) -> tuple[float, str]:
    """Bits of [0, n_bytes), and by which coder: 8 a byte, or the shortest classical code of those bytes in that order.

    A classical coder's name is announced: log₂ of how many there are, 8 bits per byte among them.
    """
    coded = classical_rates(table.baselines)
    own = coded[
        (coded["corpus"] == corpus)
        & (coded["shuffle_seed"] == shuffle_seed)
        & (coded["order"] == "shuffled")
        & (coded["subset_bytes"] == n_bytes)
        & coded["chunk_bytes"].isna()
        & (coded["sample_bytes"] == n_bytes)
    ].sort_values(["compressed_bytes", "coder"])
    if own.empty:
        return 8.0 * n_bytes, "uniform"
    announced = float(np.log2(len(own) + 1))
    least = 8.0 * float(own["compressed_bytes"].iloc[0])
    return (8.0 * n_bytes + announced, "uniform") if least >= 8 * n_bytes else (least + announced, own["coder"].iloc[0])


def fixed_sizes(table: Table, snapshot: str = "final") -> pd.DataFrame:
    """The code of each size on its own, were it fixed beforehand: rows group, n_params, chain, raw_bytes, code_bits."""
    rows: list[dict[str, object]] = []
    for i, chain in enumerate(chains(table, snapshot)):
        totals = chain.first_bits + chain.validation_bits + np.cumsum(chain.bits, axis=1)
        for n, total in zip(chain.n_params, totals, strict=True):
            row: dict[str, object] = {"group": chain.group, "n_params": n, "chain": i}
            rows += [
                row | {"raw_bytes": end, "code_bits": float(bits)}
                for end, bits in zip(chain.edges[1:], total, strict=True)
                if not np.isnan(bits)
            ]
    return pd.DataFrame(rows, columns=["group", "n_params", "chain", "raw_bytes", "code_bits"])
