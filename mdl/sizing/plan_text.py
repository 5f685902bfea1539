"""A plan in words, before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.formatting import format_count
from mdl.units import counted, format_bytes, format_seconds

if TYPE_CHECKING:
    from mdl.sizing.going_on import GoingOn
    from mdl.sizing.plan import Data, SizePlan


def reading(data: Data) -> str:
    """What was read, and what bytes it became."""
    return data.read or f"one file → {format_bytes(data.size_bytes)} as they lie"


def plan_lines(plan: SizePlan) -> list[str]:
    """Of the first round."""
    if plan.seconds > plan.budget_seconds:
        limit = f"longer than the {format_seconds(plan.budget_seconds)} that there are, which may be enough for none"
    else:
        limit = f"at most {format_seconds(plan.budget_seconds)} in all"
    return [
        *_shared(plan),
        f"{_models(plan)}; about {format_count(plan.expected)} are expected",
        f"training {plan.steps:,} steps, {format_bytes(plan.bytes_seen)} seen: {format_count(plan.passes)} passes "
        "of the largest subset to begin with",
        f"time     about {format_seconds(plan.seconds)} to the first answer, {limit}, {_processes(plan)}",
    ]


def going_on_lines(plan: GoingOn) -> list[str]:
    """Of a search that was begun before."""
    left = len(plan.cells) - plan.n_done
    then = "the rest comes first" if left else "others follow where they narrow the answer"
    return [
        *_shared(plan),
        _models(plan),
        f"training up to {plan.steps:,} steps; {plan.n_done:,} of {counted(len(plan.cells), 'cell')} done, {then}",
        f"time     at most {format_seconds(plan.budget_seconds)} more, {_processes(plan)}",
    ]


def _shared(plan: SizePlan | GoingOn) -> list[str]:
    data = plan.data
    return [
        f"data     {data.source}: {format_bytes(data.size_bytes)} of {data.modality}, "
        f"{counted(data.n_documents, 'document')}",
        *([f"read     {data.read}"] if data.read else []),
        f"subsets  {', '.join(format_bytes(d) for d in plan.subsets)}",
    ]


def _models(plan: SizePlan | GoingOn) -> str:
    least, most = (plan.setting.n_params(size) for size in (plan.sizes[0], plan.sizes[-1]))
    return f"models   {len(plan.sizes)} of {least:,} to {most:,} parameters ({', '.join(plan.sizes)})"


def _processes(plan: SizePlan | GoingOn) -> str:
    n = plan.setting.n_workers
    return f"{n} {'process' if n == 1 else 'processes'}"
