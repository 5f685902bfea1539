"""How far an encoder's and a decoder's logits are apart on trained weights, beside the guard band's EPSILON.

    python -m benchmarks.guard_band RUN … [--context 2048] [--windows 2]

RUN is a run's folder, of any architecture with exact passes. Windows of the running Python's own sources are coded in
one parallel pass and stepped through byte by byte, in float64; both on the CPU. A model may be given a longer context
than it was trained with: a minGRU has no positions, and a Transformer's are turned on.
"""

from __future__ import annotations

import argparse
import sysconfig
from dataclasses import replace
from pathlib import Path

import numpy as np

from mdl.compressors import choose_model
from mdl.entropy import EPSILON
from mdl.models import load_weights, stack
from mdl.models.float64_parallel import largest_difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--windows", type=int, default=2)
    asked = parser.parse_args()
    content = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")))
    windows = np.frombuffer(content[: asked.windows * asked.context], np.uint8).reshape(asked.windows, -1).copy()
    print(f"| run | largest difference at T = {asked.context:,} | of EPSILON = {EPSILON:g} |\n|---|---|---|")
    for run in asked.runs:
        shape, weights = load_weights(choose_model(run).weights)
        model = stack(replace(shape, context_tokens=asked.context), [weights]).double()
        difference = largest_difference(model, windows)
        print(f"| {shape.label} | {difference:.2g} | {difference / EPSILON:.2g} |", flush=True)


if __name__ == "__main__":
    main()
