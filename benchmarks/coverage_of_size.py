"""Does the interval of `mdl size` hold the size of endless training, its stopping rule and all?

python -m benchmarks coverage_of_size [--trials 40] [--seconds 100]

The real search, plan, laws and answer; only the training is a law of the code length, of N and the bytes seen, with
what shapes and runs are off it, and its time is that of a laptop. A trial is a truth at random, asked three times: with
the forecast as it is, a tenth of it and ten times it.
"""

from __future__ import annotations

import argparse
import io
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from analysis.records import Table, load
from benchmarks.simulated_sweeps import Truth
from mdl.config import from_flat
from mdl.models import Shape, count_params, forward_flops_per_byte, parse_size
from mdl.records import RunPaths
from mdl.sizing import Answer, answer_of
from mdl.sizing.deadline import Deadline
from mdl.sizing.plan import Data, Setting, first_plan
from mdl.sizing.search import Search
from mdl.sweeps import Work, makespan
from mdl.sweeps.cost_model import USUAL_CORE

_RECORDS = Path(__file__).parents[1] / "reports" / "quick" / "records"
_START_SECONDS = 6.0  # of a round
_BEFORE_SECONDS = 10.0  # until the plan
_OFF_BY = (1.0, 0.1, 10.0)


@dataclass(frozen=True, kw_only=True)
class World:
    """A truth: what a training of a shape gives, for ever the same of a seed."""

    trial: int
    endless: Truth
    gain: float  # bits a byte that endless training takes off what one pass of the data gives at 10,000 parameters
    fall: float  # of the rest by the training: passes^-fall
    grows: float  # with N^grows: larger models are further from their end
    shape_sd: float
    run_sd: float

    @staticmethod
    def of(trial: int) -> World:
        """At random, about what texts have shown."""
        rng = np.random.default_rng([trial, 19])
        exponent = rng.uniform(0.25, 0.5)
        amount = 60.0 * 10_000 ** (exponent - 0.4) * rng.lognormal(0, 0.4)
        return World(
            trial=trial,
            endless=Truth(E=rng.uniform(0.8, 1.6), A=amount, a=exponent),
            gain=rng.uniform(0.05, 0.4),
            fall=rng.uniform(0.45, 1.05),
            grows=rng.uniform(0.0, 0.5),
            shape_sd=float(rng.choice([0.003, 0.007, 0.012])),
            run_sd=float(rng.choice([0.001, 0.003])),
        )

    def own_bits(self, size: str, n_params: int, config: dict[str, Any]) -> float:
        """The code length of a subset by a model of a shape, trained as the configuration says."""
        d, steps = config["subset_bytes"], config["train.steps"]
        passes = steps * config["train.batch_windows"] * config["model.context_bytes"] / d
        rest = self.gain * passes**-self.fall * (n_params / 1e4) ** self.grows

        def drawn(*of: object) -> float:
            return float(np.random.default_rng([self.trial, zlib.crc32(repr(of).encode())]).normal())

        off = self.shape_sd * drawn(size) + self.run_sd * drawn(size, d, config["train.seed"])
        off += 0.3 * self.run_sd * drawn(size, d, config["train.seed"], steps)  # a branch's own
        return float((self.endless.bits(np.array(float(n_params)), float(d)) + d * rest) * np.exp(off))


@dataclass(frozen=True, kw_only=True)
class Simulated(Search):
    """The search, with a law in place of training and a clock of its own."""

    world: World
    records: list[dict[str, Any]] = field(default_factory=list)
    clock: list[float] = field(default_factory=lambda: [0.0])
    written: list[list[dict[str, Any]]] = field(default_factory=list)

    @cached_property
    def _template(self) -> Table:
        return load(_RECORDS)

    def _before(self) -> list[dict[str, Any]]:
        return []

    def _left(self) -> float:
        return self.deadline.training_ends - self.clock[0]

    def look(self, stopped: str = "") -> Answer:
        """Of what was made up so far."""
        d = self.data
        known = {"source": d.source, "size_bytes": d.size_bytes, "train_bytes": d.train_bytes, "stopped": stopped}
        cells = pd.DataFrame(self.records)
        table = replace(self._template, runs=cells, cells=cells, baselines=self._template.baselines.iloc[:0])
        return answer_of(table, self.cost, folder=self.paths.root, **known)

    def _round(self, wanted: Sequence[dict[str, Any]]) -> Answer:
        done = {record["run_id"] for record in self.records}
        fresh = [cell for cell in (from_flat(one) for one in wanted) if cell.run_id not in done]
        cohorts: dict[str, list[Any]] = {}
        for cell in fresh:
            cohorts.setdefault(cell.resolved.shape.label, []).append(cell)
        seconds = [self._train(size, cells) for size, cells in cohorts.items()]
        self.clock[0] += _START_SECONDS + makespan(sorted(seconds, reverse=True), self.setting.n_workers)
        return self.look()

    def _train(self, size: str, cells: Sequence[Any]) -> float:
        shape = Shape(*parse_size(size), context_tokens=self.setting.context_bytes, block=2)
        n_params = count_params(shape)["total"]
        times, members = [], len({cell.member_key() for cell in cells})
        for cell in cells:
            flat = cell.flat()
            steps, d = flat["train.steps"], flat["subset_bytes"]
            seen = steps * self.setting.batch_windows * self.setting.context_bytes
            work = Work(
                n_steps=steps,
                n_bytes=members * seen,
                measured_bytes=members * (d + 2 * self.data.heldout_bytes),
                flops_per_byte=forward_flops_per_byte(shape),
            )
            spent = USUAL_CORE.seconds(work)
            times.append((steps, spent.training, spent.measuring))
            self.records.append(
                self._template.cells.iloc[0].to_dict()
                | {"run_id": cell.run_id, "cohort_id": f"{size}-{len(self.records)}", "config": flat, "size": size}
                | {"subset_bytes": d, "n_params": n_params, "seed": flat["train.seed"], "bytes_seen": seen}
                | {"n_steps": steps, "flops": 3.0 * forward_flops_per_byte(shape) * seen, "cohort_size": members}
                | {"training_seconds": spent.training, "measuring_seconds": spent.measuring, "snapshot": "final"}
                | {"own_bits": self.world.own_bits(size, n_params, flat), "n_tokens": d}
            )
        longest = max(times)
        return longest[1] * 1.15 + sum(measuring for _, _, measuring in set(times)) + 1.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """One answer of a trial."""

    trial: int
    off_by: float
    covers: bool | None  # None: no answer
    off: float  # N* found / true
    here: float  # of the longest training, / true
    width: float
    rounds: int
    stopped: str


def ask(world: World, n_bytes: int, budget_seconds: float, off_by: float) -> Found:
    """A question of mdl size."""
    heldout = min(n_bytes // 20, 1 << 16)
    data = Data(
        source="simulated", modality="text", size_bytes=n_bytes, train_bytes=n_bytes - heldout,
        heldout_bytes=heldout, n_documents=1,
    )  # fmt: skip
    setting = Setting(context_bytes=256, batch_windows=8, n_workers=2, coded=False)
    search = Simulated(
        data=data,
        setting=setting,
        first=lambda: first_plan(data, setting, USUAL_CORE, budget_seconds, off_by=off_by).cells,
        anew=lambda about, seconds: (
            first_plan(data, setting, USUAL_CORE, budget_seconds, about=about, seconds=seconds).cells
        ),
        paths=RunPaths(Path("nowhere")),
        cost="float16",
        within=1.25,
        command="",
        console=Console(file=io.StringIO()),
        deadline=Deadline(budget_seconds - _BEFORE_SECONDS, with_report=True),
        world=world,
    )
    answer, true = search.run(), world.endless.minimum(float(data.train_bytes))
    rounds = len({record["n_steps"] for record in search.records})
    if answer.n_params is None or answer.interval is None:
        return Found(
            trial=world.trial, off_by=off_by, covers=None, off=np.nan, here=np.nan, width=np.nan, rounds=rounds,
            stopped=answer.stopped,
        )  # fmt: skip
    return Found(
        trial=world.trial,
        off_by=off_by,
        covers=answer.interval[0] <= true <= answer.interval[1],
        off=answer.n_params / true,
        here=float(str(answer.at_this_training("n_params"))) / true,
        width=answer.width(),
        rounds=rounds,
        stopped=answer.stopped,
    )


def line(name: str, found: Sequence[Found]) -> str:
    """Of some answers together."""
    own = [one for one in found if one.covers is not None]
    if not own:
        return f"{name:24} no answer of {len(found)}"
    off, here = (np.log([getattr(one, what) for one in own]) for what in ("off", "here"))
    return (
        f"{name:24} {len(found):4} answers, {len(found) - len(own)} not found; inside "
        f"{np.mean([o.covers for o in own]):.1%}; off by {np.exp(np.median(off)):.2f}, rms "
        f"{np.sqrt((off**2).mean()):.3f}, within 25 % "
        f"{np.mean(np.abs(off) < np.log(1.25)):.0%}; at its training {np.exp(np.median(here)):.2f}, rms "
        f"{np.sqrt((here**2).mean()):.3f}; median width {np.median([o.width for o in own]):.2f}"
    )


def main(again: Callable[[World, int, float, float], Found] = ask) -> None:
    """A line a forecast and budget, then all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=100.0, help="of this process; later trials are left out")
    given = parser.parse_args()
    found: dict[tuple[int, float, float], list[Found]] = {}
    for trial in range(given.first, given.first + given.trials):
        if time.process_time() > given.seconds:
            break
        world, (n_bytes, budget) = World.of(trial), ((300_000, 180.0), (300_000, 60.0), (300_000, 600.0))[trial % 3]
        for off_by in _OFF_BY:
            found.setdefault((n_bytes, budget, off_by), []).append(again(world, n_bytes, budget, off_by))
    for (n_bytes, budget, off_by), own in sorted(found.items()):
        print(line(f"{n_bytes / 1e3:.0f} KB, {budget:.0f} s, × {off_by:g}", own))
    every = [one for own in found.values() for one in own]
    for stopped in sorted({one.stopped for one in every}):
        print(line(stopped[:24], [one for one in every if one.stopped == stopped]))
    print(line("all", every), f"{time.process_time():.0f} CPU-s", sep="; ")


if __name__ == "__main__":
    main()
