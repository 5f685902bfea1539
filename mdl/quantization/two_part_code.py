"""A checkpoint at every precision: bits of its weights, and bits of the data under the weights as they decode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from mdl.data import Readable
from mdl.models import Shape, TiedModel, require_coded, stack
from mdl.quantization.data_part import DataLengths, DataPart, Weights, spread_windows
from mdl.quantization.fine_tune import Tuning, tuned
from mdl.quantization.precision_list import PRECISIONS
from mdl.quantization.quantize import quantise
from mdl.quantization.sensitivity import Sensitivity, sensitivity
from mdl.quantization.spread_work import Spread
from mdl.quantization.weight_codec import (
    FULL_BITS,
    CodedModel,
    decode_weights,
    encode_full,
    encode_quantised,
    from_matrices,
    to_matrices,
)
from mdl.records import CodedWeights

Form = Mapping[str, Any]  # of a name a matrix of whole numbers with its scales, or a weight as it is

CALIBRATION_BYTES = 1 << 17
TUNED_BITS = 6  # are tuned, and less; finer numbers lose next to nothing


def calibration_windows(view: Readable, subset_bytes: int, context_bytes: int) -> npt.NDArray[np.uint8]:
    """Windows (n, T) spread evenly over the first `subset_bytes`: some 128 KiB, by which errors are weighed."""
    return spread_windows(view, subset_bytes, context_bytes, CALIBRATION_BYTES)


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
    forms = _forms(shape, weights, calibration, precisions, tuning, spread=spread)
    return list(spread(_encoded, repeat(shape), precisions, forms))


def _forms(
    shape: Shape,
    weights: Weights,
    calibration: npt.NDArray[np.uint8],
    precisions: Sequence[int],
    tuning: Tuning | None,
    *,
    spread: Spread,
) -> list[Form]:
    """What is coded at every precision: whole numbers and scales, and of `FULL_BITS` the weights as they are."""
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
    return [plain if bits == FULL_BITS else tuned_forms.get(bits) or rounded[bits] for bits in precisions]


def _encoded(shape: Shape, bits: int, form: Any) -> CodedModel:
    return encode_full(shape, form) if bits == FULL_BITS else encode_quantised(shape, bits, form)


def _as_decoded(shape: Shape, bits: int, form: Any) -> Weights:
    """What a decoder gets: the codec is exact, so that nothing has to be decoded to know it."""
    if bits == FULL_BITS:
        return _tensors(form)
    return _tensors(from_matrices(shape, {name: matrix.dequantised() for name, matrix in form.items()}))


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


def _begun(
    data: DataPart,
    calibration: npt.NDArray[np.uint8],
    precisions: Sequence[int],
    tuning: Tuning | None,
    *,
    spread: Spread,
) -> tuple[Iterator[CodedModel], list[Weights]]:
    """The data's plain weights at every precision: their codes, which processes begin now, and what a decoder gets.

    So they code while the data is read under what a decoder gets.
    """
    forms = _forms(data.shape, data.plain, calibration, precisions, tuning, spread=spread)
    coding = spread(_encoded, repeat(data.shape), precisions, forms)
    return coding, [_as_decoded(data.shape, bits, form) for bits, form in zip(precisions, forms, strict=True)]


def shortest_code(
    data: DataPart, calibration: npt.NDArray[np.uint8], tuning: Tuning | None, *, spread: Spread = map
) -> CodedModel:
    """The data's plain weights at the precision that is the shortest with them, as a sample foretells."""
    coding, members = _begun(data, calibration, PRECISIONS, tuning, spread=spread)
    lengths = data.foretold(members)
    coded = list(coding)
    return coded[int(np.argmin([8 * len(model.content) + bits for model, bits in zip(coded, lengths, strict=True)]))]


def two_part_codes(
    data: DataPart,
    calibration: npt.NDArray[np.uint8],
    *,
    bits: Sequence[int] = PRECISIONS,
    tuning: Tuning | None = None,
    spread: Spread = map,
) -> list[CodedWeights]:
    """Model and data bits at every precision of the data's plain weights, the data under them as they decode."""
    coding, members = _begun(data, calibration, bits, tuning, spread=spread)
    lengths = DataLengths(data, members)
    coded = list(coding)
    found = lengths.beside([8 * len(model.content) for model in coded])
    return [
        CodedWeights(
            bits=model.bits,
            coder=model.coder,
            model_bits=8 * len(model.content),
            data_bits=float(length),
            sample_bytes=sample_bytes,
        )
        for model, (length, sample_bytes) in zip(coded, found, strict=True)
    ]
