"""Model shapes: their names, what they cost in parameters and in arithmetic. Free of torch, so that a plan is cheap."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from functools import cache
from typing import Any

from mdl.errors import MdlError
from mdl.units import VOCABULARY

MOST_WIDTH = 16_384
MOST_DEPTH = 256
MOST_CONTEXT = 1 << 20  # its keys and values at every width still fit a machine
MOST_VOCABULARY = 1 << 16
BLOCKS = (1, 2)


@dataclass(frozen=True)
class Shape:
    """The hyper-parameters that fix a model's parameters and its arithmetic."""

    width: int  # C
    depth: int  # layers
    n_heads: int
    _: KW_ONLY
    context_tokens: int  # T, the longest window; of bytes where the vocabulary is bytes
    vocabulary: int = VOCABULARY  # V, bytes or tokens
    block: int = 1  # version of the layers' arithmetic (`mdl.models.transformer`)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not int:
                raise MdlError(f"a model's {name} is a whole number, got {value!r:.40}")
        check_shape(self.width, self.depth, self.n_heads)
        if not 1 <= self.context_tokens <= MOST_CONTEXT:
            raise MdlError(f"a model has a context of 1 to {MOST_CONTEXT:,} bytes, got {self.context_tokens}")
        if not VOCABULARY <= self.vocabulary <= MOST_VOCABULARY:
            raise MdlError(f"a vocabulary has {VOCABULARY} (bytes) to {MOST_VOCABULARY} tokens, got {self.vocabulary}")
        if self.block not in BLOCKS:
            raise MdlError(f"the block of version {self.block} is not known here (there are {BLOCKS}); update mdl")

    @property
    def label(self) -> str:
        """`16x2`, `64x4h4` where the number of heads is not the usual one, `16x2-v512` where it reads tokens."""
        return shape_label(self.width, self.depth, self.n_heads) + vocabulary_label(self.vocabulary)

    def told(self) -> dict[str, Any]:
        """The fields as files name them, for ever; the context is one of bytes there.

        Bytes and the first block go without saying.
        """
        fields = {"context_bytes" if name == "context_tokens" else name: value for name, value in asdict(self).items()}
        unsaid = {"vocabulary": VOCABULARY, "block": 1}
        return {name: value for name, value in fields.items() if name not in unsaid or value != unsaid[name]}

    @classmethod
    def from_told(cls, fields: Mapping[str, Any]) -> Shape:
        """The shape that a file tells of; KeyError, TypeError or MdlError for anything that `told` does not write."""
        return cls(context_tokens=fields["context_bytes"], **{k: fields[k] for k in fields if k != "context_bytes"})

    def require_bytes(self, what: str) -> None:
        """MdlError where the model reads tokens; `what` it would have been for, in the plural."""
        if self.vocabulary != VOCABULARY:
            raise MdlError(
                f"{what} code bytes only, and this model reads {self.vocabulary} tokens; "
                "take one that was trained with model.vocabulary 256"
            )


def shape_label(width: int, depth: int, n_heads: int) -> str:
    """`16x2`, or `64x4h4` where the number of heads is not the usual one."""
    name = f"{width}x{depth}"
    return name if n_heads == usual_heads(width) else f"{name}h{n_heads}"


def vocabulary_label(vocabulary: int) -> str:
    """`-v1024`; nothing for bytes."""
    return "" if vocabulary == VOCABULARY else f"-v{vocabulary}"


def check_shape(width: int, depth: int, n_heads: int) -> None:
    """MdlError for dimensions that do not make a model."""
    if min(width, depth, n_heads) < 1:
        raise MdlError(f"a model needs width, depth and heads of at least 1, got {width}, {depth}, {n_heads}")
    if width % (2 * n_heads):
        raise MdlError(
            f"width {width} does not divide into {n_heads} head(s) of even size (rotary turns pairs); "
            f"use a width that is a multiple of {2 * n_heads}"
        )


def usual_heads(width: int) -> int:
    """Heads of 32 dimensions, one head for narrower models."""
    return max(1, width // 32)


# The paper's three sizes (configurations from its authors' issue tracker); give them context_bytes 2048.
PRESETS = {"paper-200k": (64, 4, 4), "paper-800k": (128, 4, 4), "paper-3.2m": (256, 4, 8)}


@cache
def parse_size(name: str) -> tuple[int, int, int]:
    """(width, depth, heads) of `16x2`, `64x4h4`, or a preset such as `paper-200k`; MdlError otherwise."""
    if name.lower() in PRESETS:
        return PRESETS[name.lower()]
    match = re.fullmatch(r"(\d{1,9})[x×](\d{1,9})(?:h(\d{1,9}))?", name)
    if not match:
        raise MdlError(f"size '{name}' is not width x depth, such as 16x2, nor one of {', '.join(PRESETS)}")
    width, depth = int(match[1]), int(match[2])
    if width > MOST_WIDTH or depth > MOST_DEPTH:
        raise MdlError(f"size '{name}' is beyond what is trained here, {MOST_WIDTH} wide and {MOST_DEPTH} deep")
    return width, depth, int(match[3]) if match[3] else usual_heads(width)


def count_params(shape: Shape) -> dict[str, int]:
    """Parameters by group, and their `total`. The output head is the embedding (tied), counted once."""
    C, L = shape.width, shape.depth
    groups = {
        "embedding": shape.vocabulary * C,
        "start": C,
        "attention": L * 4 * C * C,
        "mlp": L * 8 * C * C,
        "norm": L * 2 * C,
    }
    if shape.block == 2:
        groups |= {"norm": L * 3 * C, "mixing": C + L - 1}
    return {**groups, "total": sum(groups.values())}


def count_weights(shape: Shape) -> int:
    """How many tensors they are, told without listing them."""
    return 2 + 6 * shape.depth if shape.block == 1 else 2 + 8 * shape.depth


def forward_flops_per_byte(shape: Shape) -> float:
    """Floating point operations to predict one byte (or token) of a full window, the head and attention included.

    Attention is causal: a byte meets (T + 1) / 2 others on average, 4·C operations each a layer.
    """
    C, L, T = shape.width, shape.depth, shape.context_tokens
    return 2.0 * (L * 12 * C * C + shape.vocabulary * C) + L * 4.0 * C * (T + 1) / 2


def training_bytes(shape: Shape, batch_windows: int) -> int:
    """Estimated memory of training one member, bytes: six copies of the weights (gradient, two moments, best, a look)
    and, for every byte of a batch, some 24 float32 activations a width and layer and three copies of the logits.
    """
    n_positions = batch_windows * shape.context_tokens
    activations = n_positions * (24 * shape.width * shape.depth + 3 * shape.vocabulary)
    return 4 * (6 * count_params(shape)["total"] + activations)
