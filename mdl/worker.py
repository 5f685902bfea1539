"""A process that does jobs: `python -m mdl.worker` reads one JSON job a line and answers in JSON events.

Jobs: {"kind": "cohort" | "baseline", …}. Events: {"event": "progress" | "done" | "error", …}. Its input closing means
that the driver is gone: it stops at once, since whatever it holds can be made again from the last checkpoint.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from mdl import stopping
from mdl.errors import MdlError, one_line

Emit = Callable[..., None]

# The disk takes no more: every other job would end the same way.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def main() -> None:
    """Serve jobs until the input closes."""
    # Whatever a library prints goes to the log; the events keep the descriptor to themselves.
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin, jobs), daemon=True).start()
    stopping.install()
    while (job := jobs.get()) is not None:
        _serve(job, lambda event, **fields: print(json.dumps({"event": event, **fields}), file=events, flush=True))


def _listen(source: TextIO, jobs: queue.Queue[dict[str, Any] | None]) -> None:
    for line in source:
        job = json.loads(line)
        if job == "end":
            jobs.put(None)
            return
        jobs.put(job)
    os._exit(1)


def _serve(job: dict[str, Any], emit: Emit) -> None:
    try:
        result = {"cohort": _cohort, "baseline": _baseline}[job["kind"]](job, emit)
        emit("done", **result)
    except MdlError as error:
        emit("error", message=str(error))
    except OSError as error:
        emit("error", message=one_line(error), fatal=error.errno in _DISK)
    except Exception as error:
        traceback.print_exc()
        emit("error", message=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", unexpected=True)


def _cohort(job: dict[str, Any], emit: Emit) -> dict[str, Any]:
    from mdl.config import from_flat
    from mdl.experiment import run_cohort
    from mdl.results import RunPaths
    from mdl.sweep import Cell, Cohort

    configs = [from_flat(flat) for flat in job["configs"]]
    records = run_cohort(
        Cohort(tuple(Cell(config.run_id, config) for config in configs)),
        job["sweep"],
        RunPaths(Path(job["root"])),
        job["command"],
        lambda phase, done, total: emit("progress", phase=phase, done=done, total=total),
    )
    failed = {record.run_id: record.reason for record in records if record.status == "failed"}
    return {"n_cells": len(records), "failed": failed}


def _baseline(job: dict[str, Any], _: Emit) -> dict[str, Any]:
    from mdl.baselines import BaselineJob, run_job
    from mdl.corpus import CorpusSpec, open_corpus
    from mdl.results import RunPaths

    corpus = open_corpus(CorpusSpec(**job["corpus"]))
    run_job(corpus, BaselineJob(**job["job"]), RunPaths(Path(job["root"])))
    return {}


if __name__ == "__main__":
    main()
