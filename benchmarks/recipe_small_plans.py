"""Plans of `benchmarks.recipe_probe` for the smallest models, which a CPU trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.recipe_job import Job, Member
from benchmarks.recipe_plans import SEEDS, together

_TABLES = {  # shapes of the smallest, and what may stand for their embedding
    "4x1": (2,), "6x1": (3, 4), "8x1": (2, 4, 6), "12x2": (4, 8), "16x2": (4, 8, 12), "24x2": (8,),
}  # fmt: skip


_ON_A_CPU = Member(
    name="plain", subset_bytes=100_000, weight_decay=0.1, matrix_rate=0.03, rest_scale=3, decay_start=0.7,
    warmup_steps=150, switches=together("SQKV"),
)  # fmt: skip


def embeddings() -> list[Job]:
    """Tables of low rank, or of a byte's halves, for widths where the embedding is most of the model; on a CPU."""
    jobs = []
    for size, ranks in _TABLES.items():
        tables = {"plain": {}, "nibbles": {"nibbles": 1.0}} | {f"rank {r}": {"rank": float(r)} for r in ranks}
        members = [
            replace(_ON_A_CPU, name=n, seed=s, switches=together("SQKV") | own)
            for n, own in tables.items()
            for s in SEEDS
        ]
        jobs.append(
            Job(
                name=f"embeddings-{size}",
                size=size,
                steps=3000,
                members=tuple(members),
                batch_windows=4,
                context_bytes=256,
            )
        )
    return jobs


def constant() -> list[Job]:
    """Averages of the weights in place of a falling rate, other batches, and longer windows."""
    one = replace(_ON_A_CPU, name="falls", subset_bytes=1_000_000)
    flat = [replace(one, name=f"constant, average {n}", decay_start=1.0, average_steps=n) for n in (0, 50, 150, 500)]
    ways = [one, replace(one, name="falls, average 50", average_steps=50), *flat]
    jobs = []
    for size in ("8x1", "16x2"):
        base = Job(name=f"constant-{size}", size=size, steps=3000, members=(), batch_windows=4, context_bytes=256)
        jobs.append(replace(base, members=tuple(replace(m, seed=s) for m in ways for s in SEEDS)))
        for windows, context in ((1, 256), (2, 256), (8, 256), (2, 512), (1, 1024)):
            steps, name = 3000 * 1024 // (windows * context), f"{windows} of {context}"
            named = tuple(replace(one, name=name, seed=s, warmup_steps=steps // 20) for s in SEEDS)
            jobs.append(
                replace(
                    base,
                    name=f"constant-{size}-{windows}x{context}",
                    steps=steps,
                    members=named,
                    batch_windows=windows,
                    context_bytes=context,
                )
            )
    return jobs


SMALL_PLANS: dict[str, Callable[[str], list[Job]]] = {
    "embeddings": lambda _: embeddings(),
    "constant": lambda _: constant(),
}
