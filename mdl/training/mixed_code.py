"""A trained model's code length when it is mixed with contexts: that of the streams which an archive would hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from mdl.archives import mixed_lanes, window_calls, windows_of
from mdl.data import Readable
from mdl.entropy import nearest_grid
from mdl.mixing import ContextMixer, bucket_bits, chances_of
from mdl.models import BytesProgress, StackedModel, WindowCut, stack
from mdl.records import OverlappingCode, Segment
from mdl.units import VOCABULARY


def mixed_code(
    model: StackedModel, m: int, *, train: Readable, n_bytes: int, heldout: Readable, stride: int, tell: BytesProgress
) -> OverlappingCode:
    """Member m's, of the first `n_bytes` of `train`, its subset, and of the held-out part, each from nothing learned.

    In windows that begin every `stride` bytes; 0: side by side.
    """
    alone, n_heldout = stack(model.shape, [model.member(m)]).to(model.device), len(heldout)
    own, unseen = (
        8.0 * _stream_bytes(alone, view, n, stride, tell) for view, n in ((train, n_bytes), (heldout, n_heldout))
    )
    return OverlappingCode(
        stride_bytes=stride or model.shape.context_tokens,
        segments=(
            Segment(part="train", start_bytes=0, end_bytes=n_bytes, code_bits=own),
            Segment(part="heldout", start_bytes=0, end_bytes=n_heldout, code_bits=unseen),
        ),
        bucket_bits=bucket_bits(n_bytes),
    )


def _stream_bytes(model: StackedModel, view: Readable, n_bytes: int, stride: int, tell: BytesProgress) -> int:
    """Of the blocks of one archive."""
    lanes, block_bytes = mixed_lanes(model.shape, stride)
    mixer, total = ContextMixer(bucket_bits(n_bytes)), 0
    for start in range(0, n_bytes, block_bytes):
        data = view.read(start, min(start + block_bytes, n_bytes))
        total += len(mixer.encode(data, _chances(model, windows_of(data, lanes.n_bytes), lanes.cut)))
        tell(data.size)
    return total


@torch.inference_mode()
def _chances(model: StackedModel, rows: npt.NDArray[np.uint8], cut: WindowCut) -> npt.NDArray[np.uint16]:
    """What the model says of every bit (lanes, length, 8), in float32: an archive's is the same to some 1e-5 bits."""
    found = np.empty((*rows.shape, 8), np.uint16)
    for some, start, first, last in window_calls(model, rows.shape, cut):
        symbols = torch.from_numpy(rows[some, start:last].copy()).to(model.device)
        logits, counted = model(symbols[None])[0, :, first - start :].double(), symbols[:, first - start :]
        chances = chances_of(nearest_grid(logits.reshape(-1, VOCABULARY)), counted.reshape(-1).long())
        found[some, first:last] = chances.view(*counted.shape, 8).cpu().numpy()
    return found
