"""Three block-prequential codes of each dataset size, with all that has to be said to the decoder.

fixed      one model size throughout, announced beforehand
leader     every block by the size that coded the block before best; only the first size is announced
switching  every block by the size that codes it best, announced each time

All are upper bounds of what a decoder could do that trains anew after every byte. By how much is estimated from unseen
bytes: in a block the loss falls from that of the model at its start to that of the model at its end, so of the block's
code at most a share 1 − (rate at the end / rate at the start) is owed to the coarseness.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.codes.prequential_codes import Chain, Seen, best_so_far, chains
from analysis.records import Table
from analysis.types import Floats

CODES = ("fixed", "leader", "switching")
COLUMNS = [
    "group",
    "subset_bytes",
    "code",
    "snapshot",
    "n_params",
    "code_bits",
    "choice_bits",
    "validation_bits",
    "first_bytes",
    "first_bits",
    "first_coder",
    "excess_bits",
    "n_chains",
]


class Coded(NamedTuple):
    """A code of [0, subset_bytes) by one chain, bits; `code_bits` holds all the others."""

    subset_bytes: int
    code_bits: float
    choice_bits: float
    excess_bits: float  # at most so much less with models trained anew after every byte; NaN: not known
    n_params: int  # that coded the last block


def block_codes(table: Table) -> pd.DataFrame:
    """A row per (group, dataset size but the smallest, code, snapshot), averaged over the seeds that reach it: COLUMNS.

    Whether final or best snapshots code is announced too, in one bit where both are there.
    """
    every = [chain for snapshot in ("final", "best") for chain in chains(table, snapshot)]
    rows: list[dict[str, object]] = []
    for group in dict.fromkeys(chain.group for chain in every):
        of_group = [chain for chain in every if chain.group == group]
        families = sorted({chain.snapshot for chain in of_group}, reverse=True)
        for snapshot in families:
            own = [chain for chain in of_group if chain.snapshot == snapshot]
            for code in CODES:
                rows += _averaged(own, code, float(np.log2(len(families))))
    order = {"group": str, "subset_bytes": int}
    rows.sort(key=lambda row: tuple(of(row[name]) for name, of in order.items()))
    return pd.DataFrame(rows, columns=COLUMNS)


def _averaged(own: list[Chain], code: str, announced: float) -> Iterator[dict[str, object]]:
    """Means over the chains of one group and snapshot."""
    made = [found for chain in own for found in _coded(chain, code)]
    frame = pd.DataFrame(made, columns=[*Coded._fields])
    if code == "fixed":  # one size for all seeds: of those that most have, the least on average
        at_size = frame.groupby(["subset_bytes", "n_params"])["code_bits"].agg(["mean", "size"]).reset_index()
        ordered = at_size.sort_values(["subset_bytes", "size", "mean"], ascending=[True, False, True])
        best = ordered.drop_duplicates("subset_bytes").set_index("subset_bytes")["n_params"]
        frame = frame[frame["n_params"] == frame["subset_bytes"].map(best)]
    for subset_bytes, at in frame.groupby("subset_bytes", sort=True):
        first = own[0]
        yield {
            "group": first.group,
            "subset_bytes": int(str(subset_bytes)),
            "code": code,
            "snapshot": first.snapshot,
            "n_params": int(at["n_params"].iloc[0]) if code == "fixed" else None,
            "code_bits": at["code_bits"].mean() + announced,
            "choice_bits": at["choice_bits"].mean() + announced,
            "validation_bits": float(np.mean([chain.validation_bits for chain in own])),
            "first_bytes": first.edges[0],
            "first_bits": float(np.mean([chain.first_bits for chain in own])),
            "first_coder": first.first_coder,
            "excess_bits": at["excess_bits"].mean(skipna=False),
            "n_chains": len(at),
        }


def _coded(chain: Chain, code: str) -> Iterator[Coded]:
    if code != "fixed":
        yield from _along(chain, *(_led(chain) if code == "leader" else _switched(chain)), fixed=False)
        return
    for i, n_params in enumerate(chain.n_params):
        reached = np.isfinite(np.cumsum(chain.bits, axis=1))
        picks = [i] * int(reached[i].sum())
        for found in _along(chain, picks, [0.0] * len(picks), fixed=True):
            choice = float(np.log2(reached[:, chain.edges.index(found.subset_bytes) - 1].sum()))
            bits = found.code_bits + choice
            yield found._replace(code_bits=bits, choice_bits=choice, n_params=n_params)


def _led(chain: Chain) -> tuple[list[int], list[float]]:
    """Candidates and what it takes to announce them; ends at a block that the leader did not code."""
    if not np.isfinite(chain.bits[:, :1]).any():
        return [], []
    picks, announced = [int(np.nanargmin(chain.bits[:, 0]))], [float(np.log2(np.isfinite(chain.bits[:, 0]).sum()))]
    for k in range(1, chain.bits.shape[1]):
        leader = best_so_far(Seen(chain.bits, k))
        if not np.isfinite(chain.bits[leader, k]):
            break
        picks.append(leader)
        announced.append(0.0)
    return picks, announced


def _switched(chain: Chain) -> tuple[list[int], list[float]]:
    """The best candidate of every block, and log₂ of how many there are, up to a block that none coded."""
    known = itertools.takewhile(lambda block: np.isfinite(block).any(), chain.bits.T)
    pairs = [(int(np.nanargmin(block)), float(np.log2(np.isfinite(block).sum()))) for block in known]
    return [pick for pick, _ in pairs], [bits for _, bits in pairs]


def _along(chain: Chain, picks: list[int], announced: list[float], *, fixed: bool) -> Iterator[Coded]:
    """The code after every block, given who codes it and what it takes to say so."""
    total = chain.first_bits + chain.validation_bits
    choice = excess = 0.0
    for k, (pick, said) in enumerate(zip(picks, announced, strict=True)):
        total += float(chain.bits[pick, k]) + said
        choice += said
        excess += _excess(chain, pick, k, following=pick if fixed else None)
        yield Coded(chain.edges[k + 1], total, choice, excess, chain.n_params[pick])


def _excess(chain: Chain, pick: int, block: int, following: int | None) -> float:
    """What retraining within a block could save at most; at its end goes on `following`, None: the best of all."""
    ends: Floats = chain.heldout[:, block + 1]
    known = np.isfinite(ends).any()
    end = float(ends[following]) if following is not None else float(np.nanmin(ends)) if known else np.nan
    start = float(chain.heldout[pick, block])
    return float(chain.bits[pick, block]) * max(0.0, 1 - end / start) if start > 0 else np.nan
