"""`mdl size` against the clock and against itself with more time: is the longer answer inside the shorter's interval?

python -m benchmarks.size_answers FILE... [--budget 3min] [--reference 30min]

Of each file a line: the seconds until the first answer and in all as shares of the budget, N* with its interval, and N*
of the reference. The aims on 2 idle cores: never more than 1.1 of the budget, the first answer within a third of it; of
8 files of 300 KB at least 7 references inside the interval, none outside by more than a factor of 1.3.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from mdl.sizing import Answer, ask, find_size, parse_seconds


class Watched(io.StringIO):
    """Notes when the first table of answers is printed."""

    def __init__(self) -> None:
        super().__init__()
        self.started = time.monotonic()
        self.first: float | None = None

    def write(self, text: str) -> int:
        """As a stream does."""
        if self.first is None and text.startswith("dataset "):
            self.first = time.monotonic() - self.started
        return super().write(text)


def asked(file: Path, budget: str, runs: Path) -> tuple[Answer, float | None, float]:
    """The answer, the seconds until the first one, and those in all, the report included."""
    question = ask(str(file), budget=budget, within=1.25, cost="float16", runs=runs)
    stream = Watched()
    answer = find_size(question, Console(file=stream, width=200, highlight=False), f"benchmark of {file.name}")
    if answer.study is not None:
        answer.report()
    return answer, stream.first, time.monotonic() - stream.started


def told(answer: Answer) -> str:
    """N* and its interval."""
    interval = f"{answer.interval[0]:,.0f} to {answer.interval[1]:,.0f}" if answer.interval else "no interval"
    return f"{answer.n_params:,.0f} ({interval})" if answer.n_params else "not found"


def main() -> None:
    """Print a line a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--budget", default="3min")
    parser.add_argument("--reference", help="a longer budget, to compare with")
    given = parser.parse_args()
    print(machine.name(), machine.versions(), sep="; ")
    for file in given.files:
        with tempfile.TemporaryDirectory() as folder:
            answer, first, seconds = asked(file, given.budget, Path(folder, "short"))
            budget = parse_seconds(given.budget)
            share = "none" if first is None else f"{first / budget:.2f}"
            line = (
                f"{file.name}: first answer at {share}, all at {seconds / budget:.2f} of {given.budget}: {told(answer)}"
            )
            if given.reference:
                line += f"; with {given.reference} {told(asked(file, given.reference, Path(folder, 'long'))[0])}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
