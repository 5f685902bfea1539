"""Code lengths of trained models: in segments on a fixed ladder, by position in the window, and as a real stream.

Windows of the context length do not overlap unless a stride is asked for (`window_cut`); every byte is coded, the last
partial window included. Lengths are the ideal ones, −log2 p of every byte in float32, summed in float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from mdl.data import Readable
from mdl.entropy import StreamEncoder, counts, to_grid
from mdl.models.architecture import architecture_of, stack
from mdl.models.stacked_model import StackedModel
from mdl.models.window_cut import WindowCut
from mdl.records import PositionBin, Segment, StreamSample, ladder
from mdl.units import VOCABULARY

Part = Literal["train", "heldout"]
BytesProgress = Callable[[int], None]  # called with the number of bytes just coded (of all members)


@dataclass(frozen=True)
class PartLengths:
    """What one member's weights code of one part: bits by segment, and bits and bytes by position (T,)."""

    segments: tuple[Segment, ...]
    bits_by_position: npt.NDArray[np.float64]
    bytes_by_position: npt.NDArray[np.int64]


def window_bits(
    model: StackedModel,
    windows_BT: npt.NDArray[Any],
    parts: Any = None,
    *,
    half: bool = True,
    n_last: int | None = None,
) -> torch.Tensor:
    """−log2 p (M, B, T) in float32 of every byte, or token, of the windows; (M, B, n_last) of the last ones alone.

    The windows are (B, T), the same for every member, or (M, B, T), each member's own.

    On CUDA the products of the layers are in float16 if `half`: within 2e-5 bits a byte of float32 as measured on
    trained models, at three times its speed. The head's are not: that costs nothing, and in float16 8.6e-5 was seen.
    """
    on_cuda = model.device.type == "cuda"
    windows = torch.from_numpy(windows_BT)
    if on_cuda:
        windows = windows.pin_memory()  # so that the copy need not wait for what the device still does
    bytes_MBT = windows.to(model.device, non_blocking=True).expand(model.n_members, -1, -1)
    with torch.inference_mode():
        return model.measured_nats(bytes_MBT, parts, half=half and on_cuda, n_last=n_last) / math.log(2.0)


def code_lengths(
    model: StackedModel,
    view: Readable,
    part: Part,
    ends: Sequence[int],
    *,
    subset_ends: Sequence[int] = (),
    stride: int | None = None,
    progress: BytesProgress | None = None,
    n_devices: int = 1,
) -> list[PartLengths]:
    """Code bytes [0, ends[m]) of `view` with member m, in windows that begin every `stride` bytes; None: side by side.

    Segments end at the ladder, at `subset_ends[m]` (D) where given, and at ends[m]. On CUDA the first `n_devices` GPUs
    share the windows, which moves a length by less than one part in 10¹².
    """
    furthest = max(ends)
    shared = sorted({*ladder(furthest), *ends, *(b for b in subset_ends if b < furthest)})
    bits, by_position = sum_bits(model, view, ends, shared, progress, stride=stride, n_devices=n_devices)
    cut = _cut(model, stride)
    return [
        PartLengths(
            _segments(part, shared, bits[m], {*ladder(ends[m]), ends[m], *subset_ends[m : m + 1]}, ends[m]),
            by_position[m],
            cut.counts(ends[m]),
        )
        for m in range(len(ends))
    ]


def sum_bits(
    model: StackedModel,
    view: Readable,
    ends: Sequence[int],
    shared: Sequence[int],
    progress: BytesProgress | None,
    *,
    stride: int | None = None,
    n_devices: int = 1,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bits (M, boundaries) of [0, ends[m]) of `view` between the boundaries `shared`, and by position (M, T).

    `progress` is told of the bytes of the windows that were computed: they are more than the view's if these overlap.
    """
    cut, devices = _cut(model, stride), _devices(model, n_devices)
    bits, by_position = _Sums(devices, view, ends, shared, cut).run(model, progress)
    if not np.isfinite(bits).all() and model.device.type == "cuda":  # float16 overflows where float32 may not
        bits, by_position = _Sums(devices, view, ends, shared, cut, half=False).run(model)
    return bits, by_position


def _devices(model: StackedModel, n: int) -> list[torch.device]:
    """The model's own, then others; a processor, which is no more than one, as often as asked."""
    own = model.device
    if own.type != "cuda":
        return [own] * n
    others = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    return [own, *(device for device in others if device.index != (own.index or 0))][:n]


def _cut(model: StackedModel, stride: int | None) -> WindowCut:
    T = model.shape.context_tokens
    return WindowCut(T, T if stride is None else stride)


class _Sums:
    """Bits of every member between the boundaries `shared`, and by position, added up where they were computed."""

    def __init__(
        self,
        devices: Sequence[torch.device],
        view: Readable,
        ends: Sequence[int],
        shared: Sequence[int],
        cut: WindowCut,
        *,
        half: bool = True,
    ) -> None:
        self._devices, self._view, self._ends, self._shared = devices, view, ends, shared
        self._cut, self._half = cut, half
        double = [{"dtype": torch.float64, "device": device} for device in devices]
        self._bits = [torch.zeros(len(ends), len(shared), **on) for on in double]  # type: ignore[call-overload]
        self._by_position = [torch.zeros(len(ends), cut.context, **on) for on in double]  # type: ignore[call-overload]

    def run(
        self, model: StackedModel, progress: BytesProgress | None = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Code everything, members that reach as far together; those that have ended leave."""
        members, start = [model.member(m) for m in range(model.n_members)], 0
        for end in sorted(set(self._ends)):
            active = [m for m, member_end in enumerate(self._ends) if member_end >= end]
            start = self._code(self._copies(model, members, active), active, start, end, progress)
        bits, by_position = (sum(on_device.cpu() for on_device in each) for each in (self._bits, self._by_position))
        return bits.numpy(), by_position.numpy()

    def _copies(
        self, model: StackedModel, members: Sequence[Mapping[str, torch.Tensor]], active: Sequence[int]
    ) -> list[StackedModel]:
        """The active members, on every device: on the first the model itself, as long as all are."""
        chosen = [members[m] for m in active]
        kept = [model] if len(active) == len(members) else []
        return kept + [stack(model.shape, chosen).to(device) for device in self._devices[len(kept) :]]

    def _code(
        self,
        models: Sequence[StackedModel],
        active: list[int],
        start: int,
        end: int,
        progress: BytesProgress | None,
    ) -> int:
        """From an edge of the windows to `end`, or to the last edge before it while others go on."""
        cut = self._cut
        stop = end if end == max(self._ends) else cut.edge(end)
        n_bytes = (stop - start) * len(active) * cut.context // cut.stride // len(models)
        parts = measuring_parts(models[0], n_bytes, half=self._half)
        n_windows, first, k = windows_a_call(models[0]), start, 0
        rows = [self._rows(active, device) for device in self._devices]
        while first < stop:
            last = min(cut.next_edges(first, n_windows), stop)
            self._add(k, rows[k], self._window_bits(models[k], first, last, parts), first, last)
            if progress:
                progress((last - first) * len(active) * cut.context // cut.n_counted(first))
            first, k = last, (k + 1) % len(models)  # nobody waits: a GPU is given its next windows while it computes
        ending = [m for m in active if self._ends[m] == end] if stop < end else []
        if ending:  # their last window is partial; it is coded again for those who go on
            theirs = [active.index(m) for m in ending]
            bits = self._window_bits(models[0], stop, end, None)[theirs]
            self._add(0, self._rows(ending, self._devices[0]), bits, stop, end)
        return stop

    def _rows(self, members: Sequence[int], device: torch.device) -> slice | torch.Tensor:
        """Where their sums are. There already: to index by a list is to wait for the device at every call."""
        return slice(None) if len(members) == len(self._ends) else torch.tensor(members, device=device)

    def _window_bits(self, model: StackedModel, start: int, stop: int, parts: Any) -> torch.Tensor:
        """Bits (members, windows, counted) in float64 of bytes from an edge of the windows on, 0 past `stop`."""
        windows = self._cut.read(self._view, start, stop)
        n_last = self._cut.n_counted(start)
        with torch.cuda.device(model.device) if model.device.type == "cuda" else nullcontext():  # kernels start there
            bits = window_bits(model, windows, parts, half=self._half, n_last=n_last).double()
        bits.flatten(1)[:, stop - start :] = 0
        return bits

    def _add(self, k: int, rows: slice | torch.Tensor, bits: torch.Tensor, start: int, stop: int) -> None:
        """To the sums of device k."""
        self._by_position[k][rows, self._cut.context - bits.shape[-1] :] += bits.sum(dim=1)
        flat = bits.flatten(1)
        edges = [start, *(b for b in self._shared if start < b < stop), stop]
        for a, b in itertools.pairwise(edges):
            boundary = int(np.searchsorted(self._shared, a, side="right"))
            self._bits[k][rows, boundary] += flat[:, a - start : b - start].sum(dim=1)


def measuring_parts(model: StackedModel, n_bytes: int, *, half: bool = True) -> Any:
    """What measures that much fastest on the model's device; None: the plain functions."""
    fast = architecture_of(model.shape).fast_parts
    return fast.measuring(model.shape, n_bytes, half) if fast and model.device.type == "cuda" else None


def windows_a_call(model: StackedModel) -> int:
    """Windows that keep one call's logits near 4 MB on a CPU (its caches) and 1 GB on an accelerator."""
    limit_bytes = 2**22 if model.device.type == "cpu" else 2**30
    return max(1, limit_bytes // (model.n_members * model.shape.context_tokens * model.shape.vocabulary * 4))


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
            segments.append(Segment(part=part, start_bytes=start, end_bytes=boundary, code_bits=total))
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
            bins.append(
                PositionBin(
                    start=low, end=high, n_bytes=n_bytes, code_bits=float(lengths.bits_by_position[low:high].sum())
                )
            )
    return tuple(bins)


def stream_sample(model: StackedModel, view: Readable, n_bytes: int) -> StreamSample:
    """Really code the first `n_bytes` of `view` with a one-member model, beside the ideal length of the same bytes."""
    encoder, ideal_bits = StreamEncoder(), 0.0
    step = windows_a_call(model) * model.shape.context_tokens
    for start in range(0, n_bytes, step):
        data = view.read(start, min(start + step, n_bytes))
        logits = window_logits(model, data)
        nats = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(data.astype(np.int64)), reduction="sum")
        ideal_bits += float(nats) / math.log(2.0)
        encoder.write(counts(to_grid(logits)), data)
    return StreamSample(n_bytes, ideal_bits, len(encoder.finish()))


def window_logits(model: StackedModel, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Logits (n, 256) of a one-member model for n bytes cut into windows, computed in one parallel pass."""
    T = model.shape.context_tokens
    n_windows = -(-data.size // T)
    padded = np.zeros(n_windows * T, np.uint8)
    padded[: data.size] = data
    device = model.device
    with torch.inference_mode():
        logits = model(torch.from_numpy(padded.reshape(1, n_windows, T)).to(device))
    flat: npt.NDArray[np.float64] = logits.reshape(-1, VOCABULARY)[: data.size].double().cpu().numpy()
    return flat
