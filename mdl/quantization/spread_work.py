"""Work that processors can share while a GPU does the rest."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from typing import Any

import torch

from mdl.quantization.precision_list import PRECISIONS

Spread = Callable[..., Iterator[Any]]  # as `map`, of functions that take arrays and no tensors

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def map_over_processes() -> Iterator[Spread]:
    """A `map` over processes of its own where the host has nothing else to do, beside a GPU; else the plain one.

    Elsewhere every processor has a cohort already. The processes start with the first work, copies of one that has
    imported what they need: ten that import it for themselves take some 20 seconds of a processor, at every budget.
    """
    if not torch.cuda.is_available():
        yield map
        return
    plain = {name: os.environ.get(name) for name in _THREADS}
    os.environ |= dict.fromkeys(_THREADS, "1")  # for the processes: they are as many already
    try:
        n = min(len(PRECISIONS), os.cpu_count() or 1)
        with ProcessPoolExecutor(n, _copying_context(), initializer=_end_with_parent) as processes:
            yield processes.map
    finally:
        for name, value in plain.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _copying_context() -> BaseContext:
    """Of processes that are copies of one without threads or a device, where the system has such."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    main = getattr(sys.modules["__main__"], "__spec__", None)  # which every process runs anew
    context.set_forkserver_preload([*([main.name] if main else []), "mdl.quantization.two_part_code"])
    return context


def _end_with_parent() -> None:
    """Also where it is killed: a pool's processes would wait for ever."""
    parent = parent_process()
    assert parent is not None  # noqa: S101 - this runs in a pool's process

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
