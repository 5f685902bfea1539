"""What `mdl size` will train first: shapes about the forecast size, subsets, steps that fit a share of the budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mdl.errors import MdlError
from mdl.models import (
    ENVELOPE,
    TRANSFORMER,
    Shape,
    architecture_of,
    count_params,
    forward_flops_per_byte,
    parse_size,
)
from mdl.quantization import coded_bytes
from mdl.sizing.forecast import forecast_of
from mdl.sizing.ladder import countable
from mdl.sweeps import Rule, Work, makespan
from mdl.units import format_bytes

_SMALLER, _LARGER = 1 / 8, 4.5  # how far about the forecast the first shapes go, as factors of it
_APART = 1.25  # at least, from one shape to the next
_FEWEST_SHAPES = 5
_LEAST_SHAPES = 3  # or no size has one on either side
_LAW_SUBSETS = 3  # of fewer no law carries a size on
_SUBSETS_APART = (4, 2, 1.5)  # factors, the better first
_WHOLE_APART = 4  # as a factor, from all of the data to the largest part of them, and on
_PAYS_TIMES, _MOST_PAYS_TIMES = 2.0, 4.5  # see `_pays_times`
_LEAST_SUBSET = 4_000  # bytes: of less a model of any size learns too little to tell
_FEWEST_STEPS, _MOST_STEPS = 80, 60_000
_SHAPES = ((9, 6.0), (8, 5.0), (7, 3.0), (6, 1.0), (5, 0.7))  # so many, where they see the largest subset so often
_START_SECONDS = 8.0  # until a worker's first step: imports, the corpus
_BESIDE_OTHERS = 1.25  # times a process's own speed: on a CPU workers share its memory, and on a GPU they take turns
FIRST_SHARE = 0.3  # of the budget, until the first answer, which takes some seconds more to be told
WITH_HALF = 1.15  # a training that half of it branches off, as a multiple of its time alone
RECIPE = 2  # of everything that is trained, where no cell was trained by another
_LR_SCALE = {1: 2.0, 2: 1.0}  # twice recipe 1's rate was better in every cell that was tried with both


@dataclass(frozen=True, kw_only=True)
class Data:
    """What is known of the data before anything is trained."""

    source: str
    modality: str
    size_bytes: int
    train_bytes: int  # what a subset may have
    heldout_bytes: int  # as asked for: whole documents may come to as much as twice of it
    n_documents: int
    read: str = ""  # what was read, and what bytes it became; empty: one file's bytes as they lie


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How everything is trained in one question."""

    context_bytes: int
    batch_windows: int
    n_workers: int
    coded: bool  # are weights coded too?
    n_gpus: int = 0  # that the workers share; 0: each has a core
    recipe: int = RECIPE
    architecture: str = TRANSFORMER

    @property
    def n_sharing(self) -> int:
        """Cohorts that take turns on a device."""
        return math.ceil(self.n_workers / self.n_gpus) if self.n_gpus else 1

    def shape(self, size: str) -> Shape:
        """A shape such as "16x2" as it is trained here."""
        shape = Shape(*parse_size(size), context_tokens=self.context_bytes, architecture=self.architecture)
        return replace(shape, block=min(self.recipe, architecture_of(shape).n_blocks))

    def n_params(self, size: str) -> int:
        """N of a shape."""
        return count_params(self.shape(size))["total"]


@dataclass(frozen=True, kw_only=True)
class SizePlan:
    """The first round."""

    data: Data
    setting: Setting
    subsets: tuple[int, ...]  # bytes, the largest first
    sizes: tuple[str, ...]  # shapes, ascending in parameters
    steps: int
    expected: float  # parameters: the forecast
    seconds: float  # of the first round
    budget_seconds: float

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Flat settings of every cell."""
        pairs = itertools.product(self.sizes, self.subsets)
        return [
            one
            for size, d in pairs
            for one in budgets(self.data, self.setting, size=size, subset_bytes=d, steps=self.steps)
        ]

    @property
    def bytes_seen(self) -> int:
        """By every cell."""
        return self.steps * self.setting.batch_windows * self.setting.context_bytes

    @property
    def passes(self) -> float:
        """Of the largest subset."""
        return self.bytes_seen / self.subsets[0]


def budgets(
    data: Data, setting: Setting, *, size: str, subset_bytes: int, steps: int, seed: int = 0
) -> list[dict[str, Any]]:
    """A cell at half of the training and one at all of it: what the last half changes says how far endless training is.

    They share the flat phase of their training, so that both take `WITH_HALF` of the time of the longer one.
    """
    longest = cell(data, setting, size=size, subset_bytes=subset_bytes, steps=steps, seed=seed)
    return [longest | {"train.steps": steps // 2}, longest]


def cell(data: Data, setting: Setting, *, size: str, subset_bytes: int, steps: int, seed: int = 0) -> dict[str, Any]:
    """Flat settings of a cell; what is left out has its default."""
    return {
        "corpus.source": data.source,
        "corpus.heldout_bytes": data.heldout_bytes,
        "subset_bytes": subset_bytes,
        "model.size": size,
        "model.context_bytes": setting.context_bytes,
        "train.recipe": setting.recipe,
        "train.seed": seed,
        "train.steps": steps,
        "train.batch_windows": setting.batch_windows,
        "train.lr_scale": _LR_SCALE[setting.recipe],
        "train.evaluate_every": max(1, steps // 8),
        "train.heldout_sample_bytes": 4096,
        "measure.reach_ratio": 1.0,
        "measure.stream_bytes": 0,
        "measure.coded_weights": setting.coded,
        **({"model.architecture": setting.architecture} if setting.architecture != TRANSFORMER else {}),
    }


def require_enough(data: Data) -> None:
    """MdlError for so few bytes that models of all sizes learn nothing from them."""
    if data.train_bytes < _LEAST_SUBSET:
        raise MdlError(
            f"corpus '{data.source}' leaves {data.train_bytes:,} of its {data.size_bytes:,} bytes to train on; a "
            f"model size needs at least {_LEAST_SUBSET:,}: give some {format_bytes(2 * _LEAST_SUBSET)} or more in all"
        )


def first_plan(
    data: Data,
    setting: Setting,
    rule: Rule,
    budget_seconds: float,
    *,
    off_by: float = 1.0,
    about: float | None = None,
    seconds: float | None = None,
) -> SizePlan:
    """All of the data where a share of the budget has time for some passes over it, else as much as it has time for.

    Of the rest of the time come more shapes and more steps. `off_by` multiplies the forecast: a test that the answer
    does not hang on it. `about`: parameters for all of the data, instead of the forecast; `seconds`: other ones than
    the share of the first round. MdlError for too little data.
    """
    require_enough(data)
    share, law = seconds or FIRST_SHARE * budget_seconds, forecast_of(data.modality)
    known = (about or off_by * law.n_params(data.train_bytes)) / law.n_params(data.train_bytes)
    smallest = min(setting.n_params(size) for size in countable(ENVELOPE, setting.architecture))
    best, least = None, math.inf
    for subsets, n_shapes, passes in _wishes(data.train_bytes):
        expected = known * law.n_params(subsets[0])
        found = SizePlan(
            data=data,
            setting=setting,
            subsets=subsets,
            sizes=_shapes_about(setting, expected, n_shapes),
            steps=_FEWEST_STEPS,
            expected=expected,
            seconds=0.0,
            budget_seconds=budget_seconds,
        )
        found = _with_steps(found, rule, share)
        missed = max(found.seconds / (1.1 * share), 1.0) * max(passes / found.passes, 1.0)  # as a factor; 1: nothing
        if len(subsets) > 1:
            paid_for = known * law.n_params(subsets[-1])
            missed *= max(_pays_times(found.steps) * smallest / paid_for, 1.0) ** 2
        if missed < least:
            best, least = found, missed
        if missed == 1.0:
            break
    assert best is not None  # noqa: S101 - there is always a first wish
    return best


def _wishes(train_bytes: int) -> Iterator[tuple[tuple[int, ...], int, float]]:
    """Subsets, the largest first, number of shapes, passes over the largest: the best wish first.

    Smaller subsets cost as much training as the largest, so that they come only where a law has to carry on from them.
    """
    for subsets in _subsets_of(train_bytes):
        for n_shapes, passes in _SHAPES:
            yield subsets, n_shapes, passes


def _pays_times(steps: int) -> float:
    """How many times the smallest model the smallest part must be expected to pay for, to have a size that is found.

    Trained briefly, parts pay for less than is foretold: after 80 steps 59 KB, foretold to pay for
    4.3 times as many parameters, pay for fewer than the smallest model has.
    """
    return max(_PAYS_TIMES, _MOST_PAYS_TIMES * math.sqrt(_FEWEST_STEPS / steps))


def _with_steps(plan: SizePlan, rule: Rule, share_seconds: float) -> SizePlan:
    """As many as the time is enough for."""
    fewest = round_seconds(plan, rule)
    a_step = (round_seconds(replace(plan, steps=2 * plan.steps), rule) - fewest) / plan.steps
    more = max(0.0, share_seconds - fewest) / max(a_step, 1e-9)
    plan = replace(plan, steps=int(min(plan.steps + more, _MOST_STEPS)))
    return replace(plan, seconds=round_seconds(plan, rule))


def round_seconds(plan: SizePlan, rule: Rule) -> float:
    """How long a plan takes: its cohorts, longest first, over the workers."""
    setting, n = plan.setting, len(plan.subsets)
    times = []
    for size in plan.sizes:
        of_subsets = sum(D + (coded_bytes(D) if setting.coded else 0) for D in plan.subsets)
        measured = of_subsets + 2 * n * plan.data.heldout_bytes
        work = Work(
            n_steps=plan.steps,
            n_bytes=n * plan.bytes_seen,
            measured_bytes=2 * measured,  # at half of the training and at all of it
            flops_per_byte=forward_flops_per_byte(setting.shape(size)),
        )
        spent = rule.seconds(work)
        beside = _BESIDE_OTHERS if setting.n_workers > max(1, setting.n_gpus) else 1.0
        at_work = WITH_HALF * spent.training * beside + spent.measuring
        times.append(rule.next_start + at_work * setting.n_sharing)
    return _START_SECONDS + makespan(sorted(times, reverse=True), setting.n_workers)


def _shapes_about(setting: Setting, expected: float, most: int) -> tuple[str, ...]:
    """About the forecast, no two too near each other; at a ladder's end those that there are."""
    sizes = sorted((setting.n_params(size), size) for size in countable(ENVELOPE, setting.architecture))
    inside = [pair for pair in sizes if _SMALLER * expected <= pair[0] <= _LARGER * expected]
    if len(inside) < _FEWEST_SHAPES:
        inside = sorted(sorted(sizes, key=lambda pair: abs(math.log(pair[0] / expected)))[:_FEWEST_SHAPES])
    kept = inside[:1]
    for n, size in inside[1:]:
        if n >= _APART * kept[-1][0]:
            kept.append((n, size))
    if len(kept) < _LEAST_SHAPES:
        raise MdlError(
            f"architecture '{setting.architecture}' has no {_LEAST_SHAPES} sizes that differ in their parameters: "
            f"{', '.join(f'{size} has {n:,}' for n, size in inside[:2])} …; let shape.width or shape.depth count"
        )
    while len(kept) > most:
        kept = _thinned(kept)
    return tuple(size for _, size in kept)


def _thinned(sizes: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """One fewer: the shape whose neighbors are nearest to each other; the ends stay."""
    gaps = [sizes[i + 1][0] / sizes[i - 1][0] for i in range(1, len(sizes) - 1)]
    out = 1 + gaps.index(min(gaps))
    return sizes[:out] + sizes[out + 1 :]


def _subsets_of(train_bytes: int) -> Iterator[tuple[int, ...]]:
    """All of the data alone, then ever smaller parts of them for a law, each time first those far apart."""
    yield (train_bytes,)
    most = train_bytes // _WHOLE_APART
    while most >= _LEAST_SUBSET:
        for apart in _SUBSETS_APART:
            yield tuple(int(most / apart**i) for i in range(_LAW_SUBSETS))
        most //= _WHOLE_APART
