"""A sweep of 10,000 cells: seconds and peak memory to plan it, to find nothing left to do, and to tell its status."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mdl.records import RunPaths
from mdl.sweeps import plan_sweep

SWEEP = """
name: large
parameters:
  corpus.source: {{value: "file:{text}"}}
  corpus.heldout_bytes: {{value: 20KB}}
  size: {{values: [{sizes}]}}
  subset_bytes: {{values: [{subsets}]}}
  seed: {{values: [{seeds}]}}
  context_bytes: {{value: 64}}
"""


def write_sweep(folder: Path, n_seeds: int) -> Path:
    """10 shapes × 10 subset sizes × `n_seeds`."""
    (folder / "text").write_bytes(bytes(i * 7919 % 251 for i in range(300_000)))
    path = folder / "large.yaml"
    sizes = ", ".join(f"{4 * width}x1" for width in range(1, 11))
    subsets = ", ".join(f"{10 * size}KB" for size in range(1, 11))
    text = SWEEP.format(text=folder / "text", sizes=sizes, subsets=subsets, seeds=", ".join(map(str, range(n_seeds))))
    path.write_text(text)
    return path


def fill(file: Path, runs: Path, template: dict[str, object], share: float) -> int:
    """Records for that share of the cells, every tenth of them failed; how many were written."""
    plan = plan_sweep(file, runs)
    wanted = plan.cells[: int(share * len(plan.cells))]
    for i, cell in enumerate(wanted):
        path = RunPaths(plan.paths.root).record(cell.run_id)
        path.parent.mkdir(parents=True)
        status = {"status": "failed", "reason": "the loss is not finite"} if i % 10 == 9 else {"status": "ok"}
        path.write_text(json.dumps({**template, "run_id": cell.run_id, **status}, indent=1) + "\n")
    return len(wanted)


def timed(*arguments: str, cwd: Path) -> str:
    """Wall seconds and peak memory of a command of its own."""
    script = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'mdl.cli', *sys.argv[1:]], stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(f'exit {done.returncode}, {used.ru_utime + used.ru_stime:.2f} CPU-s, {used.ru_maxrss / 1024:.0f} MiB')\n"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=cwd, capture_output=True, text=True)
    return f"{time.monotonic() - started:6.2f} s, {done.stdout.strip()} {done.stderr.strip()[:200]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="cells = 100 x this")
    parser.add_argument("record", type=Path, help="any record.json, to fill the folder with copies of")
    options = parser.parse_args()
    print(f"{platform.machine()}, {platform.python_version()}, {sys.platform}")
    template = json.loads(options.record.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        file = write_sweep(Path(folder), options.seeds)
        print("plan (--dry-run):     ", timed("sweep", str(file), "--dry-run", cwd=Path(folder)))
        print("records:              ", fill(file, Path(folder) / "runs", template, share=0.5))
        print("status, half done:    ", timed("status", str(file), cwd=Path(folder)))
        shutil.rmtree(Path(folder) / "runs")
        fill(file, Path(folder) / "runs", template, share=1.0)
        print("status, all done:     ", timed("status", str(file), cwd=Path(folder)))
        print("sweep, nothing to do: ", timed("sweep", str(file), "--no-baselines", cwd=Path(folder)))


if __name__ == "__main__":
    main()
