"""A byte LSTM as an architecture of one's own.

mdl sweep examples/lstm.yaml --plugin examples/lstm.py && mdl report runs/lstm
"""

import torch
from torch import nn

import mdl


class ByteLstm(nn.Module):
    """An ordinary module; row t of what it returns is of byte t + 1, as of most language models."""

    predicts = "next"  # a window's first byte is then coded uniformly, or by an attribute `first`

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, width)
        self.lstm = nn.LSTM(width, width, num_layers=depth, batch_first=True)
        self.head = nn.Linear(width, 256, bias=False)
        self.head.weight = self.embedding.weight  # tied: counted once

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, 256) of windows of bytes (B, T)."""
        hidden, _ = self.lstm(self.embedding(windows))
        logits: torch.Tensor = self.head(hidden)
        return logits


mdl.register_architecture("lstm", lambda shape: ByteLstm(shape.width, shape.depth))
