"""Models that know their subset by heart: how many there are, and what their rates are worth."""

from __future__ import annotations

from typing import cast

import pandas as pd

from analysis.formatting import format_percent
from analysis.records import rows_of
from analysis.report.group_names import place
from analysis.report.rows.codes import GapRow, Memorising
from analysis.report.summary_keys import Summary

_USUAL_RATIO = 0.9  # of the raw to the held-out rate, relative to that of the model that memorises least


def memorising(rates: pd.DataFrame) -> Memorising:
    """Models that code their own subset better than unseen bytes by a tenth more than the least memorising model does.

    Held-out files may be harder or easier than the rest: that model's ratio of the two rates, 1 at the most, tells.
    And nobody knows more by heart than two bytes per parameter: a larger gap is of other files.
    """
    known = rates[rates["heldout_rate"].notna()]
    ratios = known["raw_rate"] / known["heldout_rate"]
    usual = ratios.groupby(known["group"]).transform("max").clip(upper=1.0)
    # Held-out bytes cost as much as they are: what such a model knows of its subset is that subset alone.
    by_heart = known[(known["heldout_rate"] >= 1) & (known["raw_rate"] < 1)]
    gap_bytes = (known["heldout_rate"] - known["raw_rate"]) * known["subset_bytes"]
    held = (ratios < _USUAL_RATIO * usual) & (gap_bytes <= 2 * known["n_params"])
    below = known[held | known.index.isin(by_heart.index)]
    ratio = below["raw_rate"] / below["heldout_rate"]
    columns = list(GapRow.__annotations__)
    return {
        "n_models": len(known),
        "n_memorising": len(below),
        "n_by_heart": len(by_heart),
        "largest_gap": cast(GapRow, rows_of(below.loc[[ratio.idxmin()], columns])[0]) if len(below) else None,
    }


def _longest(summary: Summary) -> str:
    """Which of several trainings of a pair is meant."""
    return ", each after its longest training" if summary["convergence"] else ""


def note(summary: Summary) -> str:
    """A paragraph about them; nothing where none memorises."""
    found = summary["memorising"]
    gap = found["largest_gap"]
    if gap is None:
        return ""
    or_only = ", or unseen bytes cost them 100 % or more" if found["n_by_heart"] else ""
    text = (
        f"Memorization: of {found['n_models']} pairs of a shape and a dataset size{_longest(summary)}, "
        f"{found['n_memorising']} {'has' if found['n_memorising'] == 1 else 'have'} memorized some of the subset: the "
        f"rate on it divided by the rate on unseen bytes is more than a tenth lower than for the model that memorizes "
        f"least{or_only}. The gap is largest "
        f"for {gap['size']} on {place(gap, summary)}: {format_percent(gap['raw_rate'])} on the subset, "
        f"{format_percent(gap['heldout_rate'])} on held-out bytes. What a model has memorized is stored in its "
        f"parameters, and the adjusted rate, {format_percent(gap['adjusted_rate'])} there, counts them."
    )
    if found["n_by_heart"]:
        text += (
            f" {found['n_by_heart']} of them code unseen bytes at 100 % or more. They have only memorized the subset, "
            "so their raw rate below 100 % is not compression."
        )
    return text
