"""A checkpoint at every precision: bits of its weights, and bits of the data under the weights as they decode."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from multiprocessing import get_context
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from mdl.data import Readable
from mdl.models import BytesProgress, Shape, TiedModel, code_lengths, require_coded, stack
from mdl.quantization.fine_tune import Tuning, tuned
from mdl.quantization.precision_list import PRECISIONS
from mdl.quantization.quantize import quantise
from mdl.quantization.sensitivity import Sensitivity, sensitivity
from mdl.quantization.weight_codec import (
    FULL_BITS,
    CodedModel,
    decode_weights,
    encode_full,
    encode_quantised,
    to_matrices,
)
from mdl.records import CodedWeights

CALIBRATION_BYTES = 1 << 17
TUNED_BITS = 6  # are tuned, and less; finer numbers lose next to nothing

Weights = dict[str, torch.Tensor]
Measure = Callable[[Sequence[Weights]], Sequence[float]]  # bits of the data under each
Spread = Callable[..., Iterator[Any]]  # as `map`, of functions that take arrays and no tensors

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def calibration_windows(view: Readable, subset_bytes: int, context_bytes: int) -> npt.NDArray[np.uint8]:
    """Windows (n, T) spread evenly over the first `subset_bytes`: some 128 KiB, by which errors are weighed."""
    T = min(context_bytes, subset_bytes)
    n_windows = max(1, min(subset_bytes, CALIBRATION_BYTES) // T)
    starts = np.linspace(0, subset_bytes - T, n_windows).astype(np.int64)
    return np.stack([view.read(start, start + T) for start in starts.tolist()])


def coded_models(
    shape: Shape,
    weights: Weights,
    calibration: npt.NDArray[np.uint8],
    precisions: Sequence[int] = PRECISIONS,
    tuning: Tuning | None = None,
    *,
    spread: Spread = map,
) -> list[CodedModel]:
    """The weights coded at every precision, errors weighed by the windows (n, T) of `calibration`; tuned if asked."""
    require_coded(shape)
    plain = {name: tensor.float().cpu().numpy() for name, tensor in weights.items()}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrices = to_matrices(shape, plain)
    forms = _folded(shape, sensitivity(cast(TiedModel, stack(shape, [weights]).to(device)), calibration), plain)
    aims = [bits for bits in precisions if bits != FULL_BITS]
    rounded = dict(zip(aims, spread(quantise, repeat(matrices), repeat(forms), aims), strict=True))
    coarse = [bits for bits in rounded if tuning and tuning.n_steps and bits <= TUNED_BITS]
    better = tuned(shape, matrices, [rounded[bits] for bits in coarse], tuning) if tuning and coarse else []
    tuned_forms = dict(zip(coarse, better, strict=True))
    forms_of = [plain if bits == FULL_BITS else tuned_forms.get(bits) or rounded[bits] for bits in precisions]
    return list(spread(_encoded, repeat(shape), precisions, forms_of))


def _encoded(shape: Shape, bits: int, form: Any) -> CodedModel:
    return encode_full(shape, form) if bits == FULL_BITS else encode_quantised(shape, bits, form)


@contextmanager
def map_over_processes() -> Iterator[Spread]:
    """A `map` over processes of its own where the host has nothing else to do, beside a GPU; else the plain one.

    Elsewhere every processor has a cohort already. The processes start with the first work.
    """
    if not torch.cuda.is_available():
        yield map
        return
    plain = {name: os.environ.get(name) for name in _THREADS}
    os.environ |= dict.fromkeys(_THREADS, "1")  # for the processes: they are as many already
    try:
        with ProcessPoolExecutor(min(len(PRECISIONS), os.cpu_count() or 1), get_context("spawn")) as processes:
            yield processes.map
    finally:
        for name, value in plain.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _folded(
    shape: Shape, forms: Mapping[str, Sensitivity], weights: Mapping[str, npt.NDArray[np.float32]]
) -> dict[str, Sensitivity]:
    """The forms of matrices that have taken in the gain before them: their inputs come without it."""
    folded = dict(forms)
    gains_of = {matrix.name: matrix.gain for matrix in require_coded(shape).layer if matrix.gain}
    for k in range(shape.depth):
        for name, gain in gains_of.items():
            gains = weights[f"{gain}_{k}"].astype(np.float64)
            over = np.where(np.abs(gains) < 1e-6, 1e-6, gains)
            form = forms[f"{name}_{k}"]
            folded[f"{name}_{k}"] = Sensitivity(form.inputs / over[:, None] / over, form.gradients)
    return folded


def decoded(shape: Shape, coded: CodedModel) -> Weights:
    """What a decoder gets."""
    return _tensors(decode_weights(shape, coded.content))


def _tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> Weights:
    return {name: torch.from_numpy(weight) for name, weight in arrays.items()}


def two_part_codes(
    shape: Shape,
    weights: Weights,
    calibration: npt.NDArray[np.uint8],
    measure: Measure,
    *,
    bits: Sequence[int] = PRECISIONS,
    tuning: Tuning | None = None,
    spread: Spread = map,
) -> list[CodedWeights]:
    """Model and data bits at every precision, by `measure` of the weights as they decode."""
    coded = coded_models(shape, weights, calibration, bits, tuning, spread=spread)
    arrays = spread(decode_weights, repeat(shape), [model.content for model in coded])
    lengths = measure([_tensors(model) for model in arrays])
    return [
        CodedWeights(bits=model.bits, coder=model.coder, model_bits=8 * len(model.content), data_bits=float(data_bits))
        for model, data_bits in zip(coded, lengths, strict=True)
    ]


def subset_bits(
    shape: Shape, members: Sequence[Weights], view: Readable, n_bytes: int, progress: BytesProgress | None = None
) -> list[float]:
    """Ideal bits of the first `n_bytes` under each of some weights, all in one pass."""
    model = stack(shape, members).to("cuda" if torch.cuda.is_available() else "cpu")
    lengths = code_lengths(model, view, "train", [n_bytes] * len(members), progress=progress)
    return [sum(segment.code_bits for segment in part.segments) for part in lengths]
