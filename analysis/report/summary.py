"""What a report says, as JSON: numbers, names and messages, unrounded. Every number in its text comes from here."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pandas as pd

from analysis.records import mixed, rows_of
from analysis.report.section import SECTIONS, Measured
from analysis.report.summary_keys import Summary
from analysis.study import Study

SUMMARY_VERSION = 1


def measure(study: Study) -> dict[str, Any]:
    """What all sections measure, each thing once: key → rows as they are; keys that begin with _ are for figures."""
    measured: dict[str, Any] = {}
    for page in SECTIONS.values():
        measured |= page.measured(study)
    return measured


def summarise(study: Study, measured: Measured | None = None) -> Summary:
    """The summary of a study. Not known: null, never NaN. Rates are fractions, lengths bits, sizes bytes.

    `measured` as of `measure`, for whoever has it already.
    """
    table = study.table
    content = {
        "summary_version": SUMMARY_VERSION,
        "name": table.name,
        "cost": {
            "name": study.cost.name,
            "bytes_per_param": study.cost.bytes_per_param,
            "sentence": study.cost.sentence,
        },
        "stride_bytes": table.stride_bytes,
        "n_cells": len(table.runs),
        "n_failed": len(table.failed),
        "n_missing": table.n_missing,
        "n_needless": len(table.needless),
        "n_superseded": len(table.superseded),
        "several_versions": mixed(rows_of(table.runs)),
        "groups": [
            {"group": label, "corpus": group.corpus, "parts": group.parts} for label, group in table.groups.items()
        ],
    }
    if table.is_mixed:
        content["is_mixed"] = True
    content |= {key: rows for key, rows in (measured or measure(study)).items() if not key.startswith("_")}
    known = {key: content[key] for key in Summary.__annotations__ if key in content}
    return cast(Summary, {key: _plain(value) for key, value in (known | content).items()})


def _plain(value: Any) -> Any:
    """Python's own numbers, and null for NaN: what JSON can say. A DataFrame is a list of dicts."""
    if isinstance(value, pd.DataFrame):
        return _plain(rows_of(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
