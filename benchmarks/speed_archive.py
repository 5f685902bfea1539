"""How fast a model codes and decodes, beside xz on the same bytes in the same run.

    python benchmarks/speed_archive.py [shape, 32x2] [context, 1024] [bytes, 1000000] [device, cpu]

The model is untrained: the arithmetic does not depend on the weights. The content is the running Python's own sources.
"""

from __future__ import annotations

import io
import lzma
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from mdl.archives import Archive
from mdl.compressors import compress_stream, load_model
from mdl.compressors.byte_model import decompress_stream
from mdl.models import Shape, StackedTransformer, parse_size
from mdl.models.weights_file import save_weights


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    size, context, n_bytes, device = (*sys.argv[1:5], *("32x2", "1024", "1000000", "cpu")[len(sys.argv) - 1 :])
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    content = b"".join(path.read_bytes() for path in sources)
    content = (content * (1 + int(n_bytes) // len(content)))[: int(n_bytes)]
    shape = Shape(*parse_size(size), context_tokens=int(context))
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "w.safetensors"
        save_weights(weights, shape, StackedTransformer(shape, [0]).member(0))
        model = load_model(weights, torch.device(device))
    compress_stream(io.BytesIO(content[:5000]), io.BytesIO(), model)  # warm
    packed, back = io.BytesIO(), io.BytesIO()
    encode = seconds_of(lambda: compress_stream(io.BytesIO(content), packed, model))
    decode = seconds_of(lambda: decompress_stream(Archive(packed), back, model))
    assert back.getvalue() == content
    xz = seconds_of(lambda: lzma.compress(content, preset=9))
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    print(f"{size}, context {context}, {len(content):,} bytes, {device}{threads}, torch {torch.__version__}")
    for what, seconds in (("encode", encode), ("decode", decode)):
        print(f"  {what}: {len(content) / seconds / 1000:8.1f} kB/s, {xz / seconds:.4f} of the speed of xz -9")


if __name__ == "__main__":
    main()
