"""Is a user's own model all in its weights? A new process is asked, which knows the plugin and the weights alone.

A module that keeps something outside its parameters and buffers, the corpus in a global say, has more than N counts,
and nobody could decode what it codes: where nothing was trained before, the same bytes take other bits.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdl.errors import MdlError
from mdl.models import Sample, Shape, load_weights, member_bits, plugin_of, weights_bytes
from mdl.plugins import load_plugins, told

_MOST_WINDOWS = 32
_TOLERANCE = 1e-3  # bits of a byte


def require_all_in_weights(shape: Shape, members: Sequence[tuple[Mapping[str, Tensor], Sample]]) -> None:
    """MdlError where members, weights and windows (n, T), take other bits in a new process than in this one.

    Only what a plugin registered is asked for: a new process knows nothing else, and what comes along keeps nothing.
    """
    if plugin_of(shape) is None:
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        for m, (weights, sample) in enumerate(members):
            (folder / f"{m}.safetensors").write_bytes(weights_bytes(shape, dict(weights)))
            chosen = np.linspace(0, len(sample) - 1, min(len(sample), _MOST_WINDOWS)).astype(int)
            np.save(folder / f"{m}.windows.npy", sample[chosen])
        _run(shape, folder, len(members))
        for m in range(len(members)):
            _require_same(shape, _bits(folder, m), np.load(folder / f"{m}.bits.npy"))


def _run(shape: Shape, folder: Path, n: int) -> None:
    command = [sys.executable, "-m", "mdl.training.new_process", str(folder), str(n), str(torch.get_num_threads())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise MdlError(f"architecture '{shape.architecture}': a new process cannot run it from its weights ({said})")


def _bits(folder: Path, m: int) -> npt.NDArray[np.float64]:
    shape, weights = load_weights(folder / f"{m}.safetensors")
    return member_bits(shape, weights, np.load(folder / f"{m}.windows.npy"))


def _require_same(shape: Shape, here: npt.NDArray[np.float64], there: npt.NDArray[np.float64]) -> None:
    other = np.argwhere(np.abs(here - there) > _TOLERANCE)
    if not other.size:
        return
    b, t = other[0].tolist()
    raise MdlError(
        f"architecture '{shape.architecture}', {shape.label}: byte {t:,} of a window takes {here[b, t]:.3f} bits where "
        f"it was trained and {there[b, t]:.3f} in a new process with the same weights; it keeps something outside its "
        "parameters and buffers (a global, an attribute of its class), which N does not count"
    )


def main() -> None:
    """What the new process does: the bits of every member's windows, beside them."""
    folder, n, n_threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(n_threads)
    try:
        load_plugins()
        for m in range(n):
            np.save(folder / f"{m}.bits.npy", _bits(folder, m))
    except BaseException as error:
        sys.exit(str(error) if isinstance(error, MdlError) else told(error))


if __name__ == "__main__":
    main()
