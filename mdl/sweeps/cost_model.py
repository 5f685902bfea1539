"""What a cohort will take on a machine, in seconds: a rule of thumb, put right by the cohorts that ran there.

The rule: seconds = start + steps × step + bytes × (byte + 3 × FLOPs a byte × flop); a measured byte is a third of a
trained one, since it has no backward pass. For an H100 its constants come from `benchmarks/README.md`, for a processor
from a trial (`speed_trial`) or from a usual core. The rule is then multiplied by what cohorts like the one that is
asked for took of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

_RULE_WEIGHT = 0.05  # of the rule of thumb, beside 1 of a cohort that is just like the one that is asked for
_LEAST_SECONDS = 0.05  # of a part, by the rule and as measured: where less was seen, nothing is known of it
_EACH_MORE = 0.95  # of one device's speed is what each further one adds, benchmarks/README.md


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a cohort asks of a machine."""

    n_steps: int  # of a step's fixed cost: those of all members of a part together count once
    n_bytes: int  # trained on, repeats counted, all members'
    measured_bytes: int  # coded with the trained models, all members'
    flops_per_byte: float  # of a forward pass
    n_devices: int = 1  # that share every step, and what is measured

    @property
    def step_bytes(self) -> float:
        """Trained on in a step."""
        return self.n_bytes / max(1, self.n_steps)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds that a cohort took: up to its first step, training (0: not known), measuring."""

    start: float
    training: float
    measuring: float

    @property
    def at_work(self) -> float:
        """Without what passed before the first step."""
        return self.training + self.measuring


NOTHING = Spent(start=0.0, training=0.0, measuring=0.0)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The constants of a kind of machine, in seconds."""

    start: float  # up to the first step of a worker's first cohort: it imports torch, opens the corpus
    next_start: float  # from one cohort of a worker to the first step of its next
    step: float  # of any step, however few bytes it sees
    byte: float  # of a byte that is trained on, beside the model's products
    flop: float
    source: str  # where they come from, for people

    @property
    def flops_anyway(self) -> float:
        """What a byte of a forward pass costs beside the model's products, in FLOPs that take as long."""
        return self.byte / (3 * self.flop)

    def seconds(self, work: Work) -> Spent:
        """Of a cohort."""
        per_byte = (self.byte + 3.0 * work.flops_per_byte * self.flop) / (1 + _EACH_MORE * (work.n_devices - 1))
        training = work.n_steps * self.step + work.n_bytes * per_byte
        return Spent(start=self.start, training=training, measuring=work.measured_bytes * per_byte / 3)

    def faster(self, times: float, source: str) -> Rule:
        """Of a machine whose products and memory are so many times as fast; what a step costs anyway is the same."""
        return replace(self, byte=self.byte / times, flop=self.flop / times, source=source)

    def waiting(self, times: float) -> Rule:
        """Of processes that wait for a core, so that all they do takes so many times as long."""
        parts = {part: getattr(self, part) * times for part in ("next_start", "step", "byte", "flop")}
        return replace(self, **parts)


# Fitted to the speeds of ten shapes of 3 K to 25 M parameters, within a half of each. The kernels of a width are
# compiled before its first step, whichever cohort of a worker it is.
H100 = Rule(
    start=6.0,
    next_start=6.0,
    step=4e-4,
    byte=2.5e-9,
    flop=5.7e-15,
    source="the speed of one H100, benchmarks/README.md",
)
_CORE_FLOPS_ANYWAY = 30_000.0  # softmax over 256 values, memory traffic


def core(step: float, flop: float, source: str) -> Rule:
    """Of a processor's core that trains with one thread."""
    return Rule(start=5.0, next_start=1.0, step=step, byte=3 * _CORE_FLOPS_ANYWAY * flop, flop=flop, source=source)


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
