"""What cohorts took on machines of this kind: noted in the cache folder as each ends, for the next one's estimate."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mdl.config import Cohort
from mdl.storage import cache_folder, digest, note, noted, write_atomically
from mdl.sweeps.cost_model import H100, USUAL_CORE, CostModel, Rule, Spent, Work, core
from mdl.sweeps.hardware import this_machine
from mdl.sweeps.speed_trial import try_speed

_MOST_READ = 300  # cohorts, the newest of a machine
_TRIAL = "speed-trial"
_SEEN = "cohorts-alone"  # by another name than when what a cohort took was kept as it was, beside others or not


def cost_model(*, on_gpu: bool) -> CostModel:
    """Of this machine, by all that has been noted of its kind."""
    kind = this_machine(on_gpu=on_gpu)
    seen = []
    paths = sorted(_folder(kind).glob("*.json"), key=_age)[:_MOST_READ]
    for path in paths:
        with contextlib.suppress(
            OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError
        ):
            content = json.loads(path.read_bytes())
            work, spent = Work(**_numbers(content["work"])), Spent(**_numbers(content["spent"]))
            seen.append((work, spent))
    return CostModel(H100 if on_gpu else _of_a_core(kind), tuple(seen))


def remember(work: Work, spent: Spent, *, share: float, on_gpu: bool) -> None:
    """Note what a cohort took that had such a share of its device, on average; for like work the newest stays."""
    alone = Spent(start=spent.start, training=spent.training * share, measuring=spent.measuring * share)
    content = json.dumps({"work": asdict(work), "spent": asdict(alone)})
    path = _folder(this_machine(on_gpu=on_gpu)) / f"{digest([str(value) for value in asdict(work).values()])}.json"
    with contextlib.suppress(OSError):  # it costs time, not truth
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.encode())


def try_core_once(cohort: Cohort) -> None:
    """Where nothing ran on this processor yet, note the speed that some seconds' trial of such a cohort has."""
    kind = this_machine(on_gpu=False)
    if cost_model(on_gpu=False).seen or noted(cache_folder(), _TRIAL, kind):
        return
    shape, recipe = cohort.shape, cohort.recipe
    rule = try_speed(shape.context_tokens, recipe.batch_windows, device="cpu", recipe=recipe.version)
    note(cache_folder(), _TRIAL, kind, [rule.step, rule.flop])


def _numbers(content: dict[str, Any]) -> dict[str, Any]:
    """The same. ValueError where one is no number of seconds, bytes or operations."""
    if not all(type(value) in (int, float) and 0 <= float(value) < math.inf for value in content.values()):
        raise ValueError
    return content


def _of_a_core(kind: str) -> Rule:
    match noted(cache_folder(), _TRIAL, kind):
        case [float(step), float(flop)] if flop > 0:
            return core(step, flop, "a trial of some seconds")
    return USUAL_CORE


def _folder(kind: str) -> Path:
    return cache_folder() / _SEEN / re.sub(r"[^A-Za-z0-9.-]+", "-", kind)


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
