"""`mdl size` against the clock, and against references: long runs on the same bytes, committed as records.

python -m benchmarks size_answers FILE... [--budget 3min] [--cores 2] [--at-once 1] [--runs FOLDER]
python -m benchmarks size_answers --answers FOLDER/answers.json [--references reports/size-references/records]

The first trains: a process a file, each on cores of its own and without a GPU, and writes FOLDER/answers.json. The
second sets the answers beside the references, which sweeps/size-references.yaml made. The aims on 2 idle cores: the
first answer within a third of the budget, all within 1.1 of it; of 8 files of 300 KB at least 7 references inside the
interval, none outside by more than a factor of 1.3.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from analysis.records import load
from benchmarks import machine
from mdl.sizing import Answer, answer_of, parse_seconds

REFERENCES = Path(__file__).parents[1] / "reports" / "size-references" / "records"
_FIRST = "dataset "  # a table of answers begins so


@dataclass(frozen=True, kw_only=True)
class Timed:
    """An answer, and the seconds until the first one and until the command's end."""

    file: str
    budget_seconds: float
    first_seconds: float | None
    seconds: float
    n_params: float | None
    low: float | None
    high: float | None
    at_this_training: float | None
    stopped: str


def timed(file: Path, budget: str, cores: Sequence[int], runs: Path) -> Timed:
    """The command as a user has it, on these cores alone."""
    command = [sys.executable, "-m", "mdl.cli", "size", str(file), "--budget", budget, "--json", "--runs", str(runs)]
    begun, first, said = time.monotonic(), None, []
    with (
        (runs / f"{file.name}.json").open("w+") as told,
        subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *command],
            stdout=told,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        for line in process.stderr or ():
            seconds = time.monotonic() - begun
            said.append(f"{seconds:6.1f}  {line}")
            if first is None and line.startswith(_FIRST):
                first = seconds
    (runs / f"{file.name}.log").write_text("".join(said))
    content = json.loads((runs / f"{file.name}.json").read_bytes() or "{}")
    return Timed(
        file=file.name,
        budget_seconds=parse_seconds(budget),
        first_seconds=first,
        seconds=time.monotonic() - begun,
        **{name: content.get(name) for name in ("n_params", "low", "high", "at_this_training")},
        stopped=content.get("stopped", f"exit status {process.returncode}"),
    )


def reference(folder: Path, file: str) -> Answer | None:
    """What the long runs say of a file; None: it was not among them."""
    table = load(folder)
    own = table.cells[table.cells["source"].map(lambda source: Path(source).name == file)]
    if own.empty:
        return None
    n_bytes = int(own["subset_bytes"].max())
    known = {"source": file, "size_bytes": n_bytes, "train_bytes": n_bytes}
    return answer_of(replace(table, cells=own), "float16", folder=folder, **known)


def line(answer: Timed, beside: Answer | None) -> str:
    """Of a file."""
    share = "none" if answer.first_seconds is None else f"{answer.first_seconds / answer.budget_seconds:.2f}"
    took = f"first answer at {share}, all at {answer.seconds / answer.budget_seconds:.2f} of the budget"
    text = f"{answer.file}: {took}: {_size(answer.n_params, answer.low, answer.high)}, {answer.stopped}"
    if beside is None or beside.n_params is None or beside.interval is None:
        return text
    return f"{text}; reference {_size(beside.n_params, *beside.interval)}: {_verdict(answer, beside.n_params)}"


def _size(n_params: float | None, low: float | None, high: float | None) -> str:
    if n_params is None or low is None or high is None:
        return "not found"
    return f"{n_params:,.0f} ({low:,.0f} to {high:,.0f})"


def _verdict(answer: Timed, true: float) -> str:
    if answer.n_params is None or answer.low is None or answer.high is None:
        return "no answer"
    off = max(answer.low / true, true / answer.high)
    where = "inside" if off <= 1 else f"outside by {off:.2f}"
    return f"{where}, {answer.n_params / true - 1:+.0%}"


def main() -> None:
    """Print a line a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--budget", default="3min")
    parser.add_argument("--cores", type=int, default=2, help="of a file")
    parser.add_argument("--at-once", type=int, default=1, help="files")
    parser.add_argument("--runs", type=Path, default=Path("runs/size-answers"))
    parser.add_argument("--answers", type=Path, help="of an earlier run, instead of files")
    parser.add_argument("--references", type=Path, default=REFERENCES)
    given = parser.parse_args()
    if given.answers:
        found = [Timed(**one) for one in json.loads(given.answers.read_bytes())]
    else:
        given.runs.mkdir(parents=True, exist_ok=True)
        found = _run_all(given)
        (given.runs / "answers.json").write_text(json.dumps([asdict(one) for one in found], indent=1))
    print(machine.name(), machine.versions(), sep="; ")
    for answer in found:
        print(line(answer, reference(given.references, answer.file) if given.references.exists() else None), flush=True)


def _run_all(given: argparse.Namespace) -> list[Timed]:
    cores = sorted(os.sched_getaffinity(0))
    lanes = [cores[k * given.cores : (k + 1) * given.cores] for k in range(given.at_once)]

    def lane(k: int) -> list[Timed]:
        return [timed(file, given.budget, lanes[k], given.runs) for file in given.files[k :: given.at_once]]

    with ThreadPoolExecutor(given.at_once) as pool:
        return [one for several in pool.map(lane, range(given.at_once)) for one in several]


if __name__ == "__main__":
    main()
