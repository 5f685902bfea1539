"""`mdl size`: how big a model does this file pay for? From a path to an answer, in a given time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mdl.data import Corpus, CorpusSpec, open_corpus
from mdl.errors import MdlError
from mdl.evaluation import BaselineJob, run_baseline
from mdl.records import RunPaths
from mdl.sizing.answer import Answer
from mdl.sizing.plan import Data, Setting, SizePlan, first_plan
from mdl.sizing.search import Search
from mdl.sizing.speed import try_speed
from mdl.storage import Progress

if TYPE_CHECKING:
    from rich.console import Console

_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}
_LEAST_BUDGET_SECONDS = 30.0
_REPORT_SECONDS = 10.0  # kept for the report, and 6 % of the budget for what cannot be foretold
_CODER_SHARE = 0.05  # of the budget may go to the classical coder


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, and how long it may take."""

    source: str
    budget_seconds: float
    within: float
    cost: str
    runs: Path
    name: str
    workers: int | None = None


def parse_seconds(text: str | float) -> float:
    """Seconds of 90, "90s", "10min", "1h" or "1h30min"; MdlError for anything else."""
    if isinstance(text, int | float):
        return float(text)
    parts = re.findall(r"([0-9.]+)\s*([a-z]*)", text.strip().lower())
    whole = re.sub(r"\s", "", "".join(number + unit for number, unit in parts))
    try:
        if whole != re.sub(r"\s", "", text.strip().lower()) or not parts:
            raise ValueError
        return float(sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts))
    except (KeyError, ValueError):
        raise MdlError(f"'{text}' is no time; write 90s, 10min or 1h") from None


def name_of(source: str) -> str:
    """A run folder's name for a corpus: the file's own name."""
    path = source.partition(",column=")[0].rstrip("/")
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", path.rpartition("/")[2].rpartition(":")[2]).strip("-.")
    return f"size-{word[:80] or 'data'}"


def plan_size(question: Question, *, progress: Progress | None = None, off_by: float = 1.0) -> tuple[SizePlan, Corpus]:
    """Look at the data and the machine, and decide what to train first. MdlError for what cannot be answered."""
    if question.budget_seconds < _LEAST_BUDGET_SECONDS:
        raise MdlError(
            f"a budget of {question.budget_seconds:g} s is too short; give at least {_LEAST_BUDGET_SECONDS:g} s"
        )
    corpus = open_corpus(CorpusSpec(question.source), progress=progress)
    data = Data(
        source=question.source,
        modality=corpus.info.modality,
        size_bytes=corpus.info.size_bytes,
        train_bytes=len(corpus.train),
        n_documents=corpus.n_documents,
    )
    setting = _setting(question)
    speed = try_speed(setting.context_bytes, setting.batch_windows)
    return first_plan(data, setting, speed, question.budget_seconds, off_by=off_by), corpus


def _setting(question: Question) -> Setting:
    from mdl.device import choose_device
    from mdl.sweeps import n_places

    on_gpu = choose_device().type == "cuda"
    return Setting(
        context_bytes=1024 if on_gpu else 256,
        batch_windows=32 if on_gpu else 8,
        n_workers=question.workers or n_places(),
        coded=question.cost.startswith("coded"),
    )


def answer(
    question: Question, console: Console, command: str, *, progress: Progress | None = None,
    told: Callable[[SizePlan], None] = lambda _: None, off_by: float = 1.0,
) -> Answer:  # fmt: skip
    """Plan, search, and the answer, with KeyboardInterrupt as one of the ways to end."""
    started = time.monotonic()
    plan, corpus = plan_size(question, progress=progress, off_by=off_by)
    told(plan)
    paths = RunPaths(question.runs / question.name)
    corpus.require_as_in(paths)
    _classical(plan, corpus, paths)
    search = Search(
        plan=plan,
        paths=paths,
        cost=question.cost,
        within=question.within,
        command=command,
        console=console,
        ends=started + 0.94 * question.budget_seconds - _REPORT_SECONDS,
    )
    try:
        return search.run()
    except KeyboardInterrupt:
        return search.look("stopped; the same command goes on")


def _classical(plan: SizePlan, corpus: Corpus, paths: RunPaths) -> None:
    """Coders that take little of the time, on every subset, as the models see it: what a model has to beat."""
    from mdl.compressors import REGISTRY, coders_for

    left = _CODER_SHARE * plan.budget_seconds
    for subset_bytes in plan.subsets:
        for coder in sorted(coders_for(corpus.info.modality), key=lambda name: REGISTRY[name].cost_per_byte):
            seconds = REGISTRY[coder].cost_per_byte * subset_bytes / 1e11
            if seconds <= left:
                left -= seconds
                run_baseline(corpus, BaselineJob(coder, subset_bytes, "shuffled", None), paths)
