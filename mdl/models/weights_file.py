"""One member's weights as a safetensors file, its shape in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, float32

from mdl.errors import MdlError
from mdl.models.architecture import architecture_of, count_weights, plugin_of, require_plugin, weight_shapes
from mdl.models.shape import Shape
from mdl.storage import write_atomically


def weights_bytes(shape: Shape, weights: dict[str, Tensor]) -> bytes:
    """One member as a safetensors file, its shape in the metadata, and the SHA-256 of the plugin that it depends on.

    Metadata of one key: safetensors writes several in a random order, and equal weights would not be equal bytes.
    """
    told = {"format": 1, "shape": shape.told()} | ({"plugin": plugin} if (plugin := plugin_of(shape)) else {})
    metadata = {"mdl": json.dumps(told, sort_keys=True)}
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
        told = json.loads(metadata["mdl"])
        shape, plugin = Shape.from_told(told["shape"]), told.get("plugin")
    except FileNotFoundError:
        raise MdlError(f"no weights at {path}") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.strerror and not path.is_dir():
            raise MdlError(f"{path} cannot be read ({error.strerror})") from None
        raise MdlError(f"{path} does not hold weights that mdl wrote: it is {_what_it_is(path, error)}") from None
    require_plugin(shape, plugin if isinstance(plugin, str) else None, str(path))
    if not tokens:
        shape.require_bytes("archives, packing and generating")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if len(shapes) != count_weights(shape) or shapes != weight_shapes(shape):  # a forged depth has no end
        raise MdlError(f"{path}: the weights do not fit the shape {shape.label} that the file names")
    for name, tensor in weights.items():
        if tensor.dtype != float32 and not architecture_of(shape).own_module:  # which may keep counts
            raise MdlError(f"{path}: {name} is {tensor.dtype}, and mdl writes float32")
    return shape, weights


# How files of weights begin, and what they are. A pickle's first byte is the same whatever it holds.
_BEGIN = {
    b"GGUF": "a GGUF file of llama.cpp",
    b"PK\x03\x04": "a zip archive, as torch.save (.pt, .bin, .ckpt) or NumPy (.npz) writes it",
    b"\x80": "a pickle (.pt, .bin, .pkl), which can run code",
    b"\x89HDF": "an HDF5 file, as Keras writes it",
    b"\x93MDL": "an archive of mdl, not weights; mdl decompress reads it",
    b"\x93MDH": "an archive of mdl, not weights; mdl decompress reads it",
}


def _what_it_is(path: Path, error: Exception) -> str:
    """What a stranger's file is, and through which door it comes in, in words."""
    if path.is_dir():
        return f"a folder; a model of transformers in it is hf:{path}"
    begin = _begin_of(path)
    kind = next((what for magic, what in _BEGIN.items() if begin.startswith(magic)), None)
    door = (
        "mdl reads its own runs, models of transformers as hf:FOLDER (config.json, tokenizer, model.safetensors), and "
        "any other as py:NAME with --plugin FILE.py (mdl.register_model)"
    )
    if kind:
        return kind if "mdl decompress" in kind else f"{kind}; {door}"
    try:
        with safe_open(path, framework="np") as stored:
            names, foreign = sorted(stored.keys()), "mdl" not in (stored.metadata() or {})
    except (SafetensorError, OSError):
        cut = "empty" if not begin else "no file of weights that is known here, or one cut short"
        return f"{cut} ({' '.join(str(error).split())[:80]}); {door}"
    if not foreign:
        return f"a safetensors file of mdl with damaged metadata ({' '.join(str(error).split())[:80]}); copy it again"
    beside = (path.parent / "config.json").is_file()
    way = f"give hf:{path.parent}" if beside else door
    first = f", {names[0]} the first" if names else ""
    return f"another program's safetensors file ({len(names)} tensors{first}); {way}"


def _begin_of(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(4)
