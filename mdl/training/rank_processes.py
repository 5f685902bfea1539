"""Starts the other ranks of a cohort, watches over them, and ends with them, or them with itself.

Nobody can go on without all others: a collective operation would wait for the dead one, and NCCL cannot be woken. So
the loss of one ends this process, with one line; the last checkpoint is what the next start goes on from.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined] # public, but not among its typed exports

from mdl.training.data_parallel import ALONE, Ranks, join, leave
from mdl.training.heartbeat import BEAT_SECONDS, SILENT_BEATS, STARTING_BEATS, listen, send_beats
from mdl.training.progress import OnLoss

_LEAVE_SECONDS = 5.0  # after the last step
_TELL_SECONDS = 3.0  # from a broken connection to the news of whose end broke it
_STALL_SECONDS = 540.0  # under the 600 of NCCL, which ends a process without a word


@contextmanager
def companions(n: int, training: dict[str, Any], on_loss: OnLoss) -> Iterator[Ranks]:
    """Within, n − 1 more processes train along with this one, rank 0: `training` is what `train_along` is told."""
    if n == 1:
        yield ALONE
        return
    # The store finds a free port itself, and keeps it: no other process can take it in between.
    store = TCPStore("127.0.0.1", 0, n, is_master=True, wait_for_workers=False)
    ranks = Ranks(0, n)
    request = training | {"n": n, "port": store.port}
    others = _Others([_start(request | {"rank": rank}) for rank in range(1, n)], ranks, on_loss)
    try:
        join(ranks, store)
        yield ranks
    except RuntimeError as error:
        # Where a lost rank broke the connection, the thread that watches it ends this process.
        if not isinstance(error, torch.OutOfMemoryError):
            time.sleep(_TELL_SECONDS)
        raise
    finally:
        ranks.part()
        others.end()
        leave()


def _start(request: dict[str, Any]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mdl.training.companion"]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None  # noqa: S101 - it is a pipe
    other.stdin.write(json.dumps(request).encode() + b"\n")
    other.stdin.flush()
    return other


class _Others:
    """The other ranks, each watched by a thread."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], ranks: Ranks, on_loss: OnLoss) -> None:
        self._processes, self._ranks, self._on_loss = processes, ranks, on_loss
        for rank, process in enumerate(processes, 1):
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            send_beats(process.stdin.fileno())
            threading.Thread(target=self._watch, args=(rank, process), daemon=True).start()
        threading.Thread(target=self._watch_pace, daemon=True).start()

    def _watch(self, rank: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        end = listen(process.stdout.fileno(), STARTING_BEATS)
        why = f"gave no sign of life for {SILENT_BEATS * BEAT_SECONDS:.0f} s"
        if end.closed:
            status = process.wait()
            if not status:  # it had nothing left to do
                return
            why = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        self._lost(f"rank {rank} of {self._ranks.n} {why}" + (f" ({end.last_words})" if end.last_words else ""))

    def _watch_pace(self) -> None:
        """All live, and yet none gets on: counted in looks, so that a suspended machine finds nothing amiss."""
        n_met, still = 0, 0.0
        while still < _STALL_SECONDS:
            time.sleep(BEAT_SECONDS)
            if self._ranks.parted:
                return
            moved = n_met != self._ranks.n_met or not n_met
            n_met, still = self._ranks.n_met, 0.0 if moved else still + BEAT_SECONDS
        self._lost(f"none of {self._ranks.n} ranks has ended a step for {_STALL_SECONDS:.0f} s")

    def _lost(self, why: str) -> None:
        if self._ranks.parted:
            return
        for process in self._processes:
            process.kill()  # which reaches a stopped one too
        self._on_loss(f"{why}; the last checkpoint is kept, the same command goes on from it")
        os._exit(1)

    def end(self) -> None:
        """They have a moment to leave."""
        deadline = time.monotonic() + _LEAVE_SECONDS
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.wait()
