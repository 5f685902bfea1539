"""The data part of a two-part code: under the weights at every precision, all of the data or what a sample foretells.

Ten precisions of 80 MB would take ten times what the own code takes, two thirds of the training that made the weights.
Rounding changes the code of every window by much the same, so that few windows tell by how much it changes all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mdl.data import ByteView, Readable
from mdl.models import BytesProgress, Shape, code_lengths, stack
from mdl.quantization.coded_work import SAMPLE_BYTES

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class DataPart:
    """The first `n_bytes` of `view`, which `plain` weights code in `own_bits` before they are rounded."""

    shape: Shape
    view: Readable
    n_bytes: int
    plain: Weights
    own_bits: float
    sample_bytes: int = SAMPLE_BYTES
    progress: BytesProgress | None = None

    def bits(self, members: Sequence[Weights]) -> list[float]:
        """Of all of it under each of some weights."""
        return subset_bits(self.shape, members, self.view, self.n_bytes, self.progress)

    def foretold(self, members: Sequence[Weights]) -> list[float]:
        """The same by a sample: `own_bits`, and the difference to `plain` on windows that lie evenly over the data."""
        windows = spread_windows(self.view, self.n_bytes, self.shape.context_tokens, self.sample_bytes)
        sample = ByteView.whole(windows.reshape(-1))
        plain, *found = subset_bits(self.shape, [self.plain, *members], sample, windows.size, self.progress)
        return [self.own_bits + (bits - plain) * self.n_bytes / windows.size for bits in found]


class DataLengths:
    """The data's bits under some weights: of all of it, or, where it is much, as a sample foretells them at first."""

    def __init__(self, part: DataPart, members: Sequence[Weights]) -> None:
        self._part, self._members, self._sampled = part, members, part.n_bytes > part.sample_bytes
        self._bits = part.foretold(members) if self._sampled else part.bits(members)

    def beside(self, model_bits: Sequence[int]) -> list[tuple[float, int | None]]:
        """Of every member its data's bits, and of how many bytes a sample foretold them; None: all were coded.

        The shortest of all with its weights is always one that coded all: whatever a sample calls the shortest codes
        all in its turn.
        """
        if not self._sampled:
            return [(bits, None) for bits in self._bits]
        lengths, whole = list(self._bits), set[int]()
        while (best := int(np.argmin(np.add(model_bits, lengths)))) not in whole:
            (lengths[best],) = self._part.bits([self._members[best]])
            whole.add(best)
        return [(bits, None if k in whole else self._part.sample_bytes) for k, bits in enumerate(lengths)]


def spread_windows(view: Readable, n_bytes: int, context_bytes: int, sample_bytes: int) -> npt.NDArray[np.uint8]:
    """Windows (n, T) spread evenly over the first `n_bytes`, some `sample_bytes` in all."""
    T = min(context_bytes, n_bytes)
    n_windows = max(1, min(n_bytes, sample_bytes) // T)
    starts = np.linspace(0, n_bytes - T, n_windows).astype(np.int64)
    return np.stack([view.read(start, start + T) for start in starts.tolist()])


def subset_bits(
    shape: Shape, members: Sequence[Weights], view: Readable, n_bytes: int, progress: BytesProgress | None = None
) -> list[float]:
    """Ideal bits of the first `n_bytes` under each of some weights, all in one pass."""
    model = stack(shape, members).to("cuda" if torch.cuda.is_available() else "cpu")
    lengths = code_lengths(model, view, "train", [n_bytes] * len(members), progress=progress)
    return [sum(segment.code_bits for segment in part.segments) for part in lengths]
