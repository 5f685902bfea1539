"""The summary is what its types say: every key documented, every value of its type, in all committed reports."""

from __future__ import annotations

import json
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from analysis.costs import PAPER
from analysis.records import load
from analysis.report import summarise
from analysis.report.summary_keys import Summary
from analysis.study import study
from tests import ROOT
from tests.synthetic import baseline, grid, write_sweep

REPORTS = [
    "quick",
    "study-paper",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("study-contamination", "study-context", "study-prequential")
    ),
]
DEFINING = [*sorted((ROOT / "analysis/report/rows").glob("*.py")), ROOT / "analysis/report/summary_keys.py",
            ROOT / "analysis/scaling/fit_keys.py"]  # fmt: skip


def required(wanted: Any) -> set[str]:
    """Of a TypedDict; its own `__required_keys__` do not see through annotations that are text."""
    hints = get_type_hints(wanted, include_extras=True)
    return {key for key in wanted.__required_keys__ if get_origin(hints[key]) is not typing.NotRequired}


def misfits(value: Any, wanted: Any, where: str = "summary") -> list[str]:
    """Where a value is not of a type: TypedDict, list, dict, union, Literal, or a plain one."""
    if is_typeddict(wanted):
        hints = get_type_hints(wanted, include_extras=True)
        if not isinstance(value, dict):
            return [f"{where} is {value!r:.40}"]
        wrong = [f"{where}.{key} is not documented" for key in value.keys() - hints.keys()]
        wrong += [f"{where}.{key} is missing" for key in required(wanted) - value.keys()]
        return wrong + [
            m for key in value.keys() & hints.keys() for m in misfits(value[key], hints[key], f"{where}.{key}")
        ]
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin is typing.NotRequired:
        return misfits(value, parts[0], where)
    if origin is list:
        inside = (
            [misfits(item, parts[0], f"{where}[{i}]") for i, item in enumerate(value)] if type(value) is list else []
        )
        return [m for found in inside for m in found] if type(value) is list else [f"{where} is {value!r:.40}"]
    if origin is dict:
        return [m for key, item in value.items() for m in misfits(item, parts[1], f"{where}.{key}")]
    if origin in (typing.Union, types.UnionType):
        found = [misfits(value, part, where) for part in parts]
        return [] if any(not wrong for wrong in found) else min(found, key=len)
    if origin is Literal:
        return [] if value in parts else [f"{where} is {value!r:.40}, not one of {parts}"]
    if wanted is Any or (wanted is float and type(value) is int):
        return []
    return [] if type(value) is wanted else [f"{where} is {value!r:.40}, not {wanted}"]


def summary_of(folder: Path) -> dict[str, Any]:
    """As it is read from the file."""
    content: dict[str, Any] = json.loads(json.dumps(summarise(study(load(folder), PAPER)), allow_nan=False))
    return content


@pytest.mark.parametrize("name", REPORTS)
def test_every_value_of_a_committed_report_is_of_its_documented_type(name: str) -> None:
    assert misfits(summary_of(ROOT / "reports" / name / "records"), Summary) == []


def test_a_sweep_of_nothing_has_all_keys_too(tmp_path: Path) -> None:
    assert misfits(summary_of(write_sweep(tmp_path / "s", [baseline("xz", 10_000, 0.3)])), Summary) == []


def test_a_wrong_value_is_found(tmp_path: Path) -> None:
    """The check itself can fail: in a row, in a nested row, and where a key is unknown."""
    known = summary_of(write_sweep(tmp_path / "s", grid(["8x1", "16x2", "32x2"], [10**5, 10**6])))
    assert misfits(known, Summary) == []
    known["critical"][0]["grid_best"] = "many"
    known["laws"][0]["extra"] = 1
    del known["provenance"]["commits"][0]["created"]
    assert len(misfits(known, Summary)) == 3


@pytest.mark.parametrize("file", DEFINING, ids=lambda path: path.stem)
def test_every_key_has_a_comment_or_shares_that_of_the_key_above(file: Path) -> None:
    """Both ends of an interval share one."""
    keys = re.findall(r"^    (\w+): [^#\n]+(#.*)?$", file.read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for name, _ in keys]
    bare = [i for i, (_, comment) in enumerate(keys) if not comment]
    ends = ("high", "most")
    assert not [names[i] for i in bare if not (names[i].endswith((*ends, "rate")) and keys[i - 1][1])]
