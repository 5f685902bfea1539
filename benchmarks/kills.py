"""A small sweep killed with -9 a hundred times at random moments: its records must be those of an unbroken run."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.conftest import markov_text
from tests.kills import kill_at_random, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.txt").write_bytes(markov_text(200_000))
        seconds = whole(folder, folder / "text.txt", steps=250)
        kill_at_random(folder, options.kills, within_seconds=seconds, seed=options.seed)
    print(
        f"{options.kills} kills, seed {options.seed}: equal records, nothing left; {time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
