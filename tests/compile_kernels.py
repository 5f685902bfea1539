"""Compiles the fused kernels of a shape for a GPU that need not be there: python -m tests.compile_kernels 16x1 …

16x1b2 is the shape with the block of version 2. The model runs on the meta device, where tensors have shapes and no
content; what it would launch is compiled for an H100 instead. A line a kernel: its name, the shared memory of a block
in bytes, and the most programs on an axis of the grid but the first, for about as many windows as a batch may have.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from mdl.models import Shape, StackedTransformer, parse_size
from mdl.models.kernels.assembly import pieces

H100 = GPUTarget("cuda", 90, 32)
_TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.uint8: "*u8",
    torch.int32: "*i32",
    torch.int64: "*i64",
}
_WINDOWS = 8000  # of 256 bytes, of three members
Launch = tuple[JITFunction, tuple[Any, ...], dict[str, Any], tuple[int, ...]]


def launches(size: str, *, trained: bool) -> list[Launch]:
    """What forward and, if trained, backward launch."""
    block, seen = 2 if size.endswith("b2") else 1, []
    shape = Shape(*parse_size(size.removesuffix("b2")), context_tokens=256, block=block)

    def noted(kernel: JITFunction, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> None:
        seen.append((kernel, arguments, options, grid))

    with torch.device("meta"), patch.object(JITFunction, "run", noted):
        model = StackedTransformer(shape, [0, 1, 2]).requires_grad_(trained)
        parts = pieces(shape, torch.bfloat16 if trained else torch.float16, trained=trained).parts()
        nats = model.nats(torch.zeros(3, _WINDOWS, 256, dtype=torch.uint8), parts)
        if trained:
            nats.sum().backward()
    return seen


def compiled(launch: Launch) -> tuple[str, str]:
    """A kernel's name, and its shared memory in bytes with the grid's greatest axis but the first."""
    kernel, arguments, options, grid = launch
    signature: dict[str, str] = {}
    constants: dict[tuple[int], Any] = {}
    aligned: dict[tuple[int], Any] = {}
    for i, (parameter, argument) in enumerate(zip(kernel.params, arguments, strict=True)):
        if parameter.is_constexpr or argument is None:
            signature[parameter.name], constants[(i,)] = "constexpr", argument
        elif isinstance(argument, torch.Tensor):
            signature[parameter.name], aligned[(i,)] = _TYPES[argument.dtype], [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32" if isinstance(argument, int) else "fp32"
    made = triton.compile(ASTSource(kernel, signature, constants, aligned), target=H100, options=options)
    return kernel.fn.__name__, f"{made.metadata.shared} {max(grid[1:], default=1)}"


def lines(sizes: list[str]) -> Iterator[str]:
    """A line a kernel of the shapes, in training and without gradients."""
    for size in sizes:
        wide = parse_size(size.removesuffix("b2"))[0] > 128  # in training a part of it is torch.compile's
        for trained in (False,) if wide else (True, False):
            for name, figures in dict(map(compiled, launches(size, trained=trained))).items():
                yield f"{size} {'trained' if trained else 'measured'} {name} {figures}"


if __name__ == "__main__":
    for line in lines(sys.argv[1:]):
        print(line, flush=True)
