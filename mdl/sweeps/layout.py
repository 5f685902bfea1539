"""How a plan is laid out on this machine: how many cohorts share a GPU, which are cut, and when all would be done."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cache

from mdl.config import Cohort
from mdl.data import Corpus, CorpusSpec
from mdl.models import architecture_of, training_bytes
from mdl.sweeps import claims
from mdl.sweeps.cohort_parts import keep_parts
from mdl.sweeps.cost_model import CostModel, Spent
from mdl.sweeps.hardware import count_gpus, gpu_models
from mdl.sweeps.jobs import work_left
from mdl.sweeps.plan import Plan
from mdl.sweeps.schedule import Place, cut, finished, longest_first

_MOST_A_GPU = 3  # cohorts: what the studies of this repository ran with, on one H100
_MEMORY_SHARE = 0.75  # of a GPU's: the rest is the corpora's and the processes' own


def auto_per_gpu(cohorts: Sequence[Cohort], n_gpus: int, n_cores: int) -> int:
    """So many cohorts share a GPU as its memory holds of the largest, each with a core of its own."""
    memory = _memory_of_a_gpu()
    needs, n, most = sorted(map(_training_bytes, cohorts), reverse=True), 1, most_per_gpu(n_gpus, n_cores)
    while n < most and sum(needs[: n + 1]) <= memory:
        n += 1
    return n


def most_per_gpu(n_gpus: int, n_cores: int) -> int:
    """So many cohorts share a GPU where its memory is enough: one compiles its kernels while another trains."""
    return max(1, min(_MOST_A_GPU, n_cores // max(1, n_gpus)))


def advice_on_memory(plan: Plan) -> str:
    """Where `train.memory_bytes` splits what a GPU here would hold whole into more cohorts than there are GPUs, a line.

    Members take less time together than one after another. A sweep's file alone says who trains together, on any
    machine, and a sweep that has begun keeps its cohorts: then, and where there is nothing to say, "".
    """
    n_gpus, memory = count_gpus(), _memory_of_a_gpu()
    if not n_gpus or plan.paths.root.exists():
        return ""
    groups: dict[Hashable, list[Cohort]] = {}
    for cohort in plan.cohorts:
        if cohort.execution.n_devices == 1 and architecture_of(cohort.shape).fast_parts:
            budgets = frozenset(cell.resolved.recipe.steps for cell in cohort.cells)
            groups.setdefault((cohort.cells[0].config.cohort_key(), budgets), []).append(cohort)
    split = [(sum(map(_training_bytes, group)), group) for group in groups.values() if len(group) > n_gpus]
    held = [(needed, group) for needed, group in split if needed <= memory]
    if not held:
        return ""
    names = [
        f"{group[0].shape.label} ×{sum(len(c.members) for c in group)} in {len(group)} cohorts" for _, group in held
    ]
    return (
        f"train.memory_bytes splits {', '.join(names)}; a GPU here holds each whole, and together they take less time. "
        f"In the sweep file: train.memory_bytes: {{value: {math.ceil(max(needed for needed, _ in held) / 1e9)}GB}}"
    )


def _memory_of_a_gpu() -> float:
    """Of the smallest here, bytes that training may take; 0: there is none, or the driver does not say."""
    return min((gpu.memory_bytes for gpu in gpu_models()), default=0) * _MEMORY_SHARE


def _training_bytes(cohort: Cohort) -> float:
    n_windows = cohort.recipe.batch_windows // max(1, cohort.execution.n_devices)
    return float(training_bytes(cohort.shape, n_windows)) * len(cohort.members)


class Layout:
    """The cohorts that are left, in the places where cohorts train."""

    def __init__(
        self, plan: Plan, corpora: Mapping[CorpusSpec, Corpus], model: CostModel, places: Sequence[Place]
    ) -> None:
        """`places`: where cohorts train."""
        self._plan, self._places = plan, places
        self._claimed = claims.live(plan.paths).keys()
        self._whole = {run_id: cohort for cohort in plan.cohorts for run_id in cohort.run_ids}

        @cache
        def seconds(cohort: Cohort) -> Spent:
            return model.seconds(work_left(cohort, corpora, plan.paths))

        self.seconds = seconds

    def cut(self, left: Sequence[Cohort], *, keep: bool) -> list[Cohort]:
        """The same cells, some cohorts in parts; with `keep` these are written down in the run folder."""
        found: dict[str, list[Cohort]] = {}
        for part in cut(left, self.seconds, self._places, self._may_cut):
            found.setdefault(self._whole[part.run_ids[0]].cohort_id, []).append(part)
        if keep:
            found = {cohort_id: self._kept(parts) for cohort_id, parts in found.items()}
        return longest_first([part for parts in found.values() for part in parts], self.seconds)

    def _kept(self, parts: list[Cohort]) -> list[Cohort]:
        """Of one cohort, written down if it is cut; or those that another process had just cut it into."""
        whole, run_ids = self._whole[parts[0].run_ids[0]], {run_id for part in parts for run_id in part.run_ids}
        if len(parts) == 1 or not self._may_cut(whole):
            return parts
        return [left for part in keep_parts(whole, parts, self._plan.paths) if (left := part.only(run_ids)).cells]

    def end_seconds(self, cohorts: Sequence[Cohort], others: Sequence[float] = ()) -> float:
        """When these are done, and after them `others` (seconds each) in the same places."""
        after = [Spent(start=0.0, training=0.0, measuring=other) for other in others]
        return finished(longest_first(cohorts, self.seconds), self.seconds, self._places, after)

    def _may_cut(self, cohort: Cohort) -> bool:
        """Not what is cut already, is in flight or another process's, or trains on several devices."""
        whole, paths = self._whole[cohort.run_ids[0]], self._plan.paths
        if cohort.execution.n_devices > 1 or paths.split(whole.cohort_id).exists():
            return False
        if not self._claimed.isdisjoint(whole.run_ids):
            return False
        return not any(paths.checkpoint(state).exists() for state in (*whole.state_ids, *cohort.state_ids))
