"""The same model written in the usual way, one at a time: what stacking and recording are measured against.

The usual small-GPT recipe: nn.Linear without bias, scaled_dot_product_attention, fused AdamW, autocast to bf16 on a
GPU, clip_grad_norm_, torch.compile as an option.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from mdl.models import Shape
from mdl.models.layer import RMS_EPS, rotated
from mdl.models.transformer import rotary_tables
from mdl.units import VOCABULARY


class Block(nn.Module):
    """Attention and a GELU network."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        C, self.n_heads = shape.width, shape.n_heads
        self.attention_norm, self.mlp_norm = (nn.RMSNorm(C, eps=RMS_EPS) for _ in range(2))
        self.qkv, self.out = nn.Linear(C, 3 * C, bias=False), nn.Linear(C, C, bias=False)
        self.up, self.down = nn.Linear(C, 4 * C, bias=False), nn.Linear(4 * C, C, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        B, T, C = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(B, T, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(rotated(q, cos, sin), rotated(k, cos, sin), v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(B, T, C))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x))))


class PlainTransformer(nn.Module):
    """One byte model."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY + 1, shape.width)  # the last row is the start
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.RMSNorm(shape.width, eps=RMS_EPS, elementwise_affine=False)
        cos, sin = rotary_tables(shape, torch.float32)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, windows_BT: Tensor) -> Tensor:
        """Mean nats of the bytes."""
        tokens = F.pad(windows_BT[:, :-1].long(), (1, 0), value=VOCABULARY)
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = self.norm(x) @ self.embedding.weight[:VOCABULARY].T
        return F.cross_entropy(logits.view(-1, VOCABULARY), windows_BT.reshape(-1).long())
