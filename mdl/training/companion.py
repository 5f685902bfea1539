"""A process that trains along: `python -m mdl.training.companion`, as one line of its input says."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined] # public, but not among its typed exports

from mdl.config import Cell, Cohort, from_flat
from mdl.plugins import load_plugins, told
from mdl.training.heartbeat import BEAT_SECONDS, SILENT_BEATS, listen, say, send_beats
from mdl.training.lightning_import import import_torchmetrics
from mdl.training.stop_signal import StopAsked

if TYPE_CHECKING:
    from mdl.training.data_parallel import Ranks

_LAST_WORDS_SECONDS = 5.0


def train_along(configs: Sequence[Mapping[str, Any]], checkpoint: Path, until: int, ranks: Ranks) -> None:
    """Train as one of the companions of the process that `train_cohort` runs in."""
    from mdl.training.cohort_data import reading
    from mdl.training.fit_cohort import cohort_module, machine_of
    from mdl.training.loop import fit

    cohort = Cohort(tuple(Cell(config.run_id, config) for config in map(from_flat, configs)))
    torch.set_num_threads(cohort.execution.threads)
    data = reading(cohort)
    fit(cohort_module(cohort, data), data.source, machine_of(cohort), checkpoint, until=until, ranks=ranks)


def main() -> None:
    """Train along, as the one line of input says, and leave without a word: rank 0 may have left already."""
    beats, first = os.dup(1), os.getppid()
    os.dup2(2, 1)  # whatever a library prints goes where the errors go
    send_beats(beats)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_watch_first, args=(first,), daemon=True).start()
    try:
        load_plugins()
        import_torchmetrics()
        from mdl.training.data_parallel import Ranks, join

        store = TCPStore("127.0.0.1", request["port"], request["n"], is_master=False)
        ranks = Ranks(request["rank"], request["n"])
        join(ranks, store)
        train_along(request["configs"], Path(request["checkpoint"]), request["until"], ranks)
    except (StopAsked, KeyboardInterrupt):
        raise
    except BaseException as error:
        traceback.print_exc()
        say(beats, told(error))
        # Out of memory, say, all ranks are at once: what rank 0 makes of its own error comes first.
        time.sleep(_LAST_WORDS_SECONDS)
        os._exit(1)
    os._exit(0)


def _watch_first(first: int) -> None:
    """End with rank 0. One that is stopped would keep the others, and whoever waits for it, for ever."""
    end = listen(sys.stdin.fileno())
    if not end.closed and os.getppid() == first:
        silence = f"gave no sign of life for {SILENT_BEATS * BEAT_SECONDS:.0f} s"
        print(f"rank 0, process {first}, {silence}; it is ended", file=sys.stderr, flush=True)
        os.kill(first, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
