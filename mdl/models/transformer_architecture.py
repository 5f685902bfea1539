"""The Transformer as an architecture: what its shapes cost, without torch, and where its parts are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mdl.models.architecture import (
    Architecture,
    CodedMatrices,
    CodedMatrix,
    ExactPasses,
    FastParts,
    add_architecture,
    usual_training_bytes,
)
from mdl.models.shape import TRANSFORMER, Shape

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from mdl.models.stacked_model import StackedModel


def count_params(shape: Shape) -> dict[str, int]:
    """Parameters by group. The output head is the embedding (tied), counted once."""
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
    return groups


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
    """Estimated memory of training one member, bytes."""
    return usual_training_bytes(shape, batch_windows, sum(count_params(shape).values()))


def _weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    from mdl.models.transformer import weight_shapes

    return weight_shapes(shape)


def _make(shape: Shape, seeds: Sequence[int]) -> StackedModel:
    from mdl.models.transformer import StackedTransformer

    return StackedTransformer(shape, seeds)


def _stack(shape: Shape, members: Sequence[Mapping[str, Tensor]]) -> StackedModel:
    from mdl.models.transformer import stack

    return stack(shape, members)


def _training_parts(shape: Shape, products: dtype | None) -> Any:
    from mdl.models.transformer_parts import training_parts

    return training_parts(shape, products)


def _measuring_parts(shape: Shape, n_bytes: int, half: bool) -> Any:
    from mdl.models.transformer_parts import measuring_parts

    return measuring_parts(shape, n_bytes, half=half)


def _parallel(model: Any, windows_BT: Tensor, n_last: int | None) -> Tensor:
    from mdl.models.float64_parallel import parallel_logits

    return parallel_logits(model, windows_BT, n_last)


def _stepwise(model: Any, n_windows: int, length: int) -> Any:
    from mdl.models.float64_stepwise import Stepper

    return Stepper(model, n_windows, length)


def _vectors(shape: Shape) -> dict[str, int]:
    """A row each are the smear and every layer's query gains; then all value mixes."""
    if shape.block == 1:
        return {}
    mixes = {f"value_mix_{k}": 1 for k in range(1, shape.depth)}
    return {"smear": shape.width, **{f"query_gain_{k}": shape.width for k in range(shape.depth)}, **mixes}


add_architecture(
    TRANSFORMER,
    Architecture(
        count_params=count_params,
        forward_flops_per_byte=forward_flops_per_byte,
        training_bytes=training_bytes,
        weight_shapes=_weight_shapes,
        count_weights=count_weights,
        make=_make,
        stack=_stack,
        n_blocks=2,
        reads_tokens=True,
        coded=CodedMatrices(
            layer=(
                CodedMatrix("qkv", 1, 3, gain="attention_gain"),
                CodedMatrix("out", 1, 1),
                CodedMatrix("up", 1, 4, gain="mlp_gain"),
                CodedMatrix("down", 4, 1),
            ),
            vectors=_vectors,
        ),
        fast_parts=FastParts(training=_training_parts, measuring=_measuring_parts),
        exact=ExactPasses(parallel=_parallel, stepwise=_stepwise),
    ),
)
