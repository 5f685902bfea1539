"""A process that does jobs: `python -m mdl.sweeps.worker` reads one JSON job a line and answers in JSON events.

Jobs: {"kind": "cohort" | "baseline", …}. Events: {"event": "progress" | "note" | "done" | "error", …}.
An error with "ends" is the last: no further job is taken.
Its input closing means that the driver is gone: it stops at once, since whatever it holds can be made again from the
last checkpoint.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mdl.errors import MdlError, one_line
from mdl.plugins import load_plugins, told
from mdl.storage import ChangedError
from mdl.sweeps.claims import SupersededError
from mdl.sweeps.kept_memory import hand_back
from mdl.training import WandbServer, import_torchmetrics, stop_signal

if TYPE_CHECKING:
    from mdl.config import Cohort
    from mdl.data import Corpus, CorpusSpec
    from mdl.records import RunPaths
    from mdl.sweeps.claims import Claims
    from mdl.sweeps.phase_clock import PhaseClock
    from mdl.training import PhaseProgress

Emit = Callable[..., None]
_LOOK_SECONDS = 5.0
_BEGAN = time.monotonic()

# The disk takes no more: every other job would end the same way.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def main() -> None:
    """Serve jobs until the input closes."""
    # Whatever a library prints goes to the log; the events keep the descriptor to themselves.
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin, jobs), daemon=True).start()
    stop_signal.install()

    def emit(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=events, flush=True)

    problem, server = _plugins_problem(), WandbServer()
    while (job := jobs.get()) is not None:
        if problem:
            emit("error", message=problem)
        else:
            _serve(job, emit, server)
            hand_back()


def _plugins_problem() -> str:
    """Why the user's own code cannot be loaded here as it was where this process was started; or nothing."""
    try:
        load_plugins()
    except MdlError as error:
        return str(error)
    return ""


def _listen(source: TextIO, jobs: queue.Queue[dict[str, Any] | None]) -> None:
    began = _BEGAN  # of the first job: with this process; of others when they come, however long none did
    for line in source:
        job = json.loads(line)
        if job == "end":
            jobs.put(None)
            return
        jobs.put(job | {"began": began or time.monotonic()})
        began = 0.0
    os._exit(1)


def _serve(job: dict[str, Any], emit: Emit, server: WandbServer) -> None:
    try:
        result = _baseline(job) if job["kind"] == "baseline" else _cohort(job, emit, server)
        emit("done", **result)
    except SupersededError:
        emit("done", n_cells=0, failed={})
    except ChangedError as error:
        emit("error", message=str(error), fatal=True)  # every other job would end the same way
    except MdlError as error:
        emit("error", message=str(error))
    except OSError as error:
        emit("error", message=one_line(error), fatal=error.errno in _DISK)
    except (stop_signal.StopAsked, KeyboardInterrupt):
        raise
    except BaseException as error:
        traceback.print_exc()
        emit("error", message=told(error))


def _cohort(job: dict[str, Any], emit: Emit, server: WandbServer) -> dict[str, Any]:
    """Train and record the cells that no other process works on.

    Answers how many those are, which failed, and `spent` (seconds) where all were trained as one from start to end,
    no budget left out.
    """
    from mdl.config import Cell, Cohort, from_flat
    from mdl.records import RunPaths
    from mdl.sweeps.claims import Claims
    from mdl.sweeps.phase_clock import PhaseClock

    import_torchmetrics()
    configs = [from_flat(flat) for flat in job["configs"]]
    whole_ids, paths = job.get("whole_ids", {}), RunPaths(Path(job["root"]))
    cohort = Cohort(tuple(Cell(c.run_id, c, whole_ids.get(c.run_id, "")) for c in configs))
    clock = PhaseClock(f"{cohort.cohort_id} ×{len(cohort.members)}", job.get("began", time.monotonic()))
    with Claims(paths, cohort.cohort_id) as claims:
        won = claims.take({i: paths.record(i) for i in cohort.run_ids}, replace=job.get("retry", {}))
        left = {i for i in cohort.run_ids if i in won or not paths.record(i).exists()}
        # In flight before, and all of it ours: it goes on. Else those that are ours, as a cohort of their own.
        whole = left == set(won) and any(paths.checkpoint(c.cohort_id).exists() for c in (cohort, *cohort.parts))
        ours = cohort if whole else cohort.only(set(won))
        begun = any(paths.checkpoint(state).exists() for state in cohort.state_ids)
        try:
            asked = _Asked(job=job, paths=paths, emit=emit, claims=claims, clock=clock, server=server)
            failed = _run(asked, ours) if won else {}
            as_one = set(won) == set(cohort.run_ids) and not begun and not failed and not asked.incomplete
            spent = asdict(clock.spent()) if as_one else None
        finally:  # also where a successor has finished them
            if all(paths.record(i).exists() for i in cohort.run_ids):
                paths.forget_checkpoints(*cohort.state_ids)
    return {"n_cells": len(won), "failed": failed, "spent": spent}


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a cohort and its halves have in common."""

    job: dict[str, Any]
    paths: RunPaths
    emit: Emit
    claims: Claims
    clock: PhaseClock
    server: WandbServer
    incomplete: list[str] = field(default_factory=list)  # cohorts that did not fit on the GPU, or left budgets out


def _run(asked: _Asked, cohort: Cohort) -> dict[str, str | None]:
    """Run a cohort; in two halves, and so on, where it does not fit on the GPU. Run ids and reasons of what failed."""
    import torch

    from mdl.training import run_cohort

    try:
        with contextlib.redirect_stdout(_Notes(asked.emit)):
            records = run_cohort(
                cohort,
                asked.job["sweep"],
                asked.paths,
                command=asked.job["command"],
                progress=_watched(asked),
                check=asked.claims.check,
                on_loss=partial(_lost, asked.emit),
                server=asked.server,
            )
    except torch.OutOfMemoryError:
        pass  # not handled in here: the exception would hold the memory
    else:
        if any(record.status == "needless" for record in records):
            asked.incomplete.append(cohort.cohort_id)
        return {record.run_id: record.reason for record in records if record.status == "failed"}
    torch.cuda.empty_cache()
    n = len(cohort.members)
    if n == 1:
        raise MdlError(
            f"{cohort.run_ids[0]} does not fit into the GPU's memory; lower train.batch_windows, or raise train.devices"
        )
    asked.emit("note", message=f"{cohort.cohort_id}: out of GPU memory with {n} members; training them in two halves")
    asked.incomplete.append(cohort.cohort_id)
    asked.paths.forget_checkpoints(*cohort.state_ids)
    parts = [_run(asked, half) for half in cohort.halves]
    return parts[0] | parts[1]


def _lost(emit: Emit, why: str) -> None:
    """The last event: this process ends, since one that trained along with it has."""
    emit("error", message=why, ends=True)


class _Notes(io.TextIOBase):
    """What this package prints is for the user. (What libraries print goes to the descriptors, so to the log.)"""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def write(self, text: str) -> int:
        """One call a line, or an end of line alone."""
        if text.strip():
            self._emit("note", message=" ".join(text.split()))
        return len(text)


def _watched(asked: _Asked) -> PhaseProgress:
    """Tells progress; now and then looks whether the claims still hold."""
    from mdl.training import PHASES

    looked = time.monotonic()

    def progress(phase: str, done: float, total: float) -> None:
        nonlocal looked
        asked.clock(phase, done, total)
        if phase in PHASES:
            asked.emit("progress", phase=phase, done=done, total=total)
        else:
            asked.emit("stage", name=phase)
        if time.monotonic() - looked > _LOOK_SECONDS:
            looked = time.monotonic()
            asked.claims.check()

    return progress


def _baseline(job: dict[str, Any]) -> dict[str, Any]:
    """Code and record. Answers the seconds of it, without those that this process took to start."""
    from mdl.data import CorpusSpec
    from mdl.evaluation import BaselineJob, baseline_path, run_baseline
    from mdl.records import RunPaths
    from mdl.sweeps.claims import Claims

    corpus, paths = _opened(CorpusSpec(**job["corpus"])), RunPaths(Path(job["root"]))
    started = time.monotonic()
    corpus.require_as_in(paths)
    wanted = BaselineJob(**job["job"])
    path = baseline_path(corpus, wanted, paths)
    with Claims(paths, path.stem) as claims:
        if claims.take({path.stem: path}):
            run_baseline(corpus, wanted, paths)
    return {"seconds": time.monotonic() - started}


@lru_cache(maxsize=4)
def _opened(spec: CorpusSpec) -> Corpus:
    """Once for the many small jobs of a corpus: where it is a folder, listing its files takes longer than coding."""
    from mdl.data import open_corpus

    return open_corpus(spec)


if __name__ == "__main__":
    main()
