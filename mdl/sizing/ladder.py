"""Shapes by name as what `analysis.next_cells` may suggest."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.next_cells import Rung
from mdl.models import Shape, architecture_named, count_params, forward_flops_per_byte, parse_size

_MOST_BUILT_PARAMS = 5_000_000

_APART = 1.7  # beyond an edge, from one shape to the next


def rungs(names: Sequence[str], architecture: str, context_bytes: int, recipe: int = 1) -> list[Rung]:
    """Of shapes such as "16x2", ascending in parameters: what each costs, with windows of so many bytes."""
    found, block = [], min(recipe, architecture_named(architecture).n_blocks)
    for name in countable(names, architecture):
        shape = Shape(*parse_size(name), context_tokens=context_bytes, block=block, architecture=architecture)
        found.append(Rung(name, count_params(shape)["total"], 3.0 * forward_flops_per_byte(shape)))
    return sorted(found, key=lambda rung: rung.n_params)


def countable(names: Sequence[str], architecture: str) -> list[str]:
    """Those whose parameters can be counted: a user's own module is built for it, so no Transformer of over 5 M."""
    if not architecture_named(architecture).own_module:
        return list(names)
    sizes = {name: count_params(Shape(*parse_size(name), context_tokens=2))["total"] for name in names}
    return [name for name, n_params in sizes.items() if n_params <= _MOST_BUILT_PARAMS]


def coarse(names: Sequence[str], architecture: str, edge: float) -> list[str]:
    """Of ascending shapes those that lie ever further apart from a number of parameters, up and down."""
    sizes = [(rung.n_params, rung.label) for rung in rungs(names, architecture, 2)]
    kept = []
    for side in (
        sorted(pair for pair in sizes if pair[0] > edge),
        sorted(pair for pair in sizes if pair[0] < edge)[::-1],
    ):
        last = edge
        for n, name in side:
            if max(n / last, last / n) >= _APART:
                kept.append((n, name))
                last = n
    return [name for _, name in sorted(kept)]
