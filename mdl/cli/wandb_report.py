"""`mdl report --wandb`: what a report found, as a W&B run of the sweep's own project.

The critical sizes and rates are tables, the figures are vector drawings, and the summary and the documents are the
run's files. Nothing is sent that the report's folder does not hold.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mdl.errors import MdlError
from mdl.records import RunPaths, wandb_place
from mdl.units import short_bytes

_TABLES = ("critical", "rates", "predictions")
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

    try:
        run = wandb.init(
            **wandb_place(RunPaths(sweep)),
            name=f"{summary['name']} report",
            group=summary["name"],
            job_type="report",
            dir=str(sweep if sweep.is_dir() else folder),
            config={"cost": summary["cost"]},
            reinit="create_new",
        )
    except (Error, OSError) as error:
        why = " ".join(str(error).split())[:300]
        raise MdlError(f"W&B took nothing of the report: {why}; try 'wandb login', or WANDB_MODE=offline") from None
    written = [folder / name for name in names]  # what else lies in the folder is the user's own
    with run:
        tables = {name: table for name in _TABLES if (table := _table(summary[name])) is not None}
        figures = {f"figures/{path.stem}": wandb.Html(path.read_text()) for path in written if path.suffix == ".svg"}
        run.log({**tables, **figures})
        run.summary.update(flat(summary))
        for path in written:
            if path.parent == folder:
                run.save(path, base_path=folder, policy="now")
    return run.url or f"wandb sync {Path(run.dir).parent}"


def flat(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Counts, and each critical size with its rates, as flat keys: `100KB/critical_size`."""
    groups = list(dict.fromkeys(row["group"] for row in summary["critical"]))
    values: dict[str, Any] = {name: summary[name] for name in _FIGURES}
    for row in summary["critical"]:
        which = groups.index(row["group"])
        at = short_bytes(int(row["subset_bytes"])) + (f"_{which + 1}" if which else "")
        values |= {f"{at}/critical_size": row["n_params"], f"{at}/critical_size_status": row["status"]}
        values |= {f"{at}/{name}": row[name] for name in ("low", "high", "adjusted_rate", "raw_rate")}
    return {name: value for name, value in values.items() if value is not None}


def _table(rows: list[dict[str, Any]]) -> Any:
    """A W&B table; None for no rows."""
    import wandb

    if not rows:
        return None
    plain: list[Iterable[Any]] = [
        [json.dumps(v) if isinstance(v, dict | list) else v for v in row.values()] for row in rows
    ]
    return wandb.Table(columns=list(rows[0]), data=plain, allow_mixed_types=True)
