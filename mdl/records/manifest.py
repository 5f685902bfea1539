"""`sweep.json`: which cells a run folder is to hold, and the hashes of the corpora that they are made from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from mdl.data.corpus import Corpus
from mdl.errors import MdlError
from mdl.records.schema import RunPaths
from mdl.storage.atomic_files import write_atomically
from mdl.sweeps.plan import Plan


def read_manifest(paths: RunPaths) -> dict[str, Any]:
    """Its content; empty where there is none. MdlError for a file that is not one."""
    try:
        content = json.loads(paths.manifest.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise MdlError(f"{paths.manifest} is not JSON of a sweep; delete it to have it made again")
    return content


def wandb_place(paths: RunPaths) -> dict[str, Any]:
    """W&B's project, and entity where one is named, for a sweep's runs: the environment's (an agent's), or its own."""
    return {"project": "mdl", **read_manifest(paths).get("wandb", {}), **_of_environment()}


def _of_environment() -> dict[str, str]:
    named = {key: os.environ.get(f"WANDB_{key.upper()}") for key in ("project", "entity")}
    return {key: value for key, value in named.items() if value}


def write_manifest(plan: Plan, corpora: Iterable[Corpus], command: str, *, whole: bool) -> None:
    """Says what the folder is; the newest one marks the newest sweep.

    `whole`: the plan is the sweep. Otherwise its cells join those that are named there already, as an agent's do.
    """
    hashes = {corpus.info.source: corpus.info.sha256 for corpus in corpora}
    run_ids = [cell.run_id for cell in plan.cells]
    for _ in range(10):  # another agent may write between the reading and the writing: look again
        before = read_manifest(plan.paths)
        joined = dict.fromkeys([*([] if whole else before.get("run_ids", [])), *run_ids])
        content = {
            "name": plan.name,
            "command": command if whole else before.get("command", command),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "n_cells": len(joined),
            "run_ids": list(joined),
            "corpora": before.get("corpora", {}) | hashes,
            "wandb": before.get("wandb", {}) | _of_environment() | plan.wandb,
        }
        if all(before.get(key) == content[key] for key in content if key != "created"):
            os.utime(plan.paths.manifest)
            return
        write_atomically(plan.paths.manifest, json.dumps(content, indent=1).encode() + b"\n")
