"""Whether longer training moves the critical sizes where a parameter costs what its code takes."""

from __future__ import annotations

import pandas as pd

from analysis.codes import plain, shortest_codes
from analysis.costs import parse_cost
from analysis.critical import convergence_table
from analysis.study import Study

_CODED = parse_cost("coded")


def coded_convergence(study: Study) -> pd.DataFrame:
    """As `Study.convergence`, after about half of the training, at the price of coded weights.

    Empty where that is the study's own price, and where weights were coded after one length of training alone.
    """

    def codes(cells: pd.DataFrame) -> pd.DataFrame:
        return shortest_codes(plain(study.table, cells), _CODED, study.codes.under(_CODED))

    both = [table.cells for table in (study.table, *study.shorter[:1])]
    with_coded = set(study.table.coded["run_id"])
    known = len(both) > 1 and not study.cost.is_coded and all(with_coded & set(cells["run_id"]) for cells in both)
    made = study.codes
    return convergence_table(both[0], both[1:] if known else [], codes, made.n_replicates, made.seed)
