"""A sweep file is a W&B sweep file. Here it becomes cells, and cells become cohorts that train together."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mdl.config import Cell, Cohort, from_flat, full_key
from mdl.errors import MdlError, nearest
from mdl.models import training_bytes

# https://docs.wandb.ai, "Sweep configuration options": the keys W&B itself knows.
_TOP_LEVEL = {
    "program", "method", "parameters", "command", "name", "description", "metric", "early_terminate", "project",
    "entity", "run_cap", "imageuri", "job",
}  # fmt: skip
_PARAMETER = {"value", "values", "distribution", "min", "max", "mu", "sigma", "q", "probabilities"}


@dataclass(frozen=True)
class SweepFile:
    """A checked sweep file: each parameter's dotted key and the values it takes."""

    name: str
    method: str
    parameters: dict[str, tuple[Any, ...]]
    text: str
    wandb: dict[str, str]  # the project and entity that it names


def load_sweep(path: Path) -> SweepFile:
    """Read and check a sweep file; MdlError in one line naming key, value and the nearest valid key."""
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except FileNotFoundError:
        raise MdlError(f"no sweep file at {path}{_shipped_hint(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MdlError(f"cannot read sweep file {path}: {error}") from None
    except yaml.YAMLError as error:
        raise MdlError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise MdlError(f"{path} is not a sweep file: want keys such as method and parameters, got {content!r:.60}")
    for key in content:
        if key not in _TOP_LEVEL:
            raise MdlError(f"{path}: unknown key '{key}'{nearest(str(key), _TOP_LEVEL)}")
    name = str(content.get("name", path.stem))
    check_name(name)
    wandb = {key: str(content[key]) for key in ("project", "entity") if content.get(key)}
    method, parameters = str(content.get("method", "grid")), _parameters(content.get("parameters"), path)
    return SweepFile(name, method, parameters, text, wandb)


def check_name(name: str) -> None:
    """A sweep's name is a folder's name, nothing more."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise MdlError(f"sweep name '{name}' cannot be a folder name; use letters, digits, '.', '_' and '-'")


def _shipped_hint(path: Path) -> str:
    shipped = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    return nearest(path.name, shipped)


def _parameters(raw: Any, path: Path) -> dict[str, tuple[Any, ...]]:
    if not isinstance(raw, dict) or not raw:
        raise MdlError(f"{path}: 'parameters' must map keys to value or values, got {raw!r:.60}")
    parameters: dict[str, tuple[Any, ...]] = {}
    for key, spec in raw.items():
        try:
            dotted = full_key(str(key))
        except MdlError as error:
            raise MdlError(f"{path}: {error}") from None
        parameters[dotted] = _values(str(key), spec, path)
    return parameters


def _values(key: str, spec: Any, path: Path) -> tuple[Any, ...]:
    if not isinstance(spec, Mapping):
        raise MdlError(f"{path}: parameter '{key}' must be {{value: …}} or {{values: […]}}, got {spec!r:.60}")
    for word in spec:
        if word not in _PARAMETER:
            raise MdlError(f"{path}: parameter '{key}': unknown key '{word}'{nearest(str(word), _PARAMETER)}")
    if "value" in spec:
        return (spec["value"],)
    values = spec.get("values")
    if isinstance(values, list) and values:
        return tuple(values)
    raise MdlError(f"{path}: parameter '{key}' has no value or values; a grid needs them (got {dict(spec)!r:.60})")


def cells_of(sweep: SweepFile) -> list[Cell]:
    """Every combination of the grid, checked, each once."""
    if sweep.method != "grid":
        raise MdlError(
            f"method '{sweep.method}' draws cells one by one, which W&B does: run 'wandb sweep' and 'wandb agent'; "
            "here only method: grid can run"
        )
    return grid_cells(sweep.parameters)


def grid_cells(parameters: Mapping[str, tuple[Any, ...]]) -> list[Cell]:
    """Every combination of the values, checked, each once."""
    cells: dict[str, Cell] = {}
    for combination in itertools.product(*parameters.values()):
        config = from_flat(dict(zip(parameters, combination, strict=True)))
        _ = config.resolved  # an impossible shape is found before anything runs
        if config.subset_bytes < config.model.context_bytes:
            raise MdlError(
                f"subset_bytes {config.subset_bytes} is less than one window, model.context_bytes "
                f"{config.model.context_bytes}; use a larger subset or a shorter context"
            )
        cells.setdefault(config.run_id, Cell(config.run_id, config))
    return list(cells.values())


def cohorts_of(cells: Sequence[Cell]) -> list[Cohort]:
    """Cells of one shape and recipe together, split where their training would not fit in `train.memory_bytes`."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.config.cohort_key(), []).append(cell)
    return [cohort for group in groups.values() for cohort in _split(group)]


def _split(group: list[Cell]) -> list[Cohort]:
    """Parts as equal as can be, in the order of subset size and seed."""
    config = group[0].config
    each = training_bytes(config.resolved.shape, -(-config.train.batch_windows // config.resolved.execution.n_devices))
    at_most = max(1, int(config.train.memory_bytes // each))
    n_parts = -(-len(group) // at_most)
    ordered = sorted(group, key=lambda cell: (cell.config.subset_bytes, cell.config.train.seed, cell.run_id))
    bounds = [len(group) * i // n_parts for i in range(n_parts + 1)]
    return [Cohort(tuple(ordered[a:b])) for a, b in itertools.pairwise(bounds)]
