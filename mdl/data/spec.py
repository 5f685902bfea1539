"""Which bytes a corpus is made of, and in which order."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True)
class CorpusSpec:
    """Which bytes, in which order, and how many of them are held out.

    `heldout_bytes` None: 5 % of the corpus, but at least a block, at most 1 MB and at most half of it. Where whole
    documents are held out they may come to as much as twice what is asked for. Of pictures and sound, `block_bytes` is
    whole patches or chunks, and what is held out is rounded up to them.

    `leak_fraction` f puts held-out blocks, one after another and over again, in the places of that share of the
    shuffled blocks, spread evenly: of every subset about f is what the models are evaluated on.

    `deduplicate` leaves out what stood in the corpus before (`mdl.data.duplicate_bytes`), and then cuts and shuffles
    the rest.
    """

    source: str
    _: KW_ONLY
    shuffle_seed: int = 0
    block_bytes: int = 4096
    heldout_bytes: int | None = None
    leak_fraction: float = 0.0
    deduplicate: bool = False
