"""`mdl report` on many records: a sweep's own, repeated with other seeds and a little noise; seconds and peak memory.

python -m benchmarks.scale_report [reports/study-text/records] [--records 10000]
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.scale import timed

_NOISE = 0.003  # relative standard deviation of a cell's code lengths


def repeated(record: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same cell with another seed: all of its code lengths a little longer or shorter."""
    factor = 1 + random.Random(f"{record['run_id']} {seed}").gauss(0, _NOISE)  # noqa: S311 - no secret
    copy: dict[str, Any] = json.loads(json.dumps(record))
    copy["run_id"] += f"-r{seed}"
    copy["training"]["seed"] = seed
    for snapshot in copy["snapshots"]:
        for segment in snapshot["segments"]:
            segment["code_bits"] *= factor
    return copy


def main() -> None:
    """Write the records, then make their report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("reports/study-text/records"))
    parser.add_argument("--records", type=int, default=10_000)
    options = parser.parse_args()
    print(f"{machine.name()}; {machine.versions()}")
    records = [json.loads(path.read_bytes()) for path in sorted(options.folder.glob("*/record.json"))]
    with tempfile.TemporaryDirectory() as name:
        for i in range(options.records):
            copy = repeated(records[i % len(records)], i // len(records))
            path = Path(name) / "runs" / "many" / copy["run_id"] / "record.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(copy, indent=1) + "\n")
        print(f"{options.records:,} records: {timed('report', 'runs/many', '--out', 'report', cwd=Path(name))}")


if __name__ == "__main__":
    main()
