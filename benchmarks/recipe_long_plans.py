"""Plans of `benchmarks.recipe_probe` about bytes seen: a wide shape for longer, batches, contexts, layers passed again.

All with the block SQKV, Muon on matrices and AdamW on the rest, decay .1 from .7 of the steps on. Rates are recipe 2's
for the shape (`mdl/optimizers/muon.py`; recipe_log.md, sections 5, 10 and 12): Muon .03 · min(1, (64 / (C·L))^⅓), and
AdamW's in proportion to it, three times the table where Muon's is .03. A factor is one on both.

The jobs of a plan see equally many bytes, and a seed's windows of one length come in the same order whatever the batch.
A job's name says plan, shape, windows a step x their bytes, and steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.recipe_job import Job, Member
from benchmarks.recipe_plans import SEEDS, together
from mdl.models import parse_size
from mdl.optimizers import OPTIMIZERS

_AS_USUAL = 32 * 1024  # bytes a step of the table of rates, whose warm-up is 200 steps
_SHORT = 3000 * _AS_USUAL  # bytes seen: 98 MB
_LONG = 8000 * _AS_USUAL  # 262 MB
_SMALL = {"16x2": (32, 16, 8, 4), "32x2": (32, 16, 8), "64x2": (32, 16, 8)}  # windows a step
_FACTORS = (0.5, 0.7, 1, 1.4)
_LOOPS = {"16x2": (1, 2, 3), "64x2": (1, 2, 3), "64x4": (1, 2), "16x4": (1,)}

# What may take .7 % off 192x4 after 262 MB, each alone and the likeliest together.
_FAR: dict[str, dict[str, Any]] = {
    "final rate 0": {"final_lr_fraction": 0.0},
    "decay_start .5": {"decay_start": 0.5},
    "decay_start .3": {"decay_start": 0.3},
    "momentum .98": {"momentum": 0.98},
    "decay .03": {"weight_decay": 0.03},
    "decay_start .5, final rate 0, average 50": {"decay_start": 0.5, "final_lr_fraction": 0.0, "average_steps": 50},
}


def _at_the_rule(size: str, subset_bytes: int, factor: float = 1) -> Member:
    """Recipe 2's training of a shape, both rates times a factor."""
    width, depth, _ = parse_size(size)
    rate = OPTIMIZERS["muon"].learning_rate(width, depth, 2) * factor
    return Member(
        name="plain" if factor == 1 else f"rates x {factor}", subset_bytes=subset_bytes, matrix_rate=rate,
        rest_scale=3 * rate / 0.03, weight_decay=0.1, decay_start=0.7, switches=together("SQKV"),
    )  # fmt: skip


def _seeded(members: Iterable[Member], seeds: Sequence[int] = SEEDS) -> tuple[Member, ...]:
    return tuple(replace(m, seed=s) for m in members for s in seeds)


def _job(name: str, size: str, *, bytes_seen: int, members: Sequence[Member], windows: int = 32, **how: Any) -> Job:
    """So many bytes in steps of so many windows; the warm-up is as many bytes whatever the batch."""
    context = how.get("context_bytes", 1024)
    steps, warmup = bytes_seen // (windows * context), 200 * _AS_USUAL // (windows * context)
    warmed = tuple(replace(m, warmup_steps=warmup) for m in members)
    name = f"{name}-{size}-{windows}x{context}-{steps}"
    return Job(name=name, size=size, steps=steps, members=warmed, batch_windows=windows, **how)


def far() -> list[Job]:
    """192x4 after 262 MB: what takes its own code, 16.62 to 16.65 % as it is, to recipe 1's after 786 MB, 16.51?"""
    plain, seven, half = (_at_the_rule("192x4", 80_000_000, factor) for factor in (1, 0.7, 0.5))
    ways = (*_seeded([plain], (0, 1)), *(replace(plain, name=n, **changes) for n, changes in _FAR.items()))
    return [
        _job("far", "192x4", bytes_seen=_LONG, members=ways),
        _job("far", "192x4", bytes_seen=_LONG, members=(half, seven), windows=8),
        _job("far", "192x4", bytes_seen=_LONG, members=(plain, seven), windows=16),
        _job("far", "192x4", bytes_seen=_LONG, members=_seeded([plain], (0, 1)), windows=16, context_bytes=2048),
    ]


def batches() -> list[Job]:
    """10 to 115 K parameters, small batches at rates of their own: 98 MB seen of 10 MB; most steps first."""
    jobs = []
    for size, batch in _SMALL.items():
        members = _seeded(replace(_at_the_rule(size, 10_000_000, x), name="rates") for x in _FACTORS)
        jobs += [_job("batches", size, bytes_seen=_SHORT, members=members, windows=w) for w in batch]
    return sorted(jobs, key=lambda job: -job.steps)


def contexts() -> list[Job]:
    """Windows of 2,048, 1,024 and 512 bytes, as many bytes a step: 98 MB seen of 10 MB.

    What is told is the mean over a window's bytes, and a longer window gives its later bytes more to look back on: the
    rates of two lengths differ by that as well as by what was learned. That is the question, what a window's length is
    worth at one number of parameters; it is no measure of training. The held-out part is measured whole at each length,
    the subset on as many bytes in other places: compare held-out rates.
    """
    return [
        _job("contexts", size, bytes_seen=_SHORT, members=members, windows=_AS_USUAL // context, context_bytes=context)
        for size in ("64x4", "16x2")
        for members in [_seeded([_at_the_rule(size, 10_000_000)])]
        for context in (2048, 1024, 512)
    ]


def loops() -> list[Job]:
    """Layers passed one to three times, and deeper shapes of as much arithmetic: 98 MB seen of 10 MB."""
    asked = [(size, n, _seeded([_at_the_rule(size, 10_000_000)])) for size, passes in _LOOPS.items() for n in passes]
    return [_job(f"loops{n}", size, bytes_seen=_SHORT, members=members, loops=n) for size, n, members in asked]


LONG_PLANS: dict[str, Callable[[str], list[Job]]] = {
    "far": lambda _: far(),
    "batches": lambda _: batches(),
    "contexts": lambda _: contexts(),
    "loops": lambda _: loops(),
}
