"""A process that trains along: `python -m mdl.training.companion`, as one line of its input says."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined] # public, but not among its typed exports

from mdl.config import Cell, Cohort, from_flat
from mdl.plugins import load_plugins
from mdl.records import RunPaths
from mdl.training.cohort_data import reading
from mdl.training.data_parallel import Ranks, joined
from mdl.training.fit_cohort import cohort_module, machine_of
from mdl.training.loop import fit


def train_along(configs: Sequence[Mapping[str, Any]], root: Path, ranks: Ranks) -> None:
    """Train as one of the companions of the process that `train_cohort` runs in."""
    cohort = Cohort(tuple(Cell(config.run_id, config) for config in map(from_flat, configs)))
    torch.set_num_threads(cohort.execution.threads)
    data, checkpoint = reading(cohort), RunPaths(root).checkpoint(cohort.cohort_id)
    fit(cohort_module(cohort, data), data.source, machine_of(cohort), checkpoint, ranks=ranks)


def main() -> None:
    """Train along, as the one line of input says, and end at once when the input closes: rank 0 is gone."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
    load_plugins()
    store = TCPStore("127.0.0.1", request["port"], request["n"], is_master=False)
    with joined(Ranks(request["rank"], request["n"]), store) as ranks:
        train_along(request["configs"], Path(request["root"]), ranks)


if __name__ == "__main__":
    main()
