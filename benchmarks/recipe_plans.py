"""What `benchmarks.recipe_probe` can be asked: jobs by the name of a plan. Every member names what it differs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.recipe_job import Job, Member

SEEDS = (0, 1, 2)

_BLOCKS: dict[str, dict[str, float]] = {
    "plain": {},
    "qk_norm": {"qk_norm": 1},
    "qk_norm+query_gain": {"qk_norm": 1, "query_gain": 1.5},
    "zero_init": {"zero_init": 1},
    "relu2": {"relu2": 1},
    "softcap15": {"softcap": 15},
    "value_residual": {"value_residual": 0.5},
    "input_residual": {"input_residual": 1},
    "no_gains": {"no_gains": 1},
    "final_gain": {"final_gain": 1},
    "output_bias": {"output_bias": 1},
    "embed_norm": {"embed_norm": 1},
    "smear1": {"smear": 1},
    "smear3": {"smear": 3},
    "key_shift": {"key_shift": 1},
    "key_shift_learned": {"key_shift": -0.5},
    "attention_shift": {"attention_shift": 0.0},
    "mlp_shift": {"mlp_shift": 0.0},
    "both_shifts": {"attention_shift": 0.0, "mlp_shift": 0.0},
    "rope1000": {"rope_base": 1000},
    "rope_half": {"rope_half": 1},
    "untied": {"untied": 1},
}
_FEWER = ("plain", "qk_norm", "zero_init", "relu2", "value_residual", "no_gains", "final_gain", "embed_norm", "smear1",
          "key_shift", "both_shifts", "rope1000", "input_residual")  # fmt: skip

# Changes that paid alone, by letters, together.
_LETTERS: dict[str, dict[str, float]] = {
    "S": {"smear": 1},
    "Q": {"qk_norm": 1, "query_gain": 1.5},
    "K": {"key_shift": 1},
    "V": {"value_residual": 0.5},
    "Z": {"zero_init": 1},
    "X": {"mlp_shift": 0.0},
    "R": {"rope_base": 1000},
    "H": {"rope_half": 1},
    "T": {"smear": 3},
}
_COMBINED = {
    "64x2": ("plain", "S", "SQ", "SQK", "SQV", "SQZ", "SQX", "SQR", "SQVZ", "SQKV"),
    "16x2": ("plain", "S", "SQ", "SQK", "SQV", "SQZ", "SQX", "SQR", "SQVZ", "SQKV"),
    "64x4": ("plain", "SQ", "SQK", "SQV", "SQR", "SQVZ", "SQKV"),
    "128x4": ("plain", "SQ", "SQVZ"),
}

_TRAINING: dict[str, dict[str, Any]] = {
    "plain": {},
    "decay .01": {"weight_decay": 0.01},
    "decay .1": {"weight_decay": 0.1},
    "momentum .9": {"momentum": 0.9},
    "momentum .98": {"momentum": 0.98},
    "betas .9 .99": {"betas": (0.9, 0.99)},
    "betas .8 .95": {"betas": (0.8, 0.95)},
    "decay_start .3": {"decay_start": 0.3},
    "decay_start .62": {"decay_start": 0.62},
    "decay_start .7": {"decay_start": 0.7},
    "decay_start .8": {"decay_start": 0.8},
    "warm-up 50": {"warmup_steps": 50},
    "final rate 0": {"final_lr_fraction": 0.0},
    "average 50": {"average_steps": 50},
}


def blocks() -> list[Job]:
    """Changes to the block, three seeds each, 1,500 steps."""
    jobs = []
    for size, names in (("64x2", tuple(_BLOCKS)), ("64x4", _FEWER), ("16x2", tuple(_BLOCKS))):
        members = tuple(Member(name=name, seed=s, switches=_BLOCKS[name]) for name in names for s in SEEDS)
        jobs.append(Job(name=f"blocks-{size}", size=size, steps=1500, members=members))
    return jobs


def optimizer() -> list[Job]:
    """AdamW by rate, and Muon by the rates of the matrices and of the rest, the block as it is, 1,500 steps."""
    jobs = []
    for size in ("64x4", "16x2", "64x2", "128x4"):
        seeds = (0,) if size == "128x4" else (0, 1)
        adamw = [
            Member(name="AdamW", seed=s, muon=False, rest_scale=x, weight_decay=0.01) for x in (1, 2, 4) for s in seeds
        ]
        rates = (0.01, 0.02, 0.04) if size != "16x2" else (0.01, 0.02, 0.04, 0.08)
        muon = [Member(name="Muon", matrix_rate=r, rest_scale=x) for r in rates for x in (1, 2, 4)]
        muon = [m for m in muon if size != "128x4" or m.rest_scale == 2 or m.matrix_rate == 0.02]
        jobs.append(Job(name=f"optimizer-{size}", size=size, steps=1500, members=(*adamw, *muon)))
    return jobs


def training() -> list[Job]:
    """Schedules, betas, decay and averages under Muon, the block as it is."""
    jobs = []
    for size in ("64x4", "16x2"):
        members = tuple(Member(name=n, seed=s, **changes) for n, changes in _TRAINING.items() for s in SEEDS)
        jobs.append(Job(name=f"training-{size}", size=size, steps=1500, members=members))
    return jobs


def singles() -> list[Job]:
    """What all members of a stack share: heads, passes through the layers, the batch, how Muon is computed."""
    three = tuple(Member(name="plain", seed=s) for s in SEEDS)

    def job(name: str, size: str, **changes: Any) -> Job:
        return Job(name=f"singles-{name}", size=size, steps=changes.pop("steps", 1500), members=three, **changes)

    small = tuple(
        Member(name=f"batch 8, rates x{x}", seed=s, matrix_rate=0.02 * x, rest_scale=2 * x, warmup_steps=400)
        for x in (0.5, 1)
        for s in SEEDS
    )
    return [
        job("64x4h4", "64x4h4"),
        job("64x4h1", "64x4h1"),
        job("16x2h2", "16x2h2"),
        job("64x4-joint", "64x4", split_qkv=False),
        job("64x4-ns3", "64x4", newton_schulz_steps=3),
        job("64x2-loops", "64x2", loops=2),
        job("16x2-loops", "16x2", loops=2),
        replace(job("16x2-batch8", "16x2", steps=6000, batch_windows=8), members=small),
        replace(job("64x2-batch8", "64x2", steps=6000, batch_windows=8), members=small),
    ]


def together(letters: str) -> dict[str, float]:
    """The switches of some letters; none for `plain`."""
    return {} if letters == "plain" else {k: v for letter in letters for k, v in _LETTERS[letter].items()}


def combined() -> list[Job]:
    """Changes that paid alone, together; Muon with a decay of .1."""
    jobs = []
    for size, names in _COMBINED.items():
        seeds = (0, 1, 2, 3) if size == "16x2" else (0, 1) if size == "128x4" else SEEDS
        members = [Member(name=n, seed=s, switches=together(n), weight_decay=0.1) for n in names for s in seeds]
        if size != "128x4":
            sq = Member(name="SQ", switches=together("SQ"), weight_decay=0.1)
            strong = together("SQ") | {"query_gain": 3.0}
            members += [replace(sq, name="SQ, gain 3", seed=s, switches=strong) for s in seeds]
            members += [replace(sq, name="SQ, decay .3", seed=s, weight_decay=0.3) for s in seeds]
        if size == "16x2":
            members += [replace(sq, name="SQ", seed=s, rest_scale=4) for s in seeds]
            members += [replace(sq, name="SQ", seed=s, rest_scale=4, matrix_rate=0.04) for s in seeds]
        jobs.append(Job(name=f"combined-{size}", size=size, steps=1500, members=tuple(members)))
    two = tuple(Member(name="plain", seed=s, weight_decay=0.1) for s in (0, 1))
    return [*jobs, Job(name="combined-128x4h2", size="128x4h2", steps=1500, members=two)]


_ABLATED = {
    "64x4": ("SQKV", "SKV", "SQKVH", "SKVH", "SQKVZ"),
    "64x2": ("SQKV", "SKV", "SQKVH", "SKVH", "SQKVZ", "TQKV"),
    "128x4": ("SQKV", "SQKVH"),
    "16x2": ("SQKV", "SKV", "SQKVH", "SKVH", "TQKV"),
}


def ablation() -> list[Job]:
    """What the best combination needs, and AdamW with it."""
    jobs = []
    for size, names in _ABLATED.items():
        seeds = (0, 1, 2, 3) if size == "16x2" else (0, 1) if size == "128x4" else SEEDS
        members = [
            Member(name="plain" if n == "SQKV" else n, seed=s, switches=together(n), weight_decay=0.1)
            for n in names
            for s in seeds
        ]
        if size == "64x4":
            members += [
                Member(name="AdamW", seed=s, muon=False, rest_scale=x, weight_decay=0.01, switches=together("SQKV"))
                for x in (2, 4)
                for s in (0, 1)
            ]
        jobs.append(Job(name=f"ablation-{size}", size=size, steps=1500, members=tuple(members)))
    return jobs


_LONGER = {"64x4": (6000, 3), "64x2": (6000, 3), "16x2": (6000, 3), "128x4": (3000, 2)}


def longer() -> list[Job]:
    """Do the changes that help copying to set in still pay when every block has had the time for it?"""
    jobs = []
    for size, (steps, n_seeds) in _LONGER.items():
        members = [
            Member(
                name=name, seed=s, switches=together(name), weight_decay=0.1, matrix_rate=0.03, rest_scale=3,
                decay_start=0.7,
            )
            for name in ("plain", "SQZ", "SQZR", "SQKV", "SQKZ", "SQVZ")
            for s in range(2 if name == "plain" else n_seeds)
        ]  # fmt: skip
        jobs.append(Job(name=f"longer-{size}", size=size, steps=steps, members=tuple(members)))
    return jobs


_RATES = {  # factors on both rates, seeds, and factors at 10 MB
    "128x4": ((0.5, 1, 2), 2, ()),
    "64x4": ((0.5, 1, 2), 4, (0.5, 1, 2)),
    "64x2": ((0.5, 1, 2), 4, ()),
    "16x2": ((0.5, 1, 2, 4), 4, (0.5, 1, 2, 4)),
    "32x2": ((0.5, 1, 2, 4), 4, ()),
    "8x1": ((0.5, 1, 2, 4), 4, ()),
}


def rates(letters: str) -> list[Job]:
    """Both rates by one factor on (.02, twice the table's), under a block; two lengths and two dataset sizes."""
    jobs = []
    for steps in (3000, 1500):
        for size, (factors, n_seeds, at_10_mb) in _RATES.items():
            asked = [(80_000_000, x, s) for x in factors for s in range(n_seeds)]
            asked += [(10_000_000, x, s) for x in at_10_mb for s in (0, 1) if steps == 3000]
            members = tuple(
                Member(
                    name="rates", seed=s, subset_bytes=D, matrix_rate=0.02 * x, rest_scale=2 * x, weight_decay=0.1,
                    switches=together(letters),
                )
                for D, x, s in asked
            )  # fmt: skip
            jobs.append(Job(name=f"rates-{size}-{steps}", size=size, steps=steps, members=members))
    return jobs


def quick() -> list[Job]:
    """The quick sweep's training on a CPU: 700 steps of 4 windows of 256 bytes, both optimizers, two blocks."""
    jobs = []
    for size, D in (("16x2", 1_000_000), ("8x1", 300_000)):
        members = []
        for s in (0, 1):
            one = Member(name="", seed=s, subset_bytes=D, warmup_steps=50, weight_decay=0.1)
            adamw = replace(one, muon=False, weight_decay=0.01)
            for x in (1, 2, 4):
                members.append(replace(adamw, name="AdamW plain", rest_scale=x))
                muon = replace(one, name="Muon SQKV", switches=together("SQKV"))
                members.append(replace(muon, matrix_rate=0.02 * x, rest_scale=2 * x))
            members.append(replace(adamw, name="AdamW SQKV", rest_scale=4, switches=together("SQKV")))
            for letters in ("plain", "S", "SK"):
                twice = replace(one, name=f"Muon {letters}", switches=together(letters))
                members.append(replace(twice, matrix_rate=0.04, rest_scale=4))
        base = Job(
            name=f"quick-{size}", size=size, steps=700, members=tuple(members), batch_windows=4, context_bytes=256
        )
        jobs.append(base)
        chosen = tuple(m for m in members if m.name == "Muon SQKV" and m.rest_scale < 8)
        for batch in (2, 8):
            other = tuple(replace(m, warmup_steps=50 * 4 // batch) for m in chosen)
            steps = 2800 // batch
            name = f"quick-{size}-batch{batch}"
            jobs.append(replace(base, name=name, steps=steps, batch_windows=batch, members=other))
        jobs.append(replace(base, name=f"quick-{size}-loops", loops=2, members=chosen))
    return jobs


def shapes() -> list[Job]:
    """Depth against width about 10,000 parameters, as `quick` trains: 1 MB, the chosen block and rates."""
    sizes = ("8x2", "8x4", "12x2", "12x3", "12x4", "16x1", "16x2", "16x2h2", "16x3", "24x1", "24x2", "24x2h2")
    one = Member(
        name="plain", subset_bytes=1_000_000, warmup_steps=50, weight_decay=0.1, matrix_rate=0.03, rest_scale=3
    )
    members = tuple(replace(one, seed=s, switches=together("SQKV")) for s in (0, 1))
    return [
        Job(name=f"shapes-{size}", size=size, steps=700, members=members, batch_windows=4, context_bytes=256)
        for size in sizes
    ]


PLANS: dict[str, Callable[[str], list[Job]]] = {
    "rates": rates,
    "shapes": lambda _: shapes(),
    "longer": lambda _: longer(),
    "quick": lambda _: quick(),
    "ablation": lambda _: ablation(),
    "combined": lambda _: combined(),
    "blocks": lambda _: blocks(),
    "optimizer": lambda _: optimizer(),
    "training": lambda _: training(),
    "singles": lambda _: singles(),
}
