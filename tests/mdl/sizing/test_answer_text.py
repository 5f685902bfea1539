"""The sentences of an answer say no more than is known: how wide the interval is, and which model a rate is of."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from analysis.critical import WIDEST
from analysis.formatting import format_count, format_percent, format_size
from analysis.records import Table
from analysis.report.sections.warnings import warnings
from analysis.report.summary import summarise
from mdl.sizing import Answer, sentences
from tests.mdl.sizing.test_answer import answer, final_cells, with_half


@pytest.fixture(scope="module")
def records() -> Table:
    return final_cells()


def less_sure(table: Table) -> Answer:
    """Half of the training left so much to learn that the limit may lie anywhere."""
    half = table.cells.assign(
        run_id=table.cells["run_id"] + "-half",
        bytes_seen=table.cells["bytes_seen"] // 2,
        own_bits=table.cells["own_bits"] * 1.6,
    )
    return answer(replace(table, cells=pd.concat([table.cells, half])))


def test_an_interval_that_is_too_wide_for_an_answer_is_told_before_the_guess(records: Table) -> None:
    """What is quoted of it is then the interval; nothing is said of sizes near the guess."""
    found = less_sure(records)
    assert found.interval is not None
    assert found.width() > WIDEST
    low, high = map(format_count, found.interval)
    guess = format_size(found.n_params or 0.0, *found.interval)
    said = sentences(found, "float16")
    assert said[0] == (
        f"x, 1 MB, pays for something between {low} and {high} parameters at 2 bytes each. "
        f"That is too wide for an answer; the best guess is {guess}."
    )
    assert said[1] == "Give more time: a longer --budget."
    assert not any("costs at most 1 % more" in line for line in said)
    assert (
        repr(found)
        == f"Answer('x': 95 % {low} to {high} parameters, too wide for an answer; best guess {guess} parameters)"
    )
    assert "Give more time: a longer --budget." not in sentences(replace(found, more_helps=False), "float16")


def test_a_rate_names_the_model_that_it_is_of(records: Table) -> None:
    """The answer is of endless training, and no model of it was trained; a guess has the best model that was run."""
    said = " ".join(sentences(answer(with_half(records, 0.04)), "float16"))
    assert "against 34.7 % with the model of 22 K parameters)." in said
    wide = less_sure(records)
    assert wide.study is not None
    rates = wide.study.rates
    best = rates.loc[rates[rates["subset_bytes"] == 1_000_000]["adjusted_rate"].idxmin()]
    told_of = f"with the best model tried, of {format_count(best['n_params'])} parameters)."
    assert f"against {format_percent(best['adjusted_rate'])} {told_of}" in " ".join(sentences(wide, "float16"))
    part = " ".join(sentences(answer(with_half(records, 0.04), 4_000_000), "float16"))
    assert "% with the model of 22 K parameters for 1 MB)." in part


def test_what_is_held_out_is_told_beside_the_size_of_the_data(records: Table) -> None:
    found = replace(answer(with_half(records, 0.04)), size_bytes=1_050_000)
    assert sentences(found, "float16")[0].startswith("x, 1.05 MB (50 KB of it held out), pays for ")


def test_a_size_of_which_no_limit_is_known_is_told_as_of_this_training(records: Table) -> None:
    """Its interval is narrow and says nothing of longer training."""
    assert sentences(answer(records), "float16")[0] == (
        "x, 1 MB, pays for 22 K parameters (18.9 K to 25.8 K) at 2 bytes each, after no more training than this."
    )
    assert repr(answer(records)).endswith("18.9 K to 25.8 K, after no more training than this)")


def test_half_of_the_training_gave_the_same_size_in_the_report(records: Table) -> None:
    """From the size that both have, by the ratio: not all shapes had both trainings."""
    both = with_half(records, 0.04)
    is_missing = both.cells["run_id"].str.endswith("-half") & (both.cells["n_params"] < 9000)
    found = answer(replace(both, cells=both.cells[~is_missing]))
    (told,) = (line for line in sentences(found, "float16") if "too short" in line)
    half = re.findall(r"half of it gave (.*?),", told)
    assert found.study is not None
    (note,) = (line for line in warnings(summarise(found.study.explained)) if line.startswith("Unconverged"))
    assert re.findall(r"1 MB \((.*?)\)", note) == half


def test_a_strong_coder_that_was_not_run_is_named(records: Table) -> None:
    """Found by use: beside bzip2 alone a model looked shorter than it is beside PPMd."""
    whole = with_half(records, 0.04)
    assert "want of time" not in " ".join(sentences(answer(whole), "float16"))
    coded = whole.baselines
    less = coded[~((coded["coder"] == "ppmd") & (coded["subset_bytes"] == 1_000_000))]
    said = sentences(answer(replace(whole, baselines=less)), "float16")
    assert "ppmd, often shorter than others, was not run on so many bytes, for want of time." in said
