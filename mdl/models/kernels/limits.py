"""Up to which sizes there are kernels."""

from __future__ import annotations

MOST_NARROW = 128  # widths whose whole layer has kernels of its own, in training; without gradients up to MOST_WIDTH
MOST_WIDTH = 256  # widths of which all but a layer's second half has
MOST_VOCABULARY = 4096  # of which embedding and head have: their sums of parts are that large
MOST_HEAD = 128
