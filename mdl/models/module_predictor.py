"""An ordinary torch module as a function of windows, left as it was found."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mdl.errors import MdlError
from mdl.models.distribution_rows import Bytes, Predict

if TYPE_CHECKING:
    import torch


def is_module(thing: object) -> bool:
    """Is it a torch.nn.Module? Without importing torch where nobody has."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


def require_values(module: torch.nn.Module) -> None:
    """MdlError for weights that are not there yet, or are no tensors."""
    from torch import Tensor
    from torch.nn.parameter import is_lazy

    kept, name = module.state_dict(keep_vars=True).values(), type(module).__name__
    if not all(isinstance(tensor, Tensor) for tensor in kept):
        raise MdlError(
            f"{name} keeps an extra state beside parameters and buffers (get_extra_state); N cannot count it"
        )
    if any(is_lazy(tensor) for tensor in kept):
        raise MdlError(f"{name} has lazy layers, whose shapes are not known yet; run it once on a window first")
    if any(tensor.is_meta for tensor in kept):
        raise MdlError(f"{name} has weights on the meta device, without values; load them first")


def module_params(module: torch.nn.Module) -> int:
    """N: the numbers of parameters and persistent buffers, a complex one as two, each storage once in spite of names.

    MdlError where they are not there, or there are none.
    """
    require_values(module)
    kept = {**module.state_dict(keep_vars=True)}
    storages = {t.untyped_storage().data_ptr(): (t.untyped_storage().nbytes(), t) for t in kept.values() if t.numel()}
    if not storages:
        raise MdlError("it has no parameters and no buffers, and N is 1 at the least")
    return sum((2 if t.is_complex() else 1) * n_bytes // t.element_size() for n_bytes, t in storages.values())


def module_predict(module: torch.nn.Module) -> Predict:
    """In eval mode, without gradients, from windows (B, T) as int64 on the module's device; modes are put back."""
    import torch

    weight = next(iter([*module.parameters(), *module.buffers()]), None)
    device = torch.device("cpu") if weight is None else weight.device

    def predict(windows: Bytes) -> Any:
        modes = [(part, part.training) for part in module.modules()]
        module.eval()
        try:
            with torch.inference_mode():
                return module(torch.from_numpy(np.ascontiguousarray(windows)).to(device))
        finally:
            for part, was_training in modes:
                part.training = was_training

    return predict


@contextmanager
def without_warnings() -> Iterator[None]:
    """Within, what libraries say of speed or of versions to come is not told: nobody here can heed it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
