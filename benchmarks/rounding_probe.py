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
import json
import math
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rounding_branch import VARIANTS, Branch, Job
from mdl.data import CorpusSpec, open_corpus
from mdl.quantization import Tuning, calibration_windows, coded_models, decoded, map_over_processes
from mdl.units import parse_bytes

CONTEXT_BYTES = 1024
AFTER_BITS, TUNE_STEPS = (2, 3, 4, 5, 6, 7, 8), 150


def measured_plain(job: Job, branch: Branch) -> list[dict[str, Any]]:
    """Of every member: the data alone, and all counted at each precision, by rounding after the fact."""
    rows = []
    for m, n_bytes in enumerate(job.subsets):
        weights = branch.model.member(m)
        calibration = calibration_windows(job.view, n_bytes, job.shape.context_tokens)
        with map_over_processes() as spread:
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
