"""Weights to whole numbers such that weights and data together are short.

Uniform quantisation followed by an entropy coder is within a quarter of a bit of the best there is, if the step of
each row suits what an error in it costs: with error δ costing g·δ² and a code of −log2(step) + const bits, the best
step of a row is proportional to g^(−1/2) (reverse water-filling; Gish & Pierce 1968). g comes from `sensitivity`.
The numbers of a row are rounded one after the other, each error being made good, as far as it can be, by the weights
still to come (the Optimal Brain Surgeon's update, GPTQ: Frantar et al. 2023).

How it was chosen, by coded bits a parameter and what they cost in rate (48x2, 1 MB of Python sources):
plain rounding to 6, 5, 4 bits of each row's range: 5.87 (+0.27 %), 4.84 (+1.2 %), 3.77 (+4.7 %);
one step for all rows with feedback: 4.09 (+0.57 %), 3.40 (+1.7 %); steps by sensitivity without feedback: 3.71
(+1.4 %), 3.01 (+4.3 %); both: 3.60 (+0.58 %), 2.95 (+1.8 %). Steps for inputs as well add nothing (3.72, +0.44 %;
3.04, +1.7 %), nor do scales finer than 2^(1/2).
64x4 trained long on 10 MB, at 4.07 bits: +2.85 %. What else was tried there: making errors good by the outputs beside
as well (by the Fisher information's other factor, as YAQA does: Tseng et al. 2025), in blocks of 64: +2.46 %, but after
the same tuning (`fine_tune`) +1.44 % against +1.33 % without; inputs in the order of their size, other dampings: no
gain; rounding towards zero by what it saves in code: no better than a coarser step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError
from mdl.quantization.sensitivity import Sensitivity
from mdl.quantization.weight_codec import MOST_NUMBER, MOST_SCALE, Quantised

Floats = npt.NDArray[np.float64]

_DAMPING = 3e-2  # of the inputs' second moment, as a fraction of its mean diagonal
_PLAIN_BITS = 8  # at the least, of what has no sensitivity
_LEAST_GRADIENT = 1e-2  # of the mean: what calibration never met is not free
_BELL_BITS = 2 * math.pi * math.e  # a Gaussian of variance v rounded to step s takes about ½·log2(1 + 2πe·v/s²) bits


@dataclass(frozen=True)
class Rounded(Quantised):
    """A quantised matrix, and what its numbers were rounded from: reals (in, out) within half of one of them."""

    reals: Floats


def quantise(
    matrices: Mapping[str, Floats], sensitivities: Mapping[str, Sensitivity], bits: float
) -> dict[str, Rounded]:
    """Matrices (in, out) at such steps that a weight takes about `bits` bits; MdlError where one is not finite.

    What has no sensitivity (the few vectors of the block of version 2) is rounded to `bits` of each row's range, and
    to 8 at the least.
    """
    for name, matrix in matrices.items():
        if not np.all(np.isfinite(matrix)):
            raise MdlError(f"a weight of {name} is not finite; a failed training run cannot be coded")
    relative = {name: _relative_steps(sensitivities[name]) for name in matrices if name in sensitivities}
    common = _common_step(matrices, relative, bits)
    return {
        name: _rounded(matrix, sensitivities[name].inputs, _scales(matrix, common * relative[name]))
        if name in relative
        else _plainly_rounded(matrix, max(_PLAIN_BITS, bits))
        for name, matrix in matrices.items()
    }


def _plainly_rounded(matrix: Floats, bits: float) -> Rounded:
    """To about so many bits of each row's range."""
    scales = _scales(matrix, np.abs(matrix).max(axis=0) / 2 ** (bits - 1))
    reals = matrix / 2.0 ** (scales / 2)
    return Rounded(np.rint(reals).astype(np.int64), scales, reals)


def _relative_steps(form: Sensitivity) -> Floats:
    """g^(−1/2), for each row (out,), inputs of unit size taken into account."""
    gradients = form.gradients * max(float(np.diagonal(form.inputs).mean()), 1e-30)
    steps: Floats = (gradients + _LEAST_GRADIENT * gradients.mean() + 1e-30) ** -0.5
    return steps


def _common_step(matrices: Mapping[str, Floats], relative: Mapping[str, Floats], bits: float) -> float:
    """The factor on all steps at which the mean weight takes `bits` bits, found by bisection."""
    power = np.concatenate([np.square(matrices[name]).mean(axis=0) / relative[name] ** 2 for name in relative])
    n_weights = np.concatenate([np.full(matrices[name].shape[1], matrices[name].shape[0]) for name in relative])
    low, high = -300.0, 300.0  # log2 of the squared step
    for _ in range(60):
        middle = (low + high) / 2
        mean = np.average(np.log2(1 + _BELL_BITS * power * 2.0**-middle) / 2, weights=n_weights)
        low, high = (middle, high) if mean > bits else (low, middle)
    return float(2.0 ** (low / 2))


def _scales(matrix: Floats, steps: Floats) -> npt.NDArray[np.int64]:
    """k of the scale 2^(k/2) nearest to each row's step, but large enough for the row's largest weight."""
    largest = np.abs(matrix).max(axis=0) / (MOST_NUMBER / 4)
    exponents = 2 * np.log2(np.maximum(np.maximum(steps, largest), 2.0**-MOST_SCALE))
    scales: npt.NDArray[np.int64] = np.clip(np.rint(exponents), -MOST_SCALE, MOST_SCALE).astype(np.int64)
    return scales


def _rounded(matrix: Floats, inputs: Floats, scales: npt.NDArray[np.int64]) -> Rounded:
    """Whole numbers (in, out), line by line, each line's errors made good by the lines after it."""
    upper = _feedback(inputs)
    steps, left = 2.0 ** (scales / 2), matrix.copy()
    reals, numbers = np.empty(matrix.shape), np.empty(matrix.shape, np.int64)
    for i in range(len(matrix)):
        reals[i] = left[i] / steps
        numbers[i] = np.clip(np.rint(reals[i]), -MOST_NUMBER, MOST_NUMBER).astype(np.int64)
        error = (left[i] - numbers[i] * steps) / upper[i, i]
        left[i + 1 :] -= upper[i, i + 1 :, None] * error
    return Rounded(numbers, scales, reals)


def _feedback(inputs: Floats) -> Floats:
    """The upper Cholesky factor of the damped form's inverse (in, in)."""
    mean = max(float(np.diagonal(inputs).mean()), 1e-30)
    damped = inputs / mean + _DAMPING * np.eye(len(inputs))
    upper: Floats = np.linalg.cholesky(np.linalg.inv(damped)).T
    return upper
