"""A compressor by its name, or by the folder of a trained model."""

from __future__ import annotations

from pathlib import Path

from mdl.compressors.registry import REGISTRY, Compressor, get


def compressor(name: str | Path) -> Compressor:
    """Anything that makes bytes fewer and gives them back: a classical coder, or a model of any kind.

    Parameters
    ----------
    name
        gzip, xz, ppmd …; a run's folder or a .safetensors file of this toolkit; `hf:FOLDER_OR_NAME` for a causal
        language model that transformers reads.

    Returns
    -------
    Compressor
        `compress(data: bytes) -> bytes`, `decompress(data: bytes) -> bytes`, `name`, `settings`, `version`.

    Raises
    ------
    MdlError
        For a name that is none of these, naming the nearest.

    Examples
    --------
    >>> coder = mdl.compressor("gzip")
    >>> coder.decompress(coder.compress(b"to be or not to be")) == b"to be or not to be"
    True
    >>> mdl.compressor("gzop")
    Traceback (most recent call last):
    mdl.errors.UnknownNameError: unknown coder 'gzop'; did you mean 'gzip'? ...
    """
    word = str(name)
    if word not in REGISTRY and (isinstance(name, Path) or word.endswith(".safetensors") or Path(word).is_dir()):
        return get(f"model:{word}")
    return get(word)
