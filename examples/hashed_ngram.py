"""A hashed n-gram model as an architecture of one's own: what short contexts say, without any recurrence.

mdl sweep examples/hashed_ngram.yaml --plugin examples/hashed_ngram.py && mdl report runs/hashed_ngram
"""

import torch
from torch import nn

import mdl

NOTHING = 256  # stands before a window
ROWS = 512  # of each table of more than one byte


class HashedNgram(nn.Module):
    """For each context of 1 to `depth` bytes a table of vectors, in which it is looked up by a hash; their sum decides.

    Row t of what it returns is of byte t itself, whose contexts end at byte t − 1.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(257 if n == 0 else ROWS, width) for n in range(depth))
        self.head = nn.Linear(width, 256)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, 256) of windows of bytes (B, T)."""
        context, vectors = torch.zeros_like(windows), 0.0
        for n, table in enumerate(self.tables, 1):
            before = nn.functional.pad(windows, (n, 0), value=NOTHING)[..., : windows.shape[-1]]  # n bytes ago
            context = context * 257 + before if n == 1 else (context * 257 + before) * 0x9E3779B1 % (1 << 31)
            vectors = vectors + table(context % table.num_embeddings)
        logits: torch.Tensor = self.head(vectors)
        return logits


mdl.register_architecture("hashed_ngram", lambda shape: HashedNgram(shape.width, shape.depth))
