"""What a model has to beat: classical coders on the subsets, as the models see them, in the seconds there are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mdl.data import Corpus, CorpusSpec, open_corpus
from mdl.evaluation import BaselineJob, baseline_path, run_baseline
from mdl.plugins import load_plugins
from mdl.records import RunPaths
from mdl.sweeps import ON_A_CORE

_COST_PER_SECOND = 1e11  # of the registry's cost per byte, on a usual core
_FIRST_SHARE, _SHARE = 0.02, 0.05  # of the budget, before and after the first answer, where no core is free
_STOP_SECONDS = 5.0  # for a coder that is stopped to clean up behind it


class Coders:
    """All that suit a corpus: beside the training where a core is free, else in a share of the budget."""

    def __init__(self, corpus: Corpus, paths: RunPaths, budget_seconds: float, *, is_core_free: bool) -> None:
        self._corpus, self._paths, self._budget_seconds = corpus, paths, budget_seconds
        self._is_core_free = is_core_free
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, subsets: Sequence[int], seconds: float) -> None:
        """Before the first answer: the quickest; or in a process of its own, in as many seconds as there are."""
        if self._is_core_free:
            self._start(subsets, seconds)
        else:
            run_coders(self._corpus, subsets, self._paths, min(seconds, _FIRST_SHARE * self._budget_seconds))

    def more(self, subsets: Sequence[int], seconds: float) -> bool:
        """After it, those that would have kept it waiting: was any run?"""
        if seconds <= 0 or self._process:
            return False
        if self._is_core_free:
            self._start(subsets, seconds)
            return False
        return run_coders(self._corpus, subsets, self._paths, min(seconds, _SHARE * self._budget_seconds))

    def end(self) -> bool:
        """Stop what runs beside: did any, so that there may be more records than were looked at?"""
        if not (process := self._process):
            return False
        self._process = None
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return True

    def _start(self, subsets: Sequence[int], seconds: float) -> None:
        asked = {
            "corpus": asdict(self._corpus.spec),
            "subsets": list(subsets),
            "root": str(self._paths.root),
            "seconds": seconds,
            "parent": os.getpid(),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mdl.sizing.coders", json.dumps(asked)],
            env=os.environ | ON_A_CORE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C reaches the search alone, which then stops this
        )


def run_coders(
    corpus: Corpus, subsets: Sequence[int], paths: RunPaths, seconds: float, *, parent: int | None = None
) -> bool:
    """The quickest first, on the first subset before the next; what has a record is not run. Was any?

    `parent`: of a process that runs beside, the one without which it has no reason to go on.
    """
    from mdl.compressors import REGISTRY, coders_for

    ends, is_any = time.monotonic() + seconds, False
    names = sorted(coders_for(corpus.info.modality), key=lambda name: REGISTRY[name].cost_per_byte)
    for subset_bytes in subsets:
        for name in names:
            job = BaselineJob(coder=name, subset_bytes=subset_bytes, order="shuffled", chunk_bytes=None)
            foretold = REGISTRY[name].cost_per_byte * subset_bytes / _COST_PER_SECOND
            if parent is not None and os.getppid() != parent:
                return is_any
            # By the clock: an unpacker to be made, or a busy machine, takes longer than was foretold.
            if time.monotonic() + foretold <= ends and not baseline_path(corpus, job, paths).exists():
                run_baseline(corpus, job, paths)
                is_any = True
    return is_any


def main() -> None:
    """What the process beside the training does; told to stop, it leaves nothing half-written."""
    asked = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load_plugins()
    corpus = open_corpus(CorpusSpec(**asked["corpus"]))
    run_coders(corpus, asked["subsets"], RunPaths(Path(asked["root"])), asked["seconds"], parent=asked["parent"])


if __name__ == "__main__":
    main()
