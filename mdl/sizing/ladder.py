"""Shapes by name as what `analysis.next_cells` may suggest."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.next_cells import Rung
from mdl.models import Shape, count_params, forward_flops_per_byte, parse_size


def rungs(names: Sequence[str], context_bytes: int) -> list[Rung]:
    """Of shapes such as "16x2", ascending in parameters: what each costs, with windows of so many bytes."""
    shapes = [Shape(*parse_size(name), context_tokens=context_bytes) for name in names]
    return [Rung(s.label, count_params(s)["total"], 3.0 * forward_flops_per_byte(s)) for s in shapes]
