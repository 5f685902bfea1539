"""The search: train, look, take what is most worth its seconds, until it is sure enough or the time is up."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.next_cells import suggest as suggestions
from mdl.config import from_flat
from mdl.errors import MdlError
from mdl.models import ENVELOPE
from mdl.records import SEARCHED, RunPaths
from mdl.sizing.answer import Answer, look
from mdl.sizing.answer_text import table_lines
from mdl.sizing.begun import NOT_OURS
from mdl.sizing.coders import Coders
from mdl.sizing.deadline import Deadline
from mdl.sizing.ladder import coarse, rungs
from mdl.sizing.plan import WITH_HALF, Data, Setting, budgets
from mdl.sizing.plan_text import reading
from mdl.sweeps import cells_text, makespan, plan_sweep, read_cells, run_sweep, say, write_cells

if TYPE_CHECKING:
    from rich.console import Console

_LEAST_SECONDS = 12.0  # a round: its processes begin anew
_LONGER_AT_LEAST = 1.6  # times the training, or it would tell nothing
_LONGER_AT_MOST = 8.0
_LONGER_SHARE = 0.8  # of what is left
_ABOUT = 5.0  # how far from the size found longer training goes, as a factor
_LONGER_SHAPES = (7, 5, 4)  # of them at most, the nearest; fewer where the time left is not enough for more
_BEYOND = 3.0  # how far past an edge a new plan looks, as a factor
_ANEW_SHARE = 0.4  # of what is left, for it


@dataclass(frozen=True, kw_only=True)
class Search:
    """One question and what it takes to answer it; `run` may be interrupted and called again."""

    data: Data
    setting: Setting
    first: Callable[[], list[dict[str, Any]]]  # the cells to begin with, where none were wanted before
    anew: Callable[[float, float], list[dict[str, Any]]]  # about so many parameters, in so many seconds
    paths: RunPaths
    cost: str
    within: float
    command: str
    console: Console
    deadline: Deadline
    coders: Coders | None = None  # what a model has to beat

    @property
    def file(self) -> Path:
        """Every cell that was wanted."""
        return self.paths.root / "sweep.yaml"

    def run(self) -> Answer:
        """Until the interval is narrow enough, the time is up, or nothing would help."""
        wanted = self._before() or self.first()
        why = "the time for training is used up; the rest of the budget goes to the report"
        answer = self._round(wanted)
        is_more_known = self._more_coders(wanted)
        while self._left() > _LEAST_SECONDS:
            more = self._more(answer, wanted)
            if not more:
                why = self._why_nothing(answer)
                break
            wanted = [*wanted, *more]
            answer, is_more_known = self._round(wanted), False
        if (self.coders and self.coders.end()) or is_more_known:
            answer = self.look()
        return replace(answer, stopped=why, more_helps=not self._is_at_end(answer))

    def _before(self) -> list[dict[str, Any]]:
        """The cells that were wanted when the search was stopped."""
        return read_cells(self.file)

    def _more_coders(self, wanted: Sequence[dict[str, Any]]) -> bool:
        """Those that would have kept the first answer waiting, where time is left."""
        subsets = sorted({int(one["subset_bytes"]) for one in wanted}, reverse=True)
        return self.coders is not None and self.coders.more(subsets, self._left() - _LEAST_SECONDS)

    def _more(self, answer: Answer, wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is most worth its seconds: an edge first, then whichever the interval is made of most."""
        if answer.study is None or answer.width() <= self.within:
            return []
        ways = [self._longer, self._surer]
        if answer.n_params is None:
            ways = [self._wider, self._longer]
        elif answer.limit is not None and answer.limit.high / answer.limit.low < self._own_width(answer):
            ways.reverse()
        known = {from_flat(one).run_id for one in wanted}
        for way in ways:
            if more := [one for one in way(answer) if from_flat(one).run_id not in known]:
                return more
        return []

    @staticmethod
    def _own_width(answer: Answer) -> float:
        """Of the size at the longest training alone: its interval's upper end over the lower one."""
        low, high = (answer.at_this_training(name) for name in ("low", "high"))
        return high / low if low and high else math.inf

    def look(self, stopped: str = "") -> Answer:
        """The answer as far as it goes."""
        return look(
            self.paths.root,
            self.cost,
            source=self.data.source,
            size_bytes=self.data.size_bytes,
            train_bytes=self.data.train_bytes,
            read=reading(self.data),
            stopped=stopped,
        )

    def _round(self, wanted: Sequence[dict[str, Any]]) -> Answer:
        wanted = [*wanted, *self._of_others(wanted)]
        text = f"{SEARCHED}; mdl sweep goes on with them.\n{cells_text(wanted, self.paths.root.name)}"
        write_cells(text, SEARCHED, self.file, NOT_OURS)
        plan = plan_sweep(self.file, self.paths.root.parent)
        run_sweep(
            plan,
            self.command,
            self.console,
            n_workers=self.setting.n_workers,
            with_baselines=False,
            until=self.deadline.training_ends,
        )
        began = time.monotonic()
        answer = self.look()
        if answer.study is not None:
            self.deadline.looked(time.monotonic() - began)
        for line in table_lines(answer):
            say(self.console, line)
        return answer

    def _of_others(self, wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Cells that another process added, which was asked the same at the same time: both work on all of them.

        MdlError where it was begun with another spelling of the data, whose records would count as other data.
        """
        own = {from_flat(one).run_id for one in wanted}
        others = [one for one in read_cells(self.file) if from_flat(one).run_id not in own]
        for one in others:
            if (source := from_flat(one).corpus.source) != self.data.source:
                raise MdlError(
                    f"{self.paths.root} was begun with '{source}' by another process in this moment; the same command "
                    "again goes on with it"
                )
        return others

    def _left(self) -> float:
        return self.deadline.left()

    def _why_nothing(self, answer: Answer) -> str:
        if answer.width() <= self.within:
            return f"the interval is within a factor of {self.within:g}"
        if self._is_at_end(answer):
            return f"no {'smaller' if (answer.row or {})['status'] == 'below' else 'larger'} model can be built"
        return "no further useful cell fits into the time that is left"

    def _is_at_end(self, answer: Answer) -> bool:
        """Is the best model the smallest, or the largest, of all that there are?"""
        setting, row = self.setting, answer.row or {}
        there = rungs(ENVELOPE, setting.architecture, setting.context_bytes, setting.recipe)
        is_least = row.get("status") == "below" and row["least_size"] <= there[0].n_params
        return is_least or (row.get("status") == "above" and row["most_size"] >= there[-1].n_params)

    def _longer(self, answer: Answer) -> list[dict[str, Any]]:
        """The shapes about the size found, trained as much longer as most of the time left is enough for."""
        if answer.study is None:
            return []
        cells = answer.study.explained.table.cells
        runs = cells[cells["bytes_seen"] == cells["bytes_seen"].max()].drop_duplicates("run_id")
        rungs = sorted(set(zip(runs["n_params"], runs["size"], strict=True)))
        subsets = sorted(set(runs["subset_bytes"]), reverse=True)
        for near, some in itertools.product(self._nearest(rungs, answer), (subsets, subsets[:1])):
            seconds = [self._seconds(runs, int(n), some) for n, _ in near]
            trained, others = (sorted((one[i] for one in seconds), reverse=True) for i in (0, 1))
            training = WITH_HALF * makespan(trained, self.setting.n_workers)
            around = 2 * makespan(others, self.setting.n_workers) + _LEAST_SECONDS / 2
            times = min((_LONGER_SHARE * self._left() - around) / max(training, 1e-9), _LONGER_AT_MOST)
            if times >= _LONGER_AT_LEAST:
                steps = int(times * max(int(config["train.steps"]) for config in runs["config"]))
                return [
                    one
                    for _, size in near
                    for d in some
                    for one in budgets(self.data, self.setting, size=size, subset_bytes=int(d), steps=steps)
                ]
        return []

    @staticmethod
    def _nearest(rungs: Sequence[tuple[float, str]], answer: Answer) -> list[list[tuple[float, str]]]:
        """Those about the size found, ever fewer; all, where none was."""
        found = answer.row["n_params"] if answer.row else math.nan
        if math.isnan(found):
            return [list(rungs)]
        near = [rung for rung in rungs if found / _ABOUT <= rung[0] <= found * _ABOUT]
        near.sort(key=lambda rung: abs(math.log(rung[0] / found)))
        return [sorted(near[:n]) for n in _LONGER_SHAPES]

    @staticmethod
    def _seconds(runs: Any, n_params: int, subsets: Sequence[int]) -> tuple[float, float]:
        """Of a shape's cohort on those subsets: training as long as it was, and all the rest."""
        own = runs[runs["n_params"] == n_params]
        share = min(1.0, len(subsets) / float(own["cohort_size"].iloc[0]))
        # A step has a part that does not grow with its members.
        training = float(own["training_seconds"].iloc[0]) * (0.4 + 0.6 * share)
        return training, float(own["measuring_seconds"].iloc[0]) * share + 1.0

    def _wider(self, answer: Answer) -> list[dict[str, Any]]:
        """Shapes beyond the edge at which the best one is, far apart; a new plan where those take too long."""
        row = answer.row or {}
        edge = {"below": row.get("least_size"), "above": row.get("most_size")}.get(str(row.get("status")))
        if edge is None:
            return self._surer(answer)
        if more := self._surer(answer, coarse(ENVELOPE, self.setting.architecture, edge)):
            return more
        about = edge * (_BEYOND if row["status"] == "above" else 1 / _BEYOND)
        return self.anew(about * self.data.train_bytes / row["subset_bytes"], _ANEW_SHARE * self._left())

    def _surer(self, answer: Answer, names: Sequence[str] = ENVELOPE) -> list[dict[str, Any]]:
        """What `mdl suggest` would take of these shapes, the question's own data first, as far as the time goes."""
        if answer.study is None:
            return []
        offered = suggestions(answer.study.explained, partial(rungs, names), self.within)
        offered.sort(key=lambda one: -one.subset_bytes)
        left = (self._left() - _LEAST_SECONDS / 2) * self.setting.n_workers * 0.8
        taken: list[dict[str, Any]] = []
        for one in offered:
            n_cells = len(one.seeds)
            seconds = WITH_HALF * one.seconds * n_cells
            if seconds <= left:
                left -= seconds
                d, steps = one.subset_bytes, int(one.recipe["train.steps"])
                for seed in one.seeds:
                    taken += budgets(self.data, self.setting, size=one.size, subset_bytes=d, steps=steps, seed=seed)
        return taken
