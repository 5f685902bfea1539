"""Stacked weights (M, …) as the matrices (M, in, out) that are quantised, and back: `weight_codec`'s, in torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from mdl.models import Shape, require_coded
from mdl.quantization.weight_codec import VECTORS, matrix_shapes, vector_names


def stacked_matrices(shape: Shape, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The matrices of `matrix_shapes`, in that order, gains multiplied into what follows them."""
    matrices = {"embedding": torch.cat([weights["embedding"], weights["start"][:, None]], dim=1).mT}
    if sizes := vector_names(shape):
        joined = torch.cat([weights[name].flatten(1) for name in sizes], dim=1)
        n_in, n_out = matrix_shapes(shape)[VECTORS]
        matrices[VECTORS] = F.pad(joined, (0, n_in * n_out - joined.shape[1])).view(-1, n_out, n_in).mT
    for k in range(shape.depth):
        for of in require_coded(shape).layer:
            matrix = weights[f"{of.name}_{k}"]
            matrices[f"{of.name}_{k}"] = matrix * weights[f"{of.gain}_{k}"][:, :, None] if of.gain else matrix
    return matrices


def stacked_weights(shape: Shape, matrices: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The stacked weights of a model with these matrices, but for its gains, which are then 1."""
    embedding = matrices["embedding"].mT
    rest = {name: matrix for name, matrix in matrices.items() if name not in ("embedding", VECTORS)}
    if sizes := vector_names(shape):
        joined = matrices[VECTORS].mT.flatten(1)
        parts = torch.split(joined[:, : sum(sizes.values())], list(sizes.values()), dim=1)
        rest |= dict(zip(sizes, parts, strict=True))
    return {"embedding": embedding[:, :-1], "start": embedding[:, -1], **rest}
