"""Model shapes and their names. Free of torch, so that a plan is cheap."""

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
TRANSFORMER = "transformer"  # where nothing else is said, for ever
ARCHITECTURE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
NAME_FORM = "small letters, digits and underscores, such as my_rnn"


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
    architecture: str = TRANSFORMER  # its name in `mdl.models.ARCHITECTURES`

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "architecture" and type(value) is not int:
                raise MdlError(f"a model's {name} is a whole number, got {value!r:.40}")
        if not isinstance(self.architecture, str) or not ARCHITECTURE_NAME.fullmatch(self.architecture):
            raise MdlError(f"a model's architecture is named by {NAME_FORM}; got {self.architecture!r:.40}")
        check_dimensions(self.width, self.depth, self.n_heads, self.architecture)
        if not 1 <= self.context_tokens <= MOST_CONTEXT:
            raise MdlError(f"a model has a context of 1 to {MOST_CONTEXT:,} bytes, got {self.context_tokens}")
        if not VOCABULARY <= self.vocabulary <= MOST_VOCABULARY:
            raise MdlError(f"a vocabulary has {VOCABULARY} (bytes) to {MOST_VOCABULARY} tokens, got {self.vocabulary}")
        if self.block not in BLOCKS:
            raise MdlError(f"the block of version {self.block} is not known here (there are {BLOCKS}); update mdl")

    @property
    def label(self) -> str:
        """`16x2`, `64x4h4` where the number of heads is not the usual one, `16x2-v512` where it reads tokens.

        Before it another architecture than the Transformer: `mingru-16x2`.
        """
        size = shape_label(self.width, self.depth, self.n_heads)
        return architecture_label(self.architecture) + size + vocabulary_label(self.vocabulary)

    def told(self) -> dict[str, Any]:
        """The fields as files name them, for ever; the context is one of bytes there.

        Bytes, the first block and the Transformer go without saying.
        """
        fields = {"context_bytes" if name == "context_tokens" else name: value for name, value in asdict(self).items()}
        unsaid = {"vocabulary": VOCABULARY, "block": 1, "architecture": TRANSFORMER}
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


def architecture_label(architecture: str) -> str:
    """`mingru-`; nothing for the Transformer."""
    return "" if architecture == TRANSFORMER else f"{architecture}-"


def check_dimensions(width: int, depth: int, n_heads: int, architecture: str = TRANSFORMER) -> None:
    """MdlError for dimensions that do not make a model."""
    if min(width, depth, n_heads) < 1:
        raise MdlError(f"a model needs width, depth and heads of at least 1, got {width}, {depth}, {n_heads}")
    if architecture == TRANSFORMER and width % (2 * n_heads):
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
        alone = "; a sweep file's ladder stands alone, as the key's value" if name.startswith("ladder(") else ""
        raise MdlError(f"size '{name}' is not width x depth, such as 16x2, nor one of {', '.join(PRESETS)}{alone}")
    width, depth = int(match[1]), int(match[2])
    if width > MOST_WIDTH or depth > MOST_DEPTH:
        raise MdlError(f"size '{name}' is beyond what is trained here, {MOST_WIDTH} wide and {MOST_DEPTH} deep")
    return width, depth, int(match[3]) if match[3] else usual_heads(width)
