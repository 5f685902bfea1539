"""Sweeps from Python: what `mdl sweep` does, for notebooks and scripts. The same records as the command line's."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mdl.config import Cell, full_key
from mdl.errors import MdlError
from mdl.models import count_params
from mdl.records import RunPaths
from mdl.storage import require_records_folder
from mdl.sweeps.grid import cells_of, cohorts_of, grid_cells
from mdl.sweeps.messages import python_console
from mdl.sweeps.plan import Plan, describe_plan
from mdl.sweeps.sweep_file import check_name, check_runs_here, load_sweep
from mdl.units import counted, format_bytes


class Sweep:
    """A grid of cells: every combination of the settings given, each of them one model on one subset.

    Parameters
    ----------
    name
        Of the folder that its records go to.
    **settings
        What a sweep file names under `parameters`, by the key's last part (`size`, `subset_bytes`, `steps` …) or, as
        `**{"train.seed": [0, 1]}`, by the whole key. A list or a tuple is what the grid varies. Sizes in bytes may be
        words: "300KB". Whatever is left out has the default of a sweep file.

    Attributes
    ----------
    name
        Of the folder that its records go to.
    cells
        What is to be trained: each with its configuration (`.config` as asked for, `.resolved`) and its `.run_id`.

    Raises
    ------
    MdlError
        For an unknown key (naming the nearest), an impossible value or a name that cannot be a folder's.

    Examples
    --------
    >>> sizes = {"size": ["4x1", "8x1"], "subset_bytes": ["100KB", "300KB"]}
    >>> sweep = mdl.Sweep(source="stdlib", steps=200, **sizes)
    >>> len(sweep)
    4
    >>> sweep
    Sweep('notebook': 4 cells; size 4x1, 8x1; subset_bytes 100 KB, 300 KB)
    """

    def __init__(self, *, name: str = "notebook", **settings: Any) -> None:
        check_name(name)
        parameters: dict[str, tuple[Any, ...]] = {}
        for key, value in settings.items():
            dotted = full_key(key)
            if dotted in parameters:
                raise MdlError(f"'{dotted}' is given twice; leave one out")
            values = tuple(value) if isinstance(value, list | tuple) else (value,)
            if not values:
                raise MdlError(f"'{key}' is an empty list; give it at least one value")
            parameters[dotted] = values
        self._of(name, grid_cells(parameters), {})

    @classmethod
    def from_yaml(cls, path: str | Path) -> Sweep:
        """Read a sweep file, such as sweeps/quick.yaml.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        Sweep
            Its cells under its name.

        Raises
        ------
        MdlError
            For a file that is not there or is not a sweep of a grid, in one line.

        Examples
        --------
        >>> len(mdl.Sweep.from_yaml(SWEEPS / "quick.yaml"))
        21
        """
        read = load_sweep(Path(path))
        check_runs_here(read)
        sweep = cls.__new__(cls)
        sweep._of(read.name, cells_of(read), read.wandb)
        return sweep

    def _of(self, name: str, cells: Iterable[Cell], wandb: Mapping[str, str]) -> None:
        self.name = name
        self.cells = list(cells)
        self._wandb = dict(wandb)

    def __len__(self) -> int:
        return len(self.cells)

    def plan(self, out: str | Path = "runs") -> Plan:
        """Lay its cells out in cohorts, which train as one.

        Parameters
        ----------
        out
            Folder of all sweeps.

        Returns
        -------
        Plan
            `.cohorts`, `.cells`, and the `.paths` of their records under `out`/<name>.

        Examples
        --------
        >>> plan = mdl.Sweep(size=["4x1", "8x1"], subset_bytes=["100KB", "300KB"], steps=200).plan()
        >>> [len(cohort.cells) for cohort in plan.cohorts]
        [2, 2]
        """
        return Plan(self.name, RunPaths(Path(out) / self.name), tuple(cohorts_of(self.cells)), wandb=self._wandb)

    def describe(self) -> str:
        """Tell what `mdl sweep --dry-run` prints.

        Returns
        -------
        str
            A line a cohort and a cell: parameters, FLOPs and bytes.

        Examples
        --------
        >>> print(mdl.Sweep(size="8x1", subset_bytes="100KB", steps=200).describe().splitlines()[-1])
        notebook: 1 cell in 1 cohort, ...
        """
        return "\n".join(describe_plan(self.plan()))

    def __repr__(self) -> str:
        varied = "".join(
            f"; {key.rpartition('.')[2]} {', '.join(map(_told, sorted(values, key=_order)))}"
            for key, values in self._varied().items()
        )
        return f"Sweep('{self.name}': {counted(len(self), 'cell')}{varied})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(cell.run_id)}</td><td>{count_params(cell.resolved.shape)['total']:,}</td>"
            f"<td>{format_bytes(cell.resolved.subset_bytes)}</td></tr>"
            for cell in self.cells[:20]
        )
        more = f"<caption>the first 20 of {len(self)} cells</caption>" if len(self) > 20 else ""
        head = "<tr><th>cell</th><th>parameters</th><th>subset</th></tr>"
        return f"<p>{html.escape(repr(self))}</p><table>{more}{head}{rows}</table>"

    def _varied(self) -> dict[str, set[Any]]:
        """What takes more than one value over the cells, as it was asked for."""
        asked = [cell.config.requested() for cell in self.cells]
        values = {key: {row[key] for row in asked} for key in (asked[0] if asked else ())}
        return {key: seen for key, seen in sorted(values.items(), key=_sizes_first) if len(seen) > 1}


def _sizes_first(item: tuple[str, object]) -> tuple[bool, str]:
    return not item[0].startswith("model."), item[0]


def _told(value: object) -> str:
    return format_bytes(value) if isinstance(value, int) and value >= 1000 else str(value)


def _order(value: Any) -> tuple[bool, float, int, str]:
    """Numbers as numbers; shapes by their length first, so that 8x1 comes before 16x1."""
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, len(str(value)), str(value)


def run(
    sweep: Sweep,
    out: str | Path = "runs",
    *,
    workers: int | None = None,
    baselines: bool = True,
    retry_failed: bool = False,
    backend: str = "local",
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Make every record of a sweep that is missing, showing the progress; call it again to go on after a stop.

    Parameters
    ----------
    sweep
        What to run.
    out
        Folder of all sweeps; the records go to `out`/<the sweep's name>.
    workers
        Processes at once; None: one per GPU, or one per core.
    baselines
        Run the classical coders on the same subsets too?
    retry_failed
        Run cells again that are recorded as failed?
    backend
        Where its jobs run: "local", "slurm" (they are submitted, and this returns at once), or one of your own.
    options
        The back end's options by name, such as ``{"partition": "gpu", "gpus": 1}``.

    Returns
    -------
    Path
        The folder with the records, for `analysis.load`.

    Raises
    ------
    MdlError
        In one line, where a corpus is missing or too small, cells failed, or the back end or one of its options is
        not known; what is finished stays recorded.
    KeyboardInterrupt
        Where it was stopped; what is finished stays recorded.

    Examples
    --------
    >>> sweep = mdl.Sweep(name="tiny", size="2x1", subset_bytes="10KB", steps=2)
    >>> folder = mdl.run(sweep, "runs", baselines=False)
    <BLANKLINE>
    ...
    >>> sorted(path.name for path in folder.glob("*x1*"))
    ['2x1-10KB-s0-...']
    """
    from mdl.sweeps.backends.registry import BACKENDS, Request, parse_options

    plan = sweep.plan(out)
    require_records_folder(plan.paths.root)
    given = {**(options or {}), **({} if workers is None else {"workers": workers})}
    request = Request(
        cells=plan,
        runs=Path(out),
        command=f"mdl.run({sweep!r})",
        with_baselines=baselines,
        retry_failed=retry_failed,
        console=python_console(),
    )
    ended = BACKENDS[backend].run(request, parse_options(backend, given))
    if ended and (ended.n_errors or ended.n_failed):
        raise MdlError(ended.failure(plan.paths.root / "log.txt"))
    return plan.paths.root
