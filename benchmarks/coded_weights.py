"""What weights cost as bits, and what the data costs then: a run's snapshot at some precisions, against plain rounding.

    python benchmarks/coded_weights.py RUN_FOLDER [bytes to measure on, 100000] [tuning steps, 0] [snapshot, final]

Plain rounding: each row's largest weight fills the range of b bits, a float16 scale a row, the numbers at their
order-0 entropy. Ours: `two_part_code`, actual sizes. Costs are of the rate on windows spread over the own subset.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mdl.compressors import open_run
from mdl.compressors.self_contained import Run
from mdl.models import count_params
from mdl.quantization import Tuning, Weights, calibration_windows, map_over_processes, subset_bits, two_part_codes

PRECISIONS = (3, 4, 5, 6, 8, 32)
PLAIN = (8, 6, 5, 4)


class Sample:
    """Windows (n, T) as what a model is measured on."""

    def __init__(self, windows: npt.NDArray[np.uint8]) -> None:
        self._data = windows.reshape(-1)

    def __len__(self) -> int:
        return self._data.size

    def read(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Bytes [start, end)."""
        return self._data[start:end]


def sample(run: Run, n_bytes: int) -> Sample:
    """Whole windows, spread evenly over the subset, at the places at which the record measured them."""
    T, of = run.shape.context_tokens, run.record.subset_bytes
    n_windows = max(1, min(n_bytes, of) // T)
    starts = np.linspace(0, of - T, n_windows).astype(np.int64) // T * T
    return Sample(np.stack([run.corpus.train.read(start, start + T) for start in starts.tolist()]))


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


def table(run: Run, n_bytes: int, tune_steps: int) -> list[str]:
    """Lines to print."""
    view, shape, seen = run.corpus.train, run.shape, sample(run, n_bytes)
    D, n_params = run.record.subset_bytes, count_params(shape)["total"]
    started = time.perf_counter()
    with map_over_processes() as spread:
        found = two_part_codes(
            shape,
            run.weights,
            calibration_windows(view, D, shape.context_tokens),
            lambda members: subset_bits(shape, members, seen, len(seen)),
            tuning=Tuning(view, D, tune_steps),
            spread=spread,
        )
    seconds, full = time.perf_counter() - started, found[-1].data_bits

    def line(name: str, model_bits: float, data_bits: float) -> str:
        return (
            f"  {name}: {model_bits / n_params:6.2f} a parameter, the data {data_bits / full - 1:+.2%},"
            f" total {model_bits / 8 / D + data_bits / 8 / len(seen):.4f}"
        )

    lines = [f"{shape.label}, {n_params:,} parameters, rate {full / 8 / len(seen):.4f}, {seconds:.0f} s for all"]
    lines += [line(f"{each.bits:2} bits, {each.coder}", each.model_bits, each.data_bits) for each in found]
    plain = [plain_rounding(run.weights, bits) for bits in PLAIN]
    data = subset_bits(shape, [made for _, made in plain], seen, len(seen))
    return lines + [
        line(f"{bits:2} bits, plain rounding", model_bits, data_bits)
        for bits, (model_bits, _), data_bits in zip(PLAIN, plain, data, strict=True)
    ]


def main() -> None:
    torch.set_num_threads(1)
    folder, n_bytes, n_steps, snapshot = (*sys.argv[1:5], *("100000", "0", "final")[len(sys.argv) - 2 :])
    run = open_run(Path(folder), snapshot)
    print("\n".join(table(run, int(n_bytes), int(n_steps))))


if __name__ == "__main__":
    main()
