"""Trained models of a user's own, by name: py:NAME in `mdl evaluate`, `mdl baselines --model` and `mdl generate`.

To add one, register it in a file of its own and name that file with --plugin (or import it in Python):

    import mdl

    def load():
        return mdl.Predictor(predict, n_params=48_000, predicts="next")  # or a torch.nn.Module

    mdl.register_model("lstm", load, files=["lstm.pt"])

A function of a plugin that is not registered, py:load, is taken as one that names no files.

What such a model is, is told by its plugin and by the files that it names. Where it names none, nobody can tell whether
it has changed: then it is measured whenever that is asked for, and its result is part of its record's name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdl.errors import MdlError, one_line
from mdl.models import Predictor, is_module, module_params, module_predict
from mdl.plugins import function_of_plugin
from mdl.records import Registry
from mdl.storage import cache_folder, digest, sha256_of

if TYPE_CHECKING:
    import torch

OWN_PREFIX = "py:"
Load = Callable[[], Any]  # a Predictor, or a torch.nn.Module


@dataclass(frozen=True)
class Registration:
    """How a model is loaded, and the files that it reads for it."""

    load: Load
    files: tuple[Path, ...]


MODELS: Registry[Registration] = Registry("model", {})


def register_model(name: str, load: Load, *, files: Iterable[str | Path] = ()) -> None:
    """Add a trained model of your own, for py:NAME in `mdl evaluate`, `mdl baselines --model` and `mdl generate`.

    Parameters
    ----------
    name
        What follows py:, of letters, digits, dots, dashes and underscores.
    load
        A function without arguments that returns a `mdl.Predictor`, or a torch.nn.Module; of that the attributes
        `predicts`, `returns`, `first` and `context_bytes` say what a Predictor's do; without `returns` its rows are
        logits or log-probabilities.
    files
        The files that hold the weights. Their SHA-256 enters the record's name, their bytes are the price `file`, and
        a measurement on disk is not made again while they and the plugin stay the same.

    Returns
    -------
    None

    Raises
    ------
    MdlError
        For a name that is taken, or is no name.

    Examples
    --------
    >>> uniform = mdl.Predictor(lambda windows: np.full((*windows.shape, 256), 1 / 256), n_params=1)
    >>> mdl.register_model("uniform", lambda: uniform)
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise MdlError(f"a model's name is of letters, digits, dots, dashes and underscores; got '{name}'")
    if not callable(load):
        raise MdlError(f"model '{name}': load is not a function; give one without arguments that returns the model")
    listed = [files] if isinstance(files, str | Path) else files
    MODELS.register(name, Registration(load, tuple(Path(file).expanduser() for file in listed)))


@dataclass(frozen=True, kw_only=True)
class OwnModel:
    """A model of a user's own, ready to be tried and measured."""

    spec: str  # as given: py:NAME, or the name alone of one that is measured from Python
    predictor: Predictor
    plugin_sha256: str | None = None  # of the file that registered it
    files_sha256: str | None = None  # of what it reads; None: not told
    file_bytes: int | None = None

    @property
    def name(self) -> str:
        """For people and file names."""
        return self.spec.removeprefix(OWN_PREFIX)

    @property
    def is_known(self) -> bool:
        """Do plugin and files tell all that it depends on?"""
        return self.plugin_sha256 is not None and self.files_sha256 is not None

    @property
    def fingerprint(self) -> str:
        """8 hex of what is known of it."""
        return digest([self.plugin_sha256, self.files_sha256])


def open_own_model(spec: str, device: torch.device | None = None, dtype: str | None = None) -> OwnModel:
    """The model of py:NAME, a module on `device` in `dtype` where given; MdlError where it cannot be loaded."""
    registered, plugin = _registered(spec)
    sha256, n_bytes = hash_files(spec, registered.files)
    try:
        made = registered.load()
    except MdlError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise MdlError(f"{spec} cannot be loaded ({reason})") from error
    if is_module(made):
        made = made.to(device=device, dtype=_torch_dtype(dtype)).eval()
    elif dtype is not None:
        raise MdlError(f"{spec} is a function and computes in a type of its own; leave --dtype out")
    return OwnModel(
        spec=spec,
        predictor=as_predictor(made, f"what load of {spec} returns"),
        plugin_sha256=plugin,
        files_sha256=sha256,
        file_bytes=n_bytes,
    )


def _registered(spec: str) -> tuple[Registration, str | None]:
    """What was registered under a name, else a plugin's function of that name; and the plugin's SHA-256."""
    name = spec.removeprefix(OWN_PREFIX)
    found = None if name in MODELS else function_of_plugin(name)
    if found:
        return Registration(found[0], ()), found[1]
    if not len(MODELS):
        raise MdlError(f"{spec}: no model is registered; name the file that does it, such as --plugin my_models.py")
    return MODELS[name], MODELS.plugin_of(name)


def as_predictor(made: Any, what: str) -> Predictor:
    """A Predictor as it is, a module by its attributes; MdlError naming `what` for anything else."""
    if isinstance(made, Predictor):
        return made
    if not is_module(made):
        raise MdlError(f"{what} is a {type(made).__name__}; want a mdl.Predictor or a torch.nn.Module")
    told = {n: getattr(made, n) for n in ("predicts", "returns", "first", "context_bytes") if hasattr(made, n)}
    told.setdefault("returns", "logits")  # as those of an architecture of one's own; logarithms stay what they are
    try:
        return Predictor(module_predict(made), n_params=module_params(made), **told)
    except MdlError as error:
        raise MdlError(f"{what}: {error}") from error


def hash_files(what: str, files: Iterable[Path]) -> tuple[str | None, int | None]:
    """SHA-256 of some files, and their bytes; None where there are none. MdlError where one cannot be read."""
    hashes, n_bytes = [], 0
    for path in files:
        try:
            hashes.append(sha256_of(path, cache_folder()))
            n_bytes += path.stat().st_size
        except OSError as error:
            raise MdlError(f"{what} reads {path}: {one_line(error)}") from None
    if not hashes:
        return None, None
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest(), n_bytes


def _torch_dtype(name: str | None) -> Any:
    if name is None:
        return None
    import torch

    from mdl.pretrained.model import DTYPES

    if name not in DTYPES:
        raise MdlError(f"unknown dtype '{name}' (there are {', '.join(DTYPES)})")
    return getattr(torch, name)
