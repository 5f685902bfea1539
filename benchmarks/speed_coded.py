"""Where coding a model's weights beside a sweep spends its seconds: `two_part_codes`, part by part.

    python -m benchmarks.speed_coded FILE BYTES SIZE [SIZE …]

FILE's first BYTES are the data; the weights of each SIZE (16x2, …) are untrained, which changes no time. Beside a GPU
the processors share the work, as they do in a sweep. To be held against the training of a cell: all of it a tenth at
the most.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mdl.quantization.two_part_code as two_part_code
from mdl.data import ByteView
from mdl.models import Shape, count_params, make_models, parse_size
from mdl.quantization import (
    PRECISIONS,
    DataPart,
    Spread,
    calibration_windows,
    coded_models,
    decoded,
    map_over_processes,
    subset_bits,
    two_part_codes,
)

_CONTEXT_BYTES = 2048


def timed(name: str, work: Callable[[], Any]) -> Any:
    """What the work gives; its seconds are printed."""
    begun = time.perf_counter()
    found = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    print(f"   {name:32}{time.perf_counter() - begun:8.2f} s", flush=True)
    return found


def timed_spread(spread: Spread) -> Spread:
    """The same, every use of it timed to its end."""

    def each(work: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
        return iter(timed(f"  … {work.__name__}", lambda: list(spread(work, *arguments))))

    return each


def time_shape(shape: Shape, view: ByteView, n_bytes: int, spread: Spread) -> None:
    """Every part by itself, then all of them as a sweep does it."""
    weights = {name: weight.detach().cpu() for name, weight in make_models(shape, [0]).member(0).items()}
    for again in ("", ", again"):
        (own,) = timed(f"own code{again}", lambda: subset_bits(shape, [weights], view, n_bytes))
    data = DataPart(shape=shape, view=view, n_bytes=n_bytes, plain=weights, own_bits=own)
    windows = calibration_windows(view, n_bytes, shape.context_tokens)
    sensitivity = two_part_code.sensitivity
    two_part_code.sensitivity = lambda *of: timed("  … sensitivity", lambda: sensitivity(*of))
    coded = timed(
        "weights at every precision", lambda: coded_models(shape, weights, windows, spread=timed_spread(spread))
    )
    two_part_code.sensitivity = sensitivity
    members = [decoded(shape, each) for each in coded]
    timed(f"data at {len(PRECISIONS)} precisions, a sample", lambda: data.foretold(members))
    timed("data at one, all of it", lambda: data.bits(members[:1]))
    timed("ALL, as in a sweep", lambda: two_part_codes(data, windows, spread=spread))


def main() -> None:
    """See the module's docstring."""
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    content = np.frombuffer(Path(sys.argv[1]).read_bytes(), np.uint8)
    view = ByteView.whole(content)
    torch.set_num_threads(1)
    with map_over_processes() as spread:
        for size in sys.argv[3:]:
            width, depth, heads = parse_size(size)
            shape = Shape(width, depth, heads, context_tokens=_CONTEXT_BYTES, block=2)
            print(f"{size}, {count_params(shape)['total']:,} parameters")
            time_shape(shape, view, min(int(sys.argv[2]), content.size), spread)


if __name__ == "__main__":
    main()
