"""What a cohort will take on this machine, in seconds: a rule of thumb, put right by the cohorts that ran here.

The rule: seconds = start + steps × step + bytes × (byte + FLOPs a byte × flop); a measured byte is a third of a trained
one, since it has no backward pass. For an H100 its constants come from `benchmarks/README.md`, for a processor from a
trial (`mdl.sizing`) or from a usual core. Each cohort that ends here is noted in the cache folder, and the rule is then
multiplied by what cohorts like the one that is asked for took of it.
"""

from __future__ import annotations

import contextlib
import json
import math
import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mdl.storage import cache_folder, digest, note, noted, write_atomically

_MOST_READ = 300  # cohorts, the newest of a machine
_RULE_WEIGHT = 0.05  # of the rule of thumb, beside 1 of a cohort that is just like the one that is asked for
_LEAST_SECONDS = 0.05  # of a part, by the rule and as measured: of two steps the first ones are all that is seen
_TRIAL = "speed-trial"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a cohort asks of a machine."""

    n_steps: int  # of a step's fixed cost: those of all members of a part together count once
    n_bytes: int  # trained on, all members'
    coded_bytes: int  # measured, all members'
    flops_per_byte: float  # of a forward pass

    @property
    def step_bytes(self) -> float:
        """Trained on in a step."""
        return self.n_bytes / max(1, self.n_steps)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds that a cohort took: up to its first step, training, measuring."""

    start: float
    training: float
    measuring: float

    @property
    def at_work(self) -> float:
        """Without what passed before the first step."""
        return self.training + self.measuring


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The constants of a kind of machine, in seconds."""

    start: float  # up to a cohort's first step
    step: float  # of any step, however few bytes it sees
    byte: float  # of a byte, beside the model's products
    flop: float
    source: str  # where they come from, for people

    def seconds(self, work: Work) -> Spent:
        """Of a cohort."""
        per_byte = self.byte + 3.0 * work.flops_per_byte * self.flop
        training = work.n_steps * self.step + work.n_bytes * per_byte
        return Spent(start=self.start, training=training, measuring=work.coded_bytes * per_byte / 3)


# A worker imports torch, opens the corpus, and compiles a width's kernels.
H100 = Rule(start=6.0, step=4e-4, byte=2.5e-9, flop=5.7e-15, source="the speed of one H100, benchmarks/README.md")
# What a byte costs a model on a core beside its products (softmax over 256 values, memory traffic), in their unit.
CORE_FLOPS_A_BYTE_ANYWAY = 30_000.0
_CORE_START = 5.0


def core(step: float, flop: float, source: str) -> Rule:
    """Of a processor's core that trains with one thread."""
    return Rule(start=_CORE_START, step=step, byte=3 * CORE_FLOPS_A_BYTE_ANYWAY * flop, flop=flop, source=source)


USUAL_CORE = core(4e-3, 1.8e-11, "a usual core")


@dataclass(frozen=True)
class CostModel:
    """Foretells seconds on one kind of machine."""

    rule: Rule
    seen: tuple[tuple[Work, Spent], ...] = ()

    def seconds(self, work: Work) -> Spent:
        """Of a cohort."""
        by_rule = asdict(self.rule.seconds(work))
        return Spent(**{part: value * self._factor(work, part) for part, value in by_rule.items()})

    @property
    def source(self) -> str:
        """What it rests on, for people."""
        n = len(self.seen)
        return f"from {n} cohort{'s' if n > 1 else ''} that ran here" if n else f"by {self.rule.source}"

    def _factor(self, work: Work, part: str) -> float:
        """The weighted geometric mean of measured over foretold; a cohort twice as dear a byte weighs half."""
        total, weights = 0.0, _RULE_WEIGHT
        for other, spent in self.seen:
            by_rule, measured = (getattr(one, part) for one in (self.rule.seconds(other), spent))
            if min(measured, by_rule) < _LEAST_SECONDS:
                continue
            weight = _alike(work.flops_per_byte, other.flops_per_byte) * _alike(work.step_bytes, other.step_bytes)
            total, weights = total + weight * math.log(measured / by_rule), weights + weight
        return math.exp(total / weights)


def _alike(a: float, b: float) -> float:
    return min(a, b) / max(a, b, 1e-300)


def this_machine(*, on_gpu: bool) -> str:
    """Its kind, by which cohorts are remembered: the GPU's model, or the processor's."""
    if not on_gpu:
        return _processor()
    gpus = gpu_models()
    return gpus[0].name if gpus else "GPU"


def cost_model(*, on_gpu: bool) -> CostModel:
    """Of this machine, by all that has been noted of its kind."""
    kind = this_machine(on_gpu=on_gpu)
    seen = []
    paths = sorted(_folder(kind).glob("*.json"), key=_age)[:_MOST_READ]
    for path in paths:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            content = json.loads(path.read_bytes())
            seen.append((Work(**content["work"]), Spent(**content["spent"])))
    return CostModel(H100 if on_gpu else _of_a_core(kind), tuple(seen))


def remember(work: Work, spent: Spent, *, n_sharing: int, on_gpu: bool) -> None:
    """Note what a cohort took here, beside `n_sharing` - 1 others on its device; for like work the newest stays."""
    alone = Spent(start=spent.start, training=spent.training / n_sharing, measuring=spent.measuring / n_sharing)
    content = json.dumps({"work": asdict(work), "spent": asdict(alone)})
    path = _folder(this_machine(on_gpu=on_gpu)) / f"{digest([str(value) for value in asdict(work).values()])}.json"
    with contextlib.suppress(OSError):  # it costs time, not truth
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.encode())


def keep_trial(try_speed: Callable[[], tuple[float, float]]) -> None:
    """Where nothing ran on this processor yet, try it once: seconds a step, and a FLOP."""
    kind = this_machine(on_gpu=False)
    if cost_model(on_gpu=False).seen or noted(cache_folder(), _TRIAL, kind):
        return
    note(cache_folder(), _TRIAL, kind, list(try_speed()))


def _of_a_core(kind: str) -> Rule:
    match noted(cache_folder(), _TRIAL, kind):
        case [float(step), float(flop)] if flop > 0:
            return core(step, flop, "a trial of some seconds")
    return USUAL_CORE


def _folder(kind: str) -> Path:
    return cache_folder() / "cohort-seconds" / re.sub(r"[^A-Za-z0-9.-]+", "-", kind)


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0


class Gpu(NamedTuple):
    """As the driver tells it."""

    name: str
    memory_bytes: int


@lru_cache(maxsize=1)
def gpu_models() -> Sequence[Gpu]:
    """Each GPU that the driver knows; asking torch would take a part of that memory."""
    if not Path("/proc/driver/nvidia/gpus").exists() and platform.system() == "Linux":
        return ()
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        told = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
        rows = [line.rpartition(",") for line in told.splitlines() if line.strip()]
        return tuple(Gpu(name.strip(), int(memory) << 20) for name, _, memory in rows)
    return ()


def _processor() -> str:
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name} ({platform.machine()})"
