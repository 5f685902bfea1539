"""A pretrained model's output layer by itself: its logits, T × V numbers a window, then need not all be in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Head:
    """The layers before the output layer, and it."""

    body: Any
    layer: Any

    def states(self, ids: Tensor) -> Tensor:
        """What the output layer reads (B, T, C) of tokens (B, T)."""
        states: Tensor = self.body(ids, use_cache=False)[0]
        return states


def separate_head(model: Any, ids: Tensor, logits: Tensor) -> Head | None:
    """None where the model makes more of its last states than its output layer's product: a cap, a factor, a bias.

    Tried on tokens (B, T), of which the model gives `logits` (B, T, V): both ways must agree to the bit.
    """
    import torch

    layer, body = model.get_output_embeddings(), getattr(model, model.base_model_prefix or "model", None)
    if layer is None or body is None or body is model:
        return None
    head = Head(body, layer)
    try:
        with torch.inference_mode():
            same = torch.equal(layer(head.states(ids)).to(logits.device), logits)
    except Exception:  # transformers' models raise dozens of kinds; then the model is asked whole, as it is documented
        return None
    return head if same else None
