"""A block of an archive coded at once, where an archive's writer overlaps the model's part with the coder's."""

from __future__ import annotations

from mdl.archives.block_codec import Block, Bytes, Lanes, place_block, write_block
from mdl.models import StackedModel


def encode_block(model: StackedModel, data: Bytes, lanes: Lanes | None = None) -> Block:
    """Of `data` (n,) > 0 bytes by a one-member float64 model; `lanes` None: side by side."""
    return write_block(place_block(model, data, lanes))
