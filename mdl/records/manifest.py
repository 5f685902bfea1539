"""`sweep.json`: which cells a run folder is to hold, and the hashes of the corpora that they are made from."""

from __future__ import annotations

import json
import os
from typing import Any

from mdl.errors import MdlError
from mdl.records.paths import RunPaths


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
    return {"project": "mdl", **read_manifest(paths).get("wandb", {}), **wandb_environment()}


def wandb_environment() -> dict[str, str]:
    """W&B's project and entity, as far as the environment names them."""
    named = {key: os.environ.get(f"WANDB_{key.upper()}") for key in ("project", "entity")}
    return {key: value for key, value in named.items() if value}
