"""At which precisions a checkpoint's weights are coded."""

from __future__ import annotations

PRECISIONS = (2, 3, 4, 5, 6, 7, 8, 12, 16, 32)
"""Bits a weight; 32: float32 as it is."""
