"""minGRU as an architecture: what its shapes cost, without torch, and where its parts are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mdl.models.architecture import (
    Architecture,
    CodedMatrices,
    CodedMatrix,
    ExactPasses,
    add_architecture,
    usual_training_bytes,
)
from mdl.models.shape import Shape

if TYPE_CHECKING:
    from torch import Tensor

    from mdl.models.stacked_model import StackedModel


def count_params(shape: Shape) -> dict[str, int]:
    """Parameters by group. The output head is the embedding (tied), counted once."""
    C, L = shape.width, shape.depth
    return {
        "embedding": shape.vocabulary * C,
        "start": C,
        "recurrence": L * 3 * C * C,
        "mlp": L * 8 * C * C,
        "norm": L * 2 * C,
        "mixing": C + L * C,
    }


def forward_flops_per_byte(shape: Shape) -> float:
    """Products alone: the scan takes 3·C·log2 T a layer, which is little beside 22·C²."""
    C, L = shape.width, shape.depth
    return 2.0 * (L * 11 * C * C + shape.vocabulary * C)


def training_bytes(shape: Shape, batch_windows: int) -> int:
    """As usual, the scan's activations among the others."""
    return usual_training_bytes(shape, batch_windows, sum(count_params(shape).values()))


def _weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    from mdl.models.mingru import weight_shapes

    return weight_shapes(shape)


def _make(shape: Shape, seeds: Sequence[int]) -> StackedModel:
    from mdl.models.mingru import StackedMinGru

    return StackedMinGru.from_seeds(shape, seeds)


def _stack(shape: Shape, members: Sequence[Mapping[str, Tensor]]) -> StackedModel:
    from mdl.models.mingru import StackedMinGru

    return StackedMinGru(shape, members)


def _parallel(model: Any, windows_BT: Tensor, n_last: int | None) -> Tensor:
    from mdl.models.mingru_stepwise import parallel_logits

    return parallel_logits(model, windows_BT, n_last)


def _stepwise(model: Any, n_windows: int, length: int) -> Any:
    from mdl.models.mingru_stepwise import MinGruStepper

    return MinGruStepper(model, n_windows, length)


def _vectors(shape: Shape) -> dict[str, int]:
    return {"smear": shape.width, **{f"gate_bias_{k}": shape.width for k in range(shape.depth)}}


add_architecture(
    "mingru",
    Architecture(
        count_params=count_params,
        forward_flops_per_byte=forward_flops_per_byte,
        training_bytes=training_bytes,
        weight_shapes=_weight_shapes,
        count_weights=lambda shape: 3 + 7 * shape.depth,
        make=_make,
        stack=_stack,
        reads_tokens=True,
        exact=ExactPasses(parallel=_parallel, stepwise=_stepwise),
        coded=CodedMatrices(
            layer=(
                CodedMatrix("gates", 1, 2, gain="mixing_gain"),
                CodedMatrix("out", 1, 1),
                CodedMatrix("up", 1, 4, gain="mlp_gain"),
                CodedMatrix("down", 4, 1),
            ),
            vectors=_vectors,
        ),
    ),
)
