"""One member's weights as a safetensors file, its shape in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, float32

from mdl.errors import MdlError
from mdl.models.shape import Shape
from mdl.models.transformer import weight_shapes
from mdl.storage import write_atomically


def weights_bytes(shape: Shape, weights: dict[str, Tensor]) -> bytes:
    """One member as a safetensors file, its shape in the metadata.

    Metadata of one key: safetensors writes several in a random order, and equal weights would not be equal bytes.
    """
    metadata = {"mdl": json.dumps({"format": 1, "shape": shape.told()}, sort_keys=True)}
    return safetensors_bytes({name: tensor.contiguous() for name, tensor in weights.items()}, metadata)


def save_weights(path: Path, shape: Shape, weights: dict[str, Tensor]) -> bytes:
    """Write one member's weights atomically; returns the file's bytes, so that the caller can hash them."""
    content = weights_bytes(shape, weights)
    write_atomically(path, content)
    return content


def load_weights(path: Path, *, tokens: bool = False) -> tuple[Shape, dict[str, Tensor]]:
    """One member's shape and weights; MdlError for a file that is not such a one, or of tokens unless `tokens`."""
    try:
        if path.exists() and not path.is_file():
            raise MdlError(f"{path} is not a plain file; name a .safetensors file")
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        shape = Shape(**json.loads(metadata["mdl"])["shape"])
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            raise MdlError(f"{path} cannot be read ({error.strerror or error})") from None
        raise MdlError(f"no weights at {path}") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise MdlError(f"{path} does not hold weights that mdl wrote ({error})") from None
    if not tokens:
        shape.require_bytes("archives, packing and generating")
    told = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if len(told) != 2 + 6 * shape.depth or told != weight_shapes(shape):  # the count first: a forged depth has no end
        raise MdlError(f"{path}: the weights do not fit the shape {shape.label} that the file names")
    for name, tensor in weights.items():
        if tensor.dtype != float32:
            raise MdlError(f"{path}: {name} is {tensor.dtype}, and mdl writes float32")
    return shape, weights
