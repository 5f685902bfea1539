"""A sweep's parameters become cells, and cells become cohorts that train together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mdl.config import Cell, Cohort, RunConfig, budgets, from_flat, full_key
from mdl.data import CorpusSpec, open_corpus
from mdl.errors import MdlError
from mdl.models import training_bytes
from mdl.sweeps.sweep_file import CELL, MOST_CELLS, SweepFile

ALL = "all"  # of subset_bytes: every byte that is not held out


def cells_of(sweep: SweepFile) -> list[Cell]:
    """Every combination of the grid, or what a random sweep draws, each once, `run_cap` at the most."""
    if sweep.method == "random":
        return _drawn(sweep)
    values: dict[str, Sequence[Any]] = {}
    for key, domain in sweep.parameters.items():
        if domain.values is None:
            raise MdlError(
                f"{key}: a grid needs value, values, or whole numbers from min to max; or use method: random"
            )
        values[key] = domain.values
    return grid_cells(values, at_most=sweep.run_cap)


def _drawn(sweep: SweepFile) -> list[Cell]:
    """A larger `run_cap` goes on where a smaller one ended; another `seed` draws others."""
    if sweep.run_cap is None:
        raise MdlError("method 'random' draws cells without an end: say how many with run_cap, such as run_cap: 20")
    drawn = [domain.draws(key, sweep.seed, sweep.run_cap) for key, domain in sweep.parameters.items()]
    return _checked(sweep.parameters, zip(*drawn, strict=True))


def grid_cells(parameters: Mapping[str, Sequence[Any]], *, at_most: int | None = None) -> list[Cell]:
    """Every combination of the values, checked, each once; only the first `at_most` of them."""
    n_cells = math.prod(map(len, parameters.values()))
    widest = max(map(len, parameters.values()), default=0)
    if max(widest, n_cells if at_most is None else min(n_cells, at_most)) > MOST_CELLS:
        raise MdlError(
            f"the grid has {n_cells:,} cells, a sweep at most {MOST_CELLS:,}; give fewer values, or draw some of them: "
            "method: random and run_cap"
        )
    return _checked(parameters, itertools.islice(itertools.product(*parameters.values()), at_most))


def _checked(keys: Iterable[str], combinations: Iterable[Sequence[Any]]) -> list[Cell]:
    keys = list(keys)
    cells: dict[str, Cell] = {}
    train_bytes: dict[CorpusSpec, int] = {}
    for combination in combinations:
        values = {full_key(key): value for key, value in _spread(dict(zip(keys, combination, strict=True))).items()}
        for one in budgets(_all_in_bytes(values, train_bytes)):
            config = _checked_cell(one)
            cells.setdefault(config.run_id, Cell(config.run_id, config))
    _check_budgets(list(cells.values()))
    return list(cells.values())


def _checked_cell(values: Mapping[str, Any]) -> RunConfig:
    config = from_flat(values)
    _ = config.resolved  # an impossible shape is found before anything runs
    if config.subset_bytes < config.model.context_bytes:
        raise MdlError(
            f"subset_bytes {config.subset_bytes} is less than one window, model.context_bytes "
            f"{config.model.context_bytes}; use a larger subset or a shorter context"
        )
    return config


def _check_budgets(cells: Sequence[Cell]) -> None:
    """MdlError where online cells are to be trained for several numbers of steps."""
    online = Cohort(tuple(cell for cell in cells if cell.resolved.recipe.online))
    for member in online.members:
        if len(member) > 1:
            raise MdlError(
                "train.steps: a prequential run takes one value, because the order of its data depends on its length; "
                f"got {' and '.join(str(cell.resolved.recipe.steps) for cell in member[:2])}; give each a sweep of its "
                "own"
            )


def _all_in_bytes(values: dict[str, Any], train_bytes: dict[CorpusSpec, int]) -> dict[str, Any]:
    """`subset_bytes: all` as the number that it stands for, so that a cell is named by what it learns from.

    `train_bytes` remembers those of the corpora that were opened for it.
    """
    if values.get("subset_bytes") != ALL:
        return values
    spec = from_flat({key: values[key] for key in values if key.startswith("corpus.")} | {"size": "4x1"}).corpus.spec()
    if spec not in train_bytes:
        train_bytes[spec] = len(open_corpus(spec).train)
    return values | {"subset_bytes": train_bytes[spec]}


def _spread(values: dict[str, Any]) -> dict[str, Any]:
    """What a value of CELL sets, beside what is set one by one."""
    cell: dict[str, Any] = values.pop(CELL, {})
    return values | cell


def cohorts_of(cells: Sequence[Cell]) -> list[Cohort]:
    """Cells of one shape and recipe together, split where their training would not fit in `train.memory_bytes`."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.config.cohort_key(), []).append(cell)
    parts = [part for group in groups.values() for part in Cohort(tuple(group)).parts]
    return [cohort for part in parts for cohort in _split(part)]


def _split(whole: Cohort) -> list[Cohort]:
    """Parts as equal as can be, in the order of subset size and seed."""
    config, members = whole.cells[0].config, whole.members
    each = training_bytes(config.resolved.shape, -(-config.train.batch_windows // config.resolved.execution.n_devices))
    at_most = max(1, int(config.train.memory_bytes // each))
    n_parts = -(-len(members) // at_most)
    ordered = sorted(
        members, key=lambda cells: (cells[0].config.subset_bytes, cells[0].config.train.seed, cells[0].run_id)
    )
    bounds = [len(members) * i // n_parts for i in range(n_parts + 1)]
    return [Cohort(tuple(itertools.chain.from_iterable(ordered[a:b]))) for a, b in itertools.pairwise(bounds)]
