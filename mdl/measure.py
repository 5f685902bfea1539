"""Code lengths of trained models: in segments on a fixed ladder, by position in the window, and as a real stream.

Windows of the context length do not overlap, every byte is coded, the last partial window included. Lengths are the
ideal ones, −log2 p of every byte in float32, summed in float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from mdl.coder import StreamEncoder, counts, to_grid
from mdl.model import StackedTransformer, stack
from mdl.results import PositionBin, Segment, StreamSample, ladder
from mdl.shapes import VOCABULARY

Part = Literal["train", "heldout"]
Progress = Callable[[int], None]  # called with the number of bytes just coded (of all members)


class Readable(Protocol):
    """The part of a corpus that measuring needs."""

    def __len__(self) -> int: ...
    def read(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Bytes [start, end)."""
        ...


@dataclass(frozen=True)
class PartLengths:
    """What one member's weights code of one part: bits by segment, and bits and bytes by position (T,)."""

    segments: tuple[Segment, ...]
    bits_by_position: npt.NDArray[np.float64]
    bytes_by_position: npt.NDArray[np.int64]


def reach(subset_bytes: int, part_bytes: int, ratio: float) -> int:
    """How far a snapshot is evaluated: the least ladder boundary ≥ ratio · D, but not past the part's end."""
    if ratio <= 1:
        return subset_bytes
    return min([b for b in ladder(100 * part_bytes) if b >= ratio * subset_bytes] + [part_bytes], default=part_bytes)


def bits_per_byte_of_window(model: StackedTransformer, windows_BT: npt.NDArray[np.uint8]) -> torch.Tensor:
    """−log2 p (M, B, T) in float32 of every byte of the windows (B, T), the same windows for every member."""
    device = model.weight("embedding").device
    bytes_MBT = torch.from_numpy(windows_BT).to(device).expand(model.n_members, -1, -1)
    with torch.inference_mode():
        logits = model(bytes_MBT)
        nats = F.cross_entropy(logits.view(-1, VOCABULARY), bytes_MBT.reshape(-1).long(), reduction="none")
    return nats.view(bytes_MBT.shape) / math.log(2.0)


def code_lengths(
    model: StackedTransformer,
    view: Readable,
    part: Part,
    ends: Sequence[int],
    subset_ends: Sequence[int] = (),
    progress: Progress | None = None,
) -> list[PartLengths]:
    """Code bytes [0, ends[m]) of `view` with member m.

    Segments end at the ladder, at `subset_ends[m]` (D) where given, and at ends[m].
    """
    T, furthest = model.shape.context_bytes, max(ends)
    shared = sorted({*ladder(furthest), *ends, *(b for b in subset_ends if b < furthest)})
    bits = np.zeros((len(ends), len(shared)))  # bits[m, k]: of the bytes between shared[k - 1] and shared[k]
    by_position = np.zeros((len(ends), T))
    n_by_position = np.zeros((len(ends), T), np.int64)
    members = [model.member(m) for m in range(model.n_members)]
    active, current = list(range(len(ends))), model
    step = _windows_a_call(model) * T
    for start in range(0, furthest, step):
        still = [m for m in active if ends[m] > start]
        if still != active:
            active = still
            device = model.weight("embedding").device
            current = stack(model.shape, [members[m] for m in active]).to(device)
        stop = min(start + step, furthest)
        byte_bits = _code_range(current, view, start, stop)  # (active, stop - start)
        for row, m in enumerate(active):
            own = byte_bits[row, : ends[m] - start]
            edges = np.searchsorted(shared, np.arange(start, start + own.size), side="right")
            bits[m] += np.bincount(edges, weights=own, minlength=len(shared))
            position = np.arange(start, start + own.size) % T
            by_position[m] += np.bincount(position, weights=own, minlength=T)
            n_by_position[m] += np.bincount(position, minlength=T)
            if progress:
                progress(own.size)
    return [
        PartLengths(
            _segments(part, shared, bits[m], {*ladder(ends[m]), ends[m], *subset_ends[m : m + 1]}, ends[m]),
            by_position[m],
            n_by_position[m],
        )
        for m in range(len(ends))
    ]


def _windows_a_call(model: StackedTransformer) -> int:
    """Windows that keep one call's logits near 4 MB on a CPU (its caches) and 1 GB on an accelerator."""
    limit_bytes = 2**22 if model.weight("embedding").device.type == "cpu" else 2**30
    return max(1, limit_bytes // (model.n_members * model.shape.context_bytes * VOCABULARY * 4))


def _code_range(model: StackedTransformer, view: Readable, start: int, stop: int) -> npt.NDArray[np.float64]:
    """Bits (M, stop − start) of the bytes of whole windows from `start`; the last window may be partial."""
    T = model.shape.context_bytes
    data = view.read(start, stop)
    n_windows = -(-data.size // T)
    padded = np.zeros(n_windows * T, np.uint8)  # what follows a byte does not change its probability
    padded[: data.size] = data
    bits = bits_per_byte_of_window(model, padded.reshape(n_windows, T)).flatten(1)[:, : data.size]
    in_float64: npt.NDArray[np.float64] = bits.double().cpu().numpy()
    return in_float64


def _segments(
    part: Part, shared: list[int], bits: npt.NDArray[np.float64], wanted: set[int], end: int
) -> tuple[Segment, ...]:
    """Sums of the shared intervals between the boundaries that this member's record has."""
    segments, start, total = [], 0, 0.0
    for boundary, amount in zip(shared, bits.tolist(), strict=True):
        if boundary > end:
            break
        total += amount
        if boundary in wanted:
            segments.append(Segment(part, start, boundary, total))
            start, total = boundary, 0.0
    return tuple(segments)


def position_bins(lengths: PartLengths) -> tuple[PositionBin, ...]:
    """Bits by position in the window in bins [0, 1), [1, 2), [2, 4), [4, 8) … for the in-context curve."""
    T = lengths.bits_by_position.size
    edges = [0, *(2**k for k in range(T.bit_length()) if 2**k < T), T]
    bins = []
    for low, high in itertools.pairwise(edges):
        n_bytes = int(lengths.bytes_by_position[low:high].sum())
        if n_bytes:
            bins.append(PositionBin(low, high, n_bytes, float(lengths.bits_by_position[low:high].sum())))
    return tuple(bins)


def stream_sample(model: StackedTransformer, view: Readable, n_bytes: int) -> StreamSample:
    """Really code the first `n_bytes` of `view` with a one-member model, beside the ideal length of the same bytes."""
    T = model.shape.context_bytes
    encoder, ideal_bits = StreamEncoder(), 0.0
    step = _windows_a_call(model) * T
    for start in range(0, n_bytes, step):
        stop = min(start + step, n_bytes)
        data = view.read(start, stop)
        ideal_bits += float(_code_range(model, view, start, stop).sum())
        encoder.write(counts(to_grid(window_logits(model, data))), data)
    return StreamSample(n_bytes, ideal_bits, len(encoder.finish()))


def window_logits(model: StackedTransformer, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Logits (n, 256) of a one-member model for n bytes cut into windows, computed in one parallel pass."""
    T = model.shape.context_bytes
    n_windows = -(-data.size // T)
    padded = np.zeros(n_windows * T, np.uint8)
    padded[: data.size] = data
    device = model.weight("embedding").device
    with torch.inference_mode():
        logits = model(torch.from_numpy(padded.reshape(1, n_windows, T)).to(device))
    flat: npt.NDArray[np.float64] = logits.reshape(-1, VOCABULARY)[: data.size].double().cpu().numpy()
    return flat
