"""An architecture of a user's own: a function from a shape to an ordinary torch module, trained like any other.

Put this into a file of your own and name it with --plugin (or import it in Python):

    import mdl
    from torch import nn

    class MyRnn(nn.Module):
        predicts = "next"  # row t is of byte t + 1; leave it out where row t is of byte t

        def __init__(self, width):
            super().__init__()
            self.embedding = nn.Embedding(256, width)
            self.rnn = nn.GRU(width, width, batch_first=True)
            self.head = nn.Linear(width, 256)

        def forward(self, windows):  # (B, T) int64 -> logits (B, T, 256)
            return self.head(self.rnn(self.embedding(windows))[0])

    mdl.register_architecture("my_rnn", lambda shape: MyRnn(shape.width))

Then a sweep file may say `model.architecture: my_rnn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mdl.errors import MdlError
from mdl.models.architecture import Architecture, ExactPasses, add_architecture
from mdl.models.shape import Shape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mdl.models.own_module import OwnModule
    from mdl.models.stacked_model import StackedModel

Make = Callable[[Shape], "nn.Module"]


def _parallel(model: Any, windows_BT: Tensor, n_last: int | None) -> Tensor:
    from mdl.models.prefix_stepper import parallel_logits

    return parallel_logits(model, windows_BT, n_last)


def _stepwise(model: Any, n_windows: int, length: int) -> Any:
    from mdl.models.prefix_stepper import PrefixStepper

    return PrefixStepper(model, n_windows, length)


def register_architecture(
    name: str,
    make: Make,
    *,
    flops_per_byte: Callable[[Shape], float] | None = None,
    training_bytes: Callable[[Shape, int], int] | None = None,
) -> None:
    """Add an architecture of your own, for `model.architecture` in a sweep.

    Parameters
    ----------
    name
        Small letters, digits and underscores.
    make
        From a shape, of which a module may use `width`, `depth`, `n_heads` and `context_tokens` (T), to an untrained
        torch.nn.Module. It maps windows, int64 (B, T), to logits or natural log-probabilities (B, T, 256): row t is the
        distribution of byte t given the bytes before it, and row 0 sees nothing. Its attributes may say otherwise:
        ``predicts = "next"`` (row t is of byte t + 1: rows are shifted, and a window's first byte is coded by `first`),
        ``first`` ((256,) probabilities; else uniform, 8 bits), ``returns = "probabilities"``. Torch's seed is set
        before it is called, so that a member's initial weights follow from its seed.
    flops_per_byte
        Floating point operations to predict one byte of a full window; None: counted in a forward pass.
    training_bytes
        Memory of training one member on so many windows a step, bytes; None: measured in a forward pass.

    Returns
    -------
    None

    Raises
    ------
    MdlError
        For a name that is taken, or is no name.

    Examples
    --------
    >>> import torch
    >>> def order_0(shape):
    ...     module = torch.nn.Embedding(1, 256)                       # the same logits at every place
    ...     module.forward = lambda windows: module.weight[0].expand(*windows.shape, 256)
    ...     return module
    >>> mdl.register_architecture("order_0", order_0)
    """
    if not callable(make):
        raise MdlError(f"architecture '{name}': make is no function; give one from a shape to a torch.nn.Module")

    def module(shape: Shape) -> OwnModule:
        from mdl.models.own_module import own_module

        return own_module(name, make, shape)

    def weight_shapes(shape: Shape) -> Mapping[str, tuple[int, ...]]:
        return {kept: tuple(tensor.shape) for kept, tensor in module(shape).build(0)[1].items()}

    def stacked(shape: Shape, members: Sequence[Mapping[str, Tensor]]) -> StackedModel:
        from mdl.models.stacked_modules import StackedModules

        return StackedModules(shape, module(shape), members)

    def made(shape: Shape, seeds: Sequence[int]) -> StackedModel:
        return stacked(shape, [module(shape).build(seed)[1] for seed in seeds])

    def flops(shape: Shape) -> float:
        return flops_per_byte(shape) if flops_per_byte else module(shape).flops_per_byte

    add_architecture(
        name,
        Architecture(
            count_params=lambda shape: module(shape).n_params_by_group,
            forward_flops_per_byte=flops,
            training_bytes=training_bytes or (lambda shape, n: module(shape).training_bytes(n)),
            weight_shapes=weight_shapes,
            count_weights=lambda shape: len(weight_shapes(shape)),
            make=made,
            stack=stacked,
            exact=ExactPasses(
                parallel=_parallel,
                stepwise=_stepwise,
                decoding_flops_per_byte=lambda shape: flops(shape) * shape.context_tokens,
            ),
            own_module=module,
        ),
    )
