"""Training for the total, weights and data, beside rounding after the fact: from the same trunk, in as many steps.

Each job is one shape, its members one a dataset size. The flat phase of the recipe is trained once; from its end a
plain branch goes on, whose weights are then coded at 2 to 8 bits, tuned (`mdl.quantization`), and branches that are
trained for the total. The data's code is measured on windows spread over the subset, the same for all branches.

    python -m benchmarks.rounding_probe CORPUS --out FOLDER --sizes 64x4,128x4 --subsets 10MB,80MB --steps 12000 \
        [--variants usual,slow] [--until SECONDS]
    python -m benchmarks.rounding_probe --table FOLDER

CORPUS is a text file, compressed or not, as `mdl` opens it. A branch that is in FOLDER is not trained again; none is
begun after --until seconds.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdl.config.resolved import Recipe
from mdl.data import CorpusSpec, WindowOrder, open_corpus
from mdl.models import Shape, architecture_of, make_models, measuring_parts, parse_size, stack
from mdl.quantization import Tuning, calibration_windows, coded_models, decoded, side_by_side
from mdl.training.cuda_graph import RecordedStep
from mdl.training.members import Member
from mdl.training.optimizer import recipe_optimizer
from mdl.training.rounded import Rounded
from mdl.training.sample_bits import sum_sample_bits
from mdl.units import parse_bytes

N_WINDOWS, CONTEXT_BYTES, BATCH_WINDOWS = 2048, 1024, 32
AFTER_BITS, TUNE_STEPS = (2, 3, 4, 5, 6, 7, 8), 150


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a branch is trained for the total, otherwise than usual."""

    bits: int = 8
    rate: float = 1.0  # factor on the rate of steps and densities
    finer: float = 1.0  # factor on the first steps
    weights_rate: float = 1.0  # factor on the recipe's for the weights, while they are rounded
    final_lr_fraction: float = 0.05


VARIANTS = {
    "usual": Variant(),
    "warm": Variant(weights_rate=2.5),
    "cool": Variant(weights_rate=0.5),
    "slow": Variant(rate=0.3),
    "fast": Variant(rate=3.0),
    "fine": Variant(finer=0.6),
    "cold": Variant(final_lr_fraction=0.0),
    "cold-slow": Variant(final_lr_fraction=0.0, rate=0.3),
    "3": Variant(bits=3),
    "4": Variant(bits=4),
}


class Job:
    """One shape on some dataset sizes."""

    def __init__(self, size: str, subsets: Sequence[int], steps: int, corpus: Any, context_bytes: int) -> None:
        width, depth, heads = parse_size(size)
        self.size, self.subsets, self.view = size, subsets, corpus.train
        self.shape = Shape(width, depth, heads, context_tokens=context_bytes, block=2)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.steps = steps
        self.members = [Member(seed=0, subset_length=n) for n in subsets]
        self.corpus = torch.from_numpy(np.array(self.view.read(0, max(subsets)))).to(self.device)
        self.in_window = torch.arange(context_bytes, device=self.device)
        self.orders = [WindowOrder(0, n, context_bytes, BATCH_WINDOWS) for n in subsets]
        fast = architecture_of(self.shape).fast_parts
        self.parts = fast.training(self.shape, torch.bfloat16) if fast and self.device == "cuda" else None
        starts = [
            np.linspace(0, n - context_bytes, min(N_WINDOWS, n // context_bytes)).astype(np.int64) for n in subsets
        ]
        self.sample = [self.view.gather(own, context_bytes) for own in starts]

    def recipe(self, variant: Variant | None) -> Recipe:
        """The second, with usual rates."""
        from mdl.optimizers import OPTIMIZERS

        return Recipe(
            version=2,
            steps=self.steps,
            batch_windows=BATCH_WINDOWS,
            optimizer="muon",
            learning_rate=OPTIMIZERS["muon"].learning_rate(self.shape.width, self.shape.depth, 2),
            weight_decay=0.1,
            decay_start=0.7,
            warmup_steps=min(200, self.steps // 10),
            final_lr_fraction=variant.final_lr_fraction if variant else 0.05,
            weight_bits=variant.bits if variant else 0,
            rounding_start=0.7,
        )

    def sampled_bits(self, m: int, weights: Sequence[dict[str, Tensor]]) -> list[float]:
        """Of the whole subset of member m under each of some weights, as the sample tells."""
        model = stack(self.shape, weights).to(self.device)
        found = sum_sample_bits(model, self.sample[m], measuring_parts(model, self.sample[m].size))
        return [bits * self.subsets[m] / self.sample[m].size for bits in found.tolist()]


class Branch:
    """A stack in training: from its first step, or from where another one is."""

    def __init__(self, job: Job, variant: Variant | None, trunk: Branch | None = None) -> None:
        self.job, self.recipe, self.variant = job, job.recipe(variant), variant
        self.model = make_models(job.shape, [0] * len(job.members)).to(job.device)
        self.optimizer = recipe_optimizer(self.model, self.recipe, capturable=job.device == "cuda")
        self.rounded = Rounded(self.model, job.members, self.recipe).to(job.device)
        self.step_number, self.seconds = 0, 0.0
        if trunk:
            self.model.load_state_dict(trunk.model.state_dict())
            self.optimizer.load_state_dict(copy.deepcopy(trunk.optimizer.state_dict()))
            self.step_number = trunk.step_number
        usual = recipe_optimizer(self.model, self.recipe)
        self.base = [float(group["lr"]) for group in usual.param_groups]
        for group, rate in zip(self.optimizer.param_groups, self.base, strict=True):
            group["initial_lr"], group["lr"] = rate, torch.tensor(rate).to(job.device)
        self.rounded.read(job.view)

    def train(self, until: int) -> Branch:
        """To a step; itself."""
        step: Callable[[Tensor], None] = RecordedStep(self._step) if self.job.device == "cuda" else self._step
        weights_rate, begun = self.variant.weights_rate if self.variant else 1.0, time.perf_counter()
        for number in range(self.step_number, until):
            if self.rounded.begin_step(number):
                self._begin()
            for group, rate in zip(self.optimizer.param_groups, self.base, strict=True):
                group["lr"].fill_(rate * self.recipe.lr_factor(number) * weights_rate)
            starts = np.stack([order.starts(number) for order in self.job.orders])
            step(torch.from_numpy(starts).to(self.job.device))
        self.step_number = until
        if self.job.device == "cuda":
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - begun
        return self

    def _begin(self) -> None:
        """What a variant changes."""
        rounding, variant = self.rounded.rounding, self.variant
        assert rounding is not None
        assert variant is not None
        n_rows = rounding.living.shape[1]
        rounding.rates.mul_(variant.rate / variant.weights_rate)  # which the optimizer's rate holds too
        rounding.learned[:, :n_rows] += math.log2(variant.finer)

    def _step(self, starts: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        windows = self.job.corpus[starts[:, :, None] + self.job.in_window]
        with self.rounded.weights() as price, torch.autocast("cuda", torch.bfloat16, self.job.device == "cuda"):
            nats = self.model.nats(windows, self.job.parts)
        torch.autograd.backward((nats.flatten(1).mean(dim=1) + price).sum())
        self._clip()
        self.rounded.step(self.optimizer.param_groups[0])
        self.optimizer.step()

    def _clip(self) -> None:
        gradients = [w.grad for w in self.model.parameters() if w.grad is not None]
        squares = torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0)
        scale = (self.recipe.clip_norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))


def measured_plain(job: Job, branch: Branch) -> list[dict[str, Any]]:
    """Of every member: the data alone, and all counted at each precision, by rounding after the fact."""
    rows = []
    for m, n_bytes in enumerate(job.subsets):
        weights = branch.model.member(m)
        calibration = calibration_windows(job.view, n_bytes, job.shape.context_tokens)
        with side_by_side() as spread:
            tuning = Tuning(job.view, n_bytes, TUNE_STEPS)
            coded = coded_models(job.shape, weights, calibration, AFTER_BITS, tuning, spread=spread)
        bits = job.sampled_bits(m, [weights, *(decoded(job.shape, model) for model in coded)])
        rows.append(
            {
                "subset_bytes": n_bytes,
                "data_bits": bits[0],
                "after": [
                    {"bits": model.bits, "model_bits": 8 * len(model.content), "data_bits": data_bits}
                    for model, data_bits in zip(coded, bits[1:], strict=True)
                ],
            }
        )
    return rows


def measured_total(job: Job, branch: Branch) -> list[dict[str, Any]]:
    """Of every member: data and model as it is sent, and what the densities give."""
    rows = []
    for m, n_bytes in enumerate(job.subsets):
        found = branch.rounded.coded(m)
        assert found is not None
        (data_bits,) = job.sampled_bits(m, [decoded(job.shape, found[0])])
        rows.append(
            {
                "subset_bytes": n_bytes,
                "bits": found[0].bits,
                "model_bits": 8 * len(found[0].content),
                "density_bits": found[1],
                "data_bits": data_bits,
            }
        )
    return rows


def run(job: Job, variants: Sequence[str], out: Path, left: Callable[[], float]) -> None:
    """The branches of a job that are not in `out`, as far as time goes."""
    wanted = [name for name in ("plain", *variants) if not (out / f"{job.size}-{name}.json").exists()]
    if not wanted or left() <= 0:
        return
    trunk = Branch(job, None)
    trunk.train(trunk.recipe.branch_step)
    print(f"{job.size}: trunk of {trunk.step_number} steps, {trunk.seconds:.1f} s", flush=True)
    for name in wanted:
        if left() <= 0:
            return
        try:
            result = branch_result(job, name, trunk)
        except Exception:  # the other branches are worth having all the same
            traceback.print_exc()
            continue
        (out / f"{job.size}-{name}.json").write_text(json.dumps(result, indent=1))
        print(
            f"{job.size} {name}: {result['branch_seconds']:.1f} s and {result['measuring_seconds']:.1f} s", flush=True
        )


def branch_result(job: Job, name: str, trunk: Branch) -> dict[str, Any]:
    """Train one branch to its end, and measure it."""
    variant = None if name == "plain" else VARIANTS[name]
    branch = Branch(job, variant, trunk).train(job.steps)
    begun = time.perf_counter()
    return {
        "size": job.size,
        "branch": name,
        "steps": job.steps,
        "trunk_steps": trunk.step_number,
        "trunk_seconds": trunk.seconds,
        "branch_seconds": branch.seconds,
        "rows": measured_total(job, branch) if variant else measured_plain(job, branch),
        "measuring_seconds": time.perf_counter() - begun,
    }


def print_table(out: Path) -> None:
    """Percent of the raw size."""
    results = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    best: dict[tuple[str, int], float] = {}
    for result in results:
        for row in result["rows"]:
            if "after" in row:
                totals = [one["model_bits"] + one["data_bits"] for one in row["after"]]
                best[result["size"], row["subset_bytes"]] = min(totals)
    print("size subset branch bits | model + data = total % | density/file | total / best after | s")
    for result in sorted(results, key=lambda r: (r["size"], r["branch"] != "plain")):
        for row in result["rows"]:
            n, least = row["subset_bytes"], best.get((result["size"], row["subset_bytes"]), math.nan)
            for one in row.get("after", [row]):
                total = one["model_bits"] + one["data_bits"]
                density = f"{one['density_bits'] / one['model_bits']:.4f}" if "density_bits" in one else "-"
                print(
                    f"{result['size']} {n / 1e6:g}MB {result['branch']} {one['bits']} | "
                    f"{_percent(one['model_bits'], n)} + {_percent(one['data_bits'], n)} = {_percent(total, n)} | "
                    f"{density} | {total / least:.4f} | {result['branch_seconds']:.1f}"
                )
            if "after" in row:
                print(f"{result['size']} {n / 1e6:g}MB plain - | data alone {_percent(row['data_bits'], n)} | "
                      f"{row['data_bits'] / least:.4f}")  # fmt: skip


def _percent(bits: float, n_bytes: int) -> str:
    return f"{bits / 8 / n_bytes * 100:.3f}"


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--out", type=Path, default=Path("rounding"))
    parser.add_argument("--sizes", default="64x4,128x4,256x4")
    parser.add_argument("--subsets", default="10MB,80MB")
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--variants", default="usual", help=f"some of {','.join(VARIANTS)}")
    parser.add_argument("--until", type=float, default=1e9, help="begin no branch after so many seconds")
    parser.add_argument("--context-bytes", type=int, default=CONTEXT_BYTES, help="to try it out")
    parser.add_argument("--table", type=Path, help="print what a folder holds, and do nothing else")
    given = parser.parse_args()
    if given.table:
        print_table(given.table)
        return
    begun = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    corpus = open_corpus(CorpusSpec(f"file:{given.corpus}"))
    subsets = [min(parse_bytes(text), len(corpus.train)) for text in given.subsets.split(",")]
    for size in given.sizes.split(","):
        job = Job(size, subsets, given.steps, corpus, given.context_bytes)
        run(job, given.variants.split(","), given.out, lambda: given.until - (time.monotonic() - begun))
    print_table(given.out)


if __name__ == "__main__":
    main()
