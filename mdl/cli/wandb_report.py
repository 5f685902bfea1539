"""`mdl report --wandb`: what a report found, as a W&B run of the sweep's own project.

The critical sizes and rates are tables, the figures are vector drawings, and the summary and the documents are the
run's files. Nothing is sent that the report's folder does not hold.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.formatting import format_bytes
from mdl.errors import MdlError
from mdl.records import RunPaths, wandb_place
from mdl.units import short_bytes

_TABLES = ("critical", "rates", "predictions")
_CEILING = 2.5  # times the highest minimum, as in the report's figure
_FIGURES = ("n_cells", "n_failed", "n_missing")


def require_wandb() -> None:
    """MdlError where the library is not installed: said before anything is made."""
    if importlib.util.find_spec("wandb") is None:
        raise MdlError("--wandb needs the wandb package: pip install wandb, or leave out --wandb")


def log_report(summary: Mapping[str, Any], folder: Path, sweep: Path, names: Sequence[str]) -> str:
    """Log the report in `folder`, files `names`, of the run folder `sweep`.

    Returns where it can be seen, or is kept until `wandb sync`.

    MdlError where W&B has no key for this user, or does not answer.
    """
    import wandb
    from wandb.errors import Error

    from mdl.training import CarefulRun, use_corpus, wandb_settings

    try:
        run = wandb.init(
            **wandb_place(RunPaths(sweep)),
            name=f"{summary['name']} report",
            group=summary["name"],
            job_type="report",
            dir=str(sweep if sweep.is_dir() else folder),
            config={"cost": summary["cost"]},
            reinit="create_new",
            settings=wandb_settings(),
        )
    except (Error, OSError) as error:
        why = " ".join(str(error).split())[:300]
        raise MdlError(f"W&B took nothing of the report: {why}; try 'wandb login', or WANDB_MODE=offline") from None
    written = [folder / name for name in names]  # what else lies in the folder is the user's own
    with run:
        tables = {name: table for name in _TABLES if (table := _table(summary[name])) is not None}
        figures = {f"figures/{path.stem}": wandb.Html(path.read_text()) for path in written if path.suffix == ".svg"}
        run.log({**tables, **figures, **_panels(summary)})
        run.summary.update(flat(summary))
        for path in written:
            if path.parent == folder:
                _keep(run, path)
        with CarefulRun(run).harmless("corpora"):
            for corpus in summary["corpora"]:
                use_corpus(run, corpus["source"], corpus["corpus_bytes"], corpus["sha256"])
    return run.url or f"wandb sync {Path(run.dir).parent}"


def _keep(run: Any, path: Path) -> None:
    """The file as it is now: W&B would link to it, and `wandb sync` then send what a later report wrote there."""
    copy = shutil.copyfile(path, Path(run.dir) / path.name)
    run.save(glob.escape(str(copy)), base_path=run.dir, policy="now")


def flat(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Counts, and each critical size with its rates, as flat keys: `100KB/critical_size`."""
    groups = list(dict.fromkeys(row["group"] for row in summary["critical"]))
    values: dict[str, Any] = {name: summary[name] for name in _FIGURES}
    for row in summary["critical"]:
        which = groups.index(row["group"])
        at = short_bytes(int(row["subset_bytes"])) + (f"_{which + 1}" if which else "")
        values |= {f"{at}/critical_size": row["n_params"], f"{at}/critical_size_status": row["status"]}
        values |= {f"{at}/{name}": row[name] for name in ("low", "high", "grid_best", "adjusted_rate", "raw_rate")}
    return {name: value for name, value in values.items() if value is not None}


def _panels(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Per group a panel of the adjusted rate, %, against log10 N: a line per dataset size, and one through every N*.

    W&B's own line panels have no logarithmic axis of a column, and W&B keeps no stars: N* is a line of its own. Where
    there is one N*, the line stands upright on it, since nobody would see a line of one point.
    """
    import wandb

    panels = {}
    for i, group in enumerate(dict.fromkeys(row["group"] for row in summary["critical"])):
        found = [row for row in summary["critical"] if row["group"] == group]
        ceiling = _CEILING * max(row["adjusted_rate"] for row in found)  # one byte of data and a large model is 6,000 %
        lines = {format_bytes(row["subset_bytes"]): _points(summary["rates"], row, ceiling) for row in found}
        minima = [(row["n_params"], row["adjusted_rate"]) for row in found if row["n_params"] is not None]
        if len(minima) == 1:
            minima.append((minima[0][0], max(rate for line in lines.values() for _, rate in line)))
        lines |= {"N*": minima} if minima else {}
        panels[f"adjusted_rate{f'_{i + 1}' if i else ''}"] = wandb.plot.line_series(
            xs=[[math.log10(n) for n, _ in line] for line in lines.values()],
            ys=[[100 * rate for _, rate in line] for line in lines.values()],
            keys=list(lines),
            title=f"Adjusted rate, %, against model size: {group}",
            xname="log10 N",
        )
    return panels


def _points(rates: Sequence[Mapping[str, Any]], row: Mapping[str, Any], ceiling: float) -> list[tuple[int, float]]:
    """Model size and adjusted rate of every shape at the dataset size of `row`."""
    own = [r for r in rates if (r["group"], r["subset_bytes"]) == (row["group"], row["subset_bytes"])]
    return sorted((r["n_params"], r["adjusted_rate"]) for r in own if r["adjusted_rate"] <= ceiling)


def _table(rows: list[dict[str, Any]]) -> Any:
    """A W&B table; None for no rows."""
    import wandb

    if not rows:
        return None
    plain: list[Iterable[Any]] = [
        [json.dumps(v) if isinstance(v, dict | list) else v for v in row.values()] for row in rows
    ]
    return wandb.Table(columns=list(rows[0]), data=plain, allow_mixed_types=True)
