"""What weights cost as bits, and what the data costs then: a run's snapshot at every precision, against plain rounding.

    python benchmarks/coded_weights.py RUN_FOLDER [bytes to measure on, 200000] [snapshot, final]

Plain rounding: each row's largest weight fills the range of b bits, a float16 scale a row, the numbers at their
order-0 entropy. Ours: `mdl.precisions`, actual sizes. Costs are of the rate on the first bytes of the own subset.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from mdl.pack import Run, open_run
from mdl.precisions import Weights, calibration_windows, precisions, subset_bits
from mdl.shapes import count_params


def entropy_bits(numbers: torch.Tensor) -> float:
    """Of all of them, under their own frequencies."""
    counts = np.unique(numbers.numpy(), return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def plain_rounding(weights: Weights, bits: int) -> tuple[float, Weights]:
    """(bits of the weights, the weights that decode from them)."""
    model_bits, made = 0.0, {}
    for name, weight in weights.items():
        matrix = weight if weight.ndim == 2 else weight[:, None]
        scale = matrix.abs().amax(dim=1 if name == "embedding" else 0, keepdim=True) / (2 ** (bits - 1) - 1)
        numbers = (matrix / scale.clamp_min(1e-30)).round()
        model_bits += entropy_bits(numbers) + 16 * scale.numel()
        made[name] = (numbers * scale).reshape(weight.shape)
    return model_bits, made


def table(run: Run, n_bytes: int) -> list[str]:
    """Lines to print."""
    view, shape = run.corpus.train, run.shape
    n_params, share = count_params(shape)["total"], run.record.subset_bytes / n_bytes
    windows = calibration_windows(view, run.record.subset_bytes, shape.context_bytes)
    started = time.perf_counter()
    found = precisions(shape, run.weights, windows, lambda ws: subset_bits(shape, ws, view, n_bytes))
    seconds = time.perf_counter() - started
    full = found[-1].data_bits
    lines = [f"{shape.label}, {n_params:,} parameters, rate {full / 8 / n_bytes:.4f}, {seconds:.0f} s for all"]
    for each in found:
        total = (each.model_bits / share + each.data_bits) / 8 / n_bytes
        lines.append(
            f"  {each.bits:2} bits: {each.model_bits / n_params:6.2f} a parameter ({each.coder}), the data"
            f" {each.data_bits / full - 1:+.2%}, total {total:.4f}"
        )
    for bits in (8, 6, 5, 4, 3):
        model_bits, made = plain_rounding(run.weights, bits)
        data_bits = subset_bits(shape, [made], view, n_bytes)[0]
        total = (model_bits / share + data_bits) / 8 / n_bytes
        lines.append(
            f"  {bits:2} bits, plain rounding: {model_bits / n_params:6.2f} a parameter, the data"
            f" {data_bits / full - 1:+.2%}, total {total:.4f}"
        )
    return lines


def main() -> None:
    torch.set_num_threads(1)
    folder, n_bytes, snapshot = (*sys.argv[1:4], *("200000", "final")[len(sys.argv) - 2 :])
    run = open_run(Path(folder), snapshot)
    print("\n".join(table(run, min(int(n_bytes), run.record.subset_bytes))))


if __name__ == "__main__":
    main()
