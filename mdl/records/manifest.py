"""`sweep.json`: which cells a run folder is to hold, and the hashes of the corpora that they are made from."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import Any

from mdl.records.decode import MismatchError, anything, decoder
from mdl.records.fields import Text, Time
from mdl.records.json_file import MOST_MANIFEST_BYTES, RecordError, read_json
from mdl.records.paths import RunPaths


@dataclass(frozen=True, kw_only=True)
class _Manifest:
    """What may stand there, and of which type; a file of before has less."""

    name: str = ""
    command: Text = ""
    created: Time = ""
    n_cells: int = 0
    run_ids: tuple[str, ...] = ()
    corpora: dict[str, str] = field(default_factory=dict)  # source → SHA-256
    wandb: dict[str, str] = field(default_factory=dict)


def read_manifest(paths: RunPaths) -> dict[str, Any]:
    """Its content; empty where there is none. RecordError for a file that is not one."""
    try:
        content = read_json(paths.manifest, MOST_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        decoder(_Manifest)(content)
        anything(content)
    except MismatchError as error:
        raise RecordError(
            f"{paths.manifest} is not what a sweep wrote: {error}; delete it to have it made again"
        ) from None
    return dict(content)


SEARCHED = "# The cells of mdl size"  # a sweep file that `mdl size` writes into its run folder begins with it


def was_searched(paths: RunPaths) -> bool:
    """Were the cells of a run folder chosen by `mdl size`, round by round?"""
    with contextlib.suppress(OSError), (paths.root / "sweep.yaml").open("rb") as stream:
        return stream.read(len(SEARCHED)) == SEARCHED.encode()
    return False


def wandb_place(paths: RunPaths) -> dict[str, Any]:
    """The W&B project of a sweep's runs, and the entity where one is named. An agent's environment comes first."""
    return {"project": "mdl", **read_manifest(paths).get("wandb", {}), **wandb_environment()}


def wandb_environment() -> dict[str, str]:
    """W&B's project and entity, as far as the environment names them."""
    named = {key: os.environ.get(f"WANDB_{key.upper()}") for key in ("project", "entity")}
    return {key: value for key, value in named.items() if value}
