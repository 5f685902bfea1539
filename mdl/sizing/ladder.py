"""Shapes by name as what `analysis.next_cells` may suggest."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.next_cells import Rung
from mdl.models import Shape, count_params, forward_flops_per_byte, parse_size

_APART = 1.7  # beyond an edge, from one shape to the next


def rungs(names: Sequence[str], context_bytes: int) -> list[Rung]:
    """Of shapes such as "16x2", ascending in parameters: what each costs, with windows of so many bytes."""
    shapes = [Shape(*parse_size(name), context_tokens=context_bytes) for name in names]
    return [Rung(s.label, count_params(s)["total"], 3.0 * forward_flops_per_byte(s)) for s in shapes]


def coarse(names: Sequence[str], edge: float) -> list[str]:
    """Of ascending shapes those that lie ever further apart from a number of parameters, up and down."""
    sizes = [(rung.n_params, rung.label) for rung in rungs(names, 2)]
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
