"""What a parameter of a W&B sweep may be: listed values, or a distribution that random sweeps draw from.

Every distribution is its quantile function: a number u in (0, 1) becomes a value. The names are W&B's.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from statistics import NormalDist
from typing import Any

from mdl.errors import MdlError, nearest, quoted

Numbers = Mapping[str, float]

# Which numbers a distribution needs, which it may have (with W&B's default), and its quantile function before rounding.
_BOUNDS, _NORMAL, _BETA = {"min": None, "max": None}, {"mu": 0.0, "sigma": 1.0}, {"a": None, "b": None}


def _uniform(u: float, p: Numbers) -> float:
    return p["min"] + u * (p["max"] - p["min"])


def _log_values(u: float, p: Numbers) -> float:
    value = math.exp(math.log(p["min"]) + u * (math.log(p["max"]) - math.log(p["min"])))
    return min(max(value, p["min"]), p["max"])


def _normal(u: float, p: Numbers) -> float:
    return NormalDist(p["mu"], p["sigma"]).inv_cdf(u)


def _beta(u: float, p: Numbers) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(p["a"], p["b"], u))


_Quantile = Callable[[float, Numbers], float]
_FAMILIES: dict[str, tuple[Mapping[str, float | None], _Quantile]] = {
    "int_uniform": (_BOUNDS, lambda u, p: min(int(p["min"] + u * (p["max"] - p["min"] + 1)), p["max"])),
    "uniform": (_BOUNDS, _uniform),
    "log_uniform": (_BOUNDS, lambda u, p: math.exp(_uniform(u, p))),
    "log_uniform_values": (_BOUNDS, _log_values),
    "inv_log_uniform": (_BOUNDS, lambda u, p: math.exp(-_uniform(u, p))),
    "inv_log_uniform_values": (_BOUNDS, lambda u, p: _log_values(1 - u, p)),
    "normal": (_NORMAL, _normal),
    "log_normal": (_NORMAL, lambda u, p: math.exp(_normal(u, p))),
    "beta": (_BETA, _beta),
}
# q_…: the same, rounded to a multiple of q.
_ROUNDED = {f"q_{name}": name for name in _FAMILIES if not name.startswith(("int", "inv"))}
_LISTED = ("constant", "categorical", "categorical_w_probabilities")
DISTRIBUTIONS = (*_LISTED, *_FAMILIES, *_ROUNDED)
_POSITIVE = {"log_uniform_values": "min", "inv_log_uniform_values": "min", "beta": "a"}
NUMBERS = {"min", "max", "mu", "sigma", "q", "a", "b"}
_WORDS = {"value", "values", "probabilities", "distribution", *NUMBERS}


@dataclass(frozen=True)
class Domain:
    """The values of one parameter. `values` None: without an end, to be drawn from only."""

    values: Sequence[Any] | None
    quantile: Callable[[float], Any]

    def draws(self, key: str, seed: int, n: int) -> list[Any]:
        """The first n draws of a seed; those of another key, or more of them, change none of these."""
        generator = random.Random(f"{seed}/{key}")  # noqa: S311 - the same on every machine, which is what counts
        return [self.quantile(max(generator.random(), 2.0**-60)) for _ in range(n)]


def domain(spec: Mapping[str, Any], where: str) -> Domain:
    """A parameter as a sweep file describes it; MdlError in one line, beginning with `where`."""
    for word in spec:
        if str(word).endswith(")"):  # YAML ends a value within braces at the comma
            raise MdlError(f"{where}: put what has a comma within its brackets in quotes, or leave out the braces")
        if word not in _WORDS:
            raise MdlError(f"{where}: unknown key {quoted(word)}{nearest(str(word), _WORDS)}")
    spec = {word: as_number(value) if word in NUMBERS else value for word, value in spec.items()}
    name = spec["distribution"] if "distribution" in spec else _usual(spec, where)
    if name not in DISTRIBUTIONS:
        raise MdlError(f"{where}: no distribution {quoted(name)}{nearest(str(name), DISTRIBUTIONS)}")
    if name in _LISTED:
        return _listed(spec, where)
    return _continuous(str(name), spec, where)


def _usual(spec: Mapping[str, Any], where: str) -> str:
    """The distribution that W&B takes where none is named."""
    if "value" in spec or "values" in spec:
        return "categorical"
    ends = [spec.get("min"), spec.get("max")]
    if None in ends:
        raise MdlError(f"{where} has no value or values, and no min and max; it needs them (got {quoted(dict(spec))})")
    return "int_uniform" if all(isinstance(end, int) for end in ends) else "uniform"


def _listed(spec: Mapping[str, Any], where: str) -> Domain:
    given = [word for word in ("value", "values") if word in spec]
    extra = sorted(set(spec) - {"value", "values", "probabilities", "distribution"})
    if len(given) != 1 or extra:
        raise MdlError(f"{where}: want either value or values, and nothing beside, got {quoted(dict(spec))}")
    values = spec["values"] if "values" in spec else [spec["value"]]
    if not isinstance(values, list) or not values:
        raise MdlError(f"{where} has no value or values; it needs a list of at least one (got {quoted(values)})")
    weights = spec.get("probabilities", [1 / len(values)] * len(values))
    if not _are_probabilities(weights, len(values)):
        raise MdlError(f"{where}: probabilities must be {len(values)} numbers that add up to 1, got {quoted(weights)}")
    ends = list(accumulate(weights))
    return Domain(tuple(values), lambda u: values[min(bisect_right(ends, u), len(values) - 1)])


def _are_probabilities(weights: Any, n: int) -> bool:
    if not isinstance(weights, list) or len(weights) != n or not all(map(_is_number, weights)):
        return False
    return min(weights) >= 0 and abs(sum(weights) - 1) < 1e-6


def _continuous(name: str, spec: Mapping[str, Any], where: str) -> Domain:
    family = _ROUNDED.get(name, name)
    wanted, quantile = _FAMILIES[family]
    allowed = {**wanted, **({"q": 1.0} if name in _ROUNDED else {})}
    if extra := sorted(set(spec) - set(allowed) - {"distribution"}):
        raise MdlError(f"{where}: {name} has no {quoted(extra[0])}; it takes {', '.join(allowed)}")
    numbers: dict[str, float] = {}
    for word, usual in allowed.items():
        value = spec.get(word, usual)
        if not _is_number(value) or (family == "int_uniform" and not _is_whole(value)):
            kind = "a whole number" if family == "int_uniform" else "a number"
            raise MdlError(f"{where}: {name} needs {word}, {kind}, got {quoted(value)}")
        numbers[word] = value
    _check_ranges(name, family, numbers, where)
    step = numbers.get("q")
    if family == "int_uniform":
        return Domain(range(int(numbers["min"]), int(numbers["max"]) + 1), lambda u: quantile(u, numbers))
    if step is None:
        return Domain(None, lambda u: quantile(u, numbers))
    return Domain(_steps(family, numbers, step), lambda u: _rounded(quantile(u, numbers), step))


def _check_ranges(name: str, family: str, numbers: Numbers, where: str) -> None:
    if "min" in numbers and not numbers["min"] <= numbers["max"]:
        raise MdlError(f"{where}: min {numbers['min']:g} is above max {numbers['max']:g}")
    for word in (_POSITIVE.get(family, "q"), "sigma", "q", "b"):
        if word in numbers and not numbers[word] > 0:
            raise MdlError(f"{where}: {name} needs {word} above 0, got {numbers[word]:g}")
    try:
        ends = [_FAMILIES[family][1](u, numbers) for u in (0.001, 0.999)]
    except (OverflowError, ValueError):
        ends = [math.inf]
    if not all(map(math.isfinite, ends)):
        hint = "; for the values themselves use log_uniform_values" if family == "log_uniform" else ""
        raise MdlError(f"{where}: {name} of {quoted(dict(numbers))} reaches past every number{hint}")


def _rounded(value: float, step: float) -> float:
    """The nearest multiple of the step as it is written in decimal: 0.3, not the 0.30000000000000004 of three 0.1."""
    multiple = Decimal(str(step)) * round(value / step)
    return int(multiple) if multiple == multiple.to_integral_value() else float(multiple)


def _steps(family: str, numbers: Numbers, step: float) -> Sequence[float] | None:
    """The values of a q_uniform, which alone are few enough for a grid."""
    if family != "uniform":
        return None
    first, last = round(numbers["min"] / step), round(numbers["max"] / step)
    return _Multiples(range(first, last + 1), step)


@dataclass(frozen=True)
class _Multiples(Sequence[float]):
    """Multiples of a step, none of them made before it is asked for."""

    n_steps: range
    step: float

    def __len__(self) -> int:
        return len(self.n_steps)

    def __getitem__(self, index: Any) -> Any:
        return _rounded(self.n_steps[index] * self.step, self.step)


def as_number(value: Any) -> Any:
    """YAML 1.1 takes 1e-3, which has no point, for a word: it is a number here."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < 2**62


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
