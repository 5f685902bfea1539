"""`mdl size`: how big a model does this file pay for? From a path to an answer, in a given time."""

from __future__ import annotations

import contextlib
import math
import re
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any

from analysis.costs import parse_cost, require_price
from mdl.data import Corpus, CorpusSpec, open_corpus
from mdl.errors import MdlError
from mdl.models import TRANSFORMER, architecture_named
from mdl.quantization import PRECISIONS
from mdl.records import RunPaths
from mdl.sizing.answer import Answer
from mdl.sizing.begun import Begun, begun_in, open_as_begun
from mdl.sizing.coders import Coders
from mdl.sizing.deadline import Deadline
from mdl.sizing.going_on import GoingOn, n_done
from mdl.sizing.plan import FIRST_SHARE, RECIPE, Data, Setting, SizePlan, first_plan, require_enough
from mdl.sizing.plan_text import going_on_lines, plan_lines
from mdl.sizing.search import Search
from mdl.storage import Progress, require_records_folder
from mdl.sweeps import Rule, check_name, count_gpus, load_average, n_cores, n_places, say, try_speed, waits
from mdl.units import whole_number

if TYPE_CHECKING:
    from rich.console import Console

_UNITS = {1: "s sec secs second seconds", 60: "m min mins minute minutes", 3600: "h hr hrs hour hours"}
_SECONDS = {unit: seconds for seconds, units in _UNITS.items() for unit in units.split()}
_LEAST_BUDGET_SECONDS = 30.0
_MOST_HELDOUT_BYTES = 1 << 16  # they are measured with every model, and do not say what pays
_TRIAL_SHARE = 1 / 90  # of the budget, for each of the two shapes by which the machine is tried
_LEAST_SHARE = 0.25  # of the budget, for the first round's training


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
    architecture: str = TRANSFORMER
    began: float
    """By time.monotonic(): the budget counts from here."""
    with_report: bool = False
    """Is one to be made within the budget?"""
    off_by: float = 1.0
    """Multiplies the forecast: a test that the answer does not hang on it."""

    @property
    def paths(self) -> RunPaths:
        """Where its cells are recorded."""
        return RunPaths(self.runs / self.name)


def ask(
    source: str,
    *,
    budget: str | float,
    within: float,
    cost: str,
    runs: Path,
    name: str | None = None,
    workers: int | None = None,
    architecture: str = TRANSFORMER,
    with_report: bool = False,
    already_seconds: float = 0.0,
) -> Question:
    """In a user's words; the run folder is named after the file where no name is given. MdlError for no time.

    `with_report`: the budget is to be enough for one; `already_seconds` of it are over.
    """
    own = "" if architecture == TRANSFORMER else f"-{architecture}"
    return Question(
        source=source,
        budget_seconds=parse_seconds(budget),
        within=within,
        cost=cost,
        runs=runs,
        name=name_of(source) + own if name is None else name,
        workers=workers,
        architecture=architecture,
        began=time.monotonic() - already_seconds,
        with_report=with_report,
    )


def parse_seconds(text: str | float) -> float:
    """Seconds of 90, "90s", "10min", "1h" or "1h30min"; MdlError for anything else."""
    if isinstance(text, int | float):
        return float(text)
    parts = re.findall(r"([0-9.]+)\s*([a-z]*)", text.lower())
    is_all = "".join(map("".join, parts)) == "".join(text.lower().split())
    with contextlib.suppress(KeyError, ValueError):
        if parts and is_all and (len(parts) == 1 or all(unit for _, unit in parts)):
            return float(sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts))
    raise MdlError(f"'{text}' is not a time; write 90s, 10min or 1h")


def name_of(source: str) -> str:
    """A run folder's name for a corpus: the file's own name."""
    path = source.partition(",column=")[0].rstrip("/")
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", path.rpartition("/")[2].rpartition(":")[2]).strip("-.")
    return f"size-{word[:80] or 'data'}"


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What is known before anything is trained."""

    corpus: Corpus
    data: Data
    setting: Setting
    device: str
    budget_seconds: float
    begun: Begun | None

    @cached_property
    def rule(self) -> Rule:
        """How fast this machine trains, by a trial of one process, where each of several waits for the others."""
        setting = self.setting
        others = load_average()
        tried = try_speed(
            setting.context_bytes,
            setting.batch_windows,
            device=self.device,
            recipe=setting.recipe,
            architecture=setting.architecture,
            most_seconds=_TRIAL_SHARE * self.budget_seconds,
        )
        return tried if self.device == "cuda" else tried.waiting(waits(others, setting.n_workers, n_places()))

    def _first_seconds(self, question: Question) -> float:
        """What is left of the first round's share after all that came before it."""
        self.rule  # noqa: B018 - its trial takes time
        before = time.monotonic() - question.began
        return max(FIRST_SHARE * question.budget_seconds - before, _LEAST_SHARE * question.budget_seconds)

    def plan(self, question: Question, **instead: float) -> SizePlan:
        """What to train first, or `instead`, as `first_plan` takes it. MdlError for too little data."""
        known = {"off_by": question.off_by, "seconds": self._first_seconds(question), **instead}
        return first_plan(self.data, self.setting, self.rule, question.budget_seconds, **known)

    def going_on(self, question: Question) -> GoingOn | None:
        """What is gone on with; None where nothing was begun before."""
        if not self.begun:
            return None
        cells = self.begun.cells
        return GoingOn(
            data=self.data,
            setting=self.setting,
            cells=cells,
            n_done=n_done(cells, question.paths),
            budget_seconds=question.budget_seconds,
        )


def look_at(question: Question, progress: Progress | None = None) -> Looked:
    """Open the data and look at the machine. MdlError or AnalysisError for what cannot be answered."""
    from mdl.device import choose_device

    _check(question)
    device, begun = choose_device().type, begun_in(question.paths, question.architecture)
    if begun:
        corpus = open_as_begun(question.source, question.paths, begun, progress)
    else:
        spec = CorpusSpec(source=question.source)
        corpus = open_corpus(spec, progress=progress, most_heldout_bytes=_MOST_HELDOUT_BYTES)
    corpus.require_as_in(question.paths)
    data = Data(
        source=corpus.spec.source,
        modality=corpus.info.modality,
        size_bytes=corpus.info.size_bytes,
        train_bytes=len(corpus.train),
        heldout_bytes=int(corpus.spec.heldout_bytes or 0),
        n_documents=corpus.n_documents,
        read=corpus.read,
    )
    require_enough(data)
    setting = Setting(
        context_bytes=1024 if device == "cuda" else 256,
        batch_windows=32 if device == "cuda" else 8,
        n_workers=question.workers or n_places(),
        n_gpus=count_gpus() if device == "cuda" else 0,
        coded=question.cost.startswith("coded"),
        recipe=begun.recipe if begun else RECIPE,
        architecture=question.architecture,
    )
    return Looked(
        corpus=corpus, data=data, setting=setting, device=device, budget_seconds=question.budget_seconds, begun=begun
    )


def _check(question: Question) -> None:
    """Before anything is made; AnalysisError for an unknown cost, or none."""
    check_name(question.name)
    require_records_folder(question.paths.root)
    has_coded = architecture_named(question.architecture).coded is not None
    if question.cost.startswith("coded") and not has_coded:
        raise MdlError(
            f"--cost {question.cost} needs coded weights, which the architecture '{question.architecture}' does not "
            "have; give a fixed price such as float16"
        )
    price = parse_cost(question.cost)
    require_price(price)
    if price.precision_bits not in (None, *PRECISIONS):
        raise MdlError(
            f"weights are never coded at {price.precision_bits} bits; --cost takes coded with one of "
            f"{', '.join(map(str, PRECISIONS))}, such as coded4, or coded for the shortest"
        )
    if question.workers is not None:
        whole_number("workers", question.workers)
    if not math.isfinite(question.budget_seconds):
        raise MdlError(f"a budget of {question.budget_seconds} is no time; give seconds, or words such as 10min")
    if question.budget_seconds < _LEAST_BUDGET_SECONDS:
        least = f"{_LEAST_BUDGET_SECONDS:g} s"
        raise MdlError(f"a budget of {question.budget_seconds:g} s is too short; give at least {least}")
    if not 1 < question.within < math.inf:
        raise MdlError(
            f"--within is an interval's upper end over its lower end, a number above 1 such as 1.25, got "
            f"{question.within:g}"
        )


def find_size(question: Question, console: Console, command: str, progress: Progress | None = None) -> Answer:
    """Look, plan, search and answer; a KeyboardInterrupt is one of the ways to end."""
    deadline = Deadline(
        question.began + question.budget_seconds,
        with_report=question.with_report,
        budget_seconds=question.budget_seconds,
    )
    found = look_at(question, progress)
    paths = question.paths
    is_core_free = found.setting.n_workers < n_cores()
    coders = Coders(found.corpus, paths, question.budget_seconds, is_core_free=is_core_free)

    def first() -> list[dict[str, Any]]:
        with deadline.trial():
            found.rule  # noqa: B018 - its trial takes time
        plan = found.plan(question)
        for line in plan_lines(plan):
            say(console, line)
        coders.begin(plan.subsets, deadline.left())
        return plan.cells

    search = Search(
        data=found.data,
        setting=found.setting,
        first=first,
        coders=coders,
        anew=lambda about, seconds: found.plan(question, about=about, seconds=seconds).cells,
        paths=paths,
        cost=question.cost,
        within=question.within,
        command=command,
        console=console,
        deadline=deadline,
    )
    if going_on := found.going_on(question):
        for line in (f"going on with the cells of {search.file}", *going_on_lines(going_on)):
            say(console, line)
    try:
        return search.run()
    except KeyboardInterrupt as stop:
        answer = search.look("it was stopped; the same command goes on")
        return replace(answer, signal_number=int(getattr(stop, "signal_number", SIGINT)))
    finally:
        coders.end()
