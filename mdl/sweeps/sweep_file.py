"""A sweep file is a W&B sweep file. Every key of theirs is honored here, passed on to W&B, or refused by name."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdl.config import full_key
from mdl.errors import MdlError, nearest, quoted
from mdl.models import ladder_of
from mdl.sweeps.distributions import Domain, domain
from mdl.sweeps.strict_yaml import read_yaml

MOST_CELLS = 100_000  # of a sweep
SHIPPED = Path(__file__).parent / "shipped"  # sweep files that come along
CELL = "cell"  # a parameter whose every value sets several keys at once: a file may name cells that fill no grid


@dataclass(frozen=True, kw_only=True)
class SweepFile:
    """A checked sweep file: each parameter's dotted key and the values it may take (of CELL: keys and their values)."""

    name: str
    method: str  # grid, random, bayes
    parameters: dict[str, Domain]
    run_cap: int | None  # cells at the most
    seed: int  # of what a random sweep draws
    content: dict[str, Any]  # all of the file, for W&B

    @property
    def wandb(self) -> dict[str, str]:
        """The project and the entity that it names."""
        return {key: self.content[key] for key in ("project", "entity") if self.content.get(key)}

    @property
    def command(self) -> list[str]:
        """How W&B's agents start a cell; empty: with `mdl run`."""
        return list(self.content.get("command") or [])


def load_sweep(path: Path) -> SweepFile:
    """Read and check a sweep file; MdlError in one line naming key, value and the nearest valid key."""
    try:
        _, content = read_yaml(path)
    except FileNotFoundError:
        raise MdlError(f"no sweep file at {path}{_hint(path)}") from None
    except IsADirectoryError:
        raise MdlError(
            f"{path} is a folder; name the sweep's file (mdl status tells how far a run folder is)"
        ) from None
    except OSError as error:
        raise MdlError(f"cannot read sweep file {path}: {error}") from None
    if not isinstance(content, dict):
        raise MdlError(f"{path} is not a sweep file: want keys such as method and parameters, got {quoted(content)}")
    for key, value in content.items():
        if key not in _KEYS:
            raise MdlError(f"{path}: unknown key '{key}'{nearest(str(key), _KEYS)}")
        if wrong := _KEYS[key](value):
            raise MdlError(f"{path}: {key}: {wrong}, got {quoted(value)}")
    content = _with_short_forms(content, path)
    _check_program(content, path)
    name = _name(content, path)
    check_name(name)
    return SweepFile(
        name=name,
        method=content.get("method", "grid"),
        parameters=_parameters(content.get("parameters"), path),
        run_cap=content.get("run_cap"),
        seed=content.get("seed", 0),
        content=content,
    )


def check_name(name: str) -> None:
    """A sweep's name is a folder's name, nothing more."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise MdlError(f"sweep name {quoted(name)} cannot be a folder name; use letters, digits, '.', '_' and '-'")


def option_of(command: list[str], option: str) -> str | None:
    """What a command gives an option, as `--option VALUE` or `--option=VALUE`."""
    for word, following in itertools.zip_longest(command, command[1:]):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def check_runs_here(sweep: SweepFile) -> None:
    """MdlError naming what only W&B can do."""
    if sweep.method == "bayes":
        raise MdlError(
            "method 'bayes' chooses each cell by the results so far, which W&B does: "
            "run 'mdl sweep FILE --backend wandb'; without W&B use method: grid or random"
        )
    for key, why in _ONLY_WANDB.items():
        if sweep.content.get(key) is not None:
            raise MdlError(f"{key} {why}: run 'mdl sweep FILE --backend wandb', or take it out")


def check_out(sweep: SweepFile, out: Path) -> None:
    """One place for the records, whether agents make them or this process does."""
    theirs = option_of(sweep.command, "--runs") or option_of(sweep.command, "--out")
    if theirs is not None and Path(theirs) != out:
        raise MdlError(f"the file's command says --runs {theirs}, this one {out}: say --runs {theirs} here too")


def _with_short_forms(content: Any, path: Path) -> Any:
    """The same with `size: ladder(2K, 1M, 8)`, alone or as a value, written as the sizes that it names.

    So W&B wants them. `steps: auto(1500, 24000)` becomes a value: a run of W&B trains all that it stands for.
    """
    if not isinstance(content, dict):
        return content
    found: dict[Any, Any] = {}
    for key, spec in content.items():
        value = spec.get("value", spec.get("values")) if isinstance(spec, dict) and len(spec) == 1 else spec
        try:
            sizes = ladder_of(value) if isinstance(value, str) and str(key).endswith("size") else None
        except MdlError as error:
            raise MdlError(f"{path}: parameter '{key}': {error}") from None
        if isinstance(value, str) and str(key).endswith("steps") and value.startswith("auto"):
            found[key] = {"value": value}
        else:
            found[key] = {"values": list(sizes)} if sizes else _with_short_forms(spec, path)
    return found


def _hint(path: Path) -> str:
    if (SHIPPED / path.name).is_file():  # as README names it, from another folder than the source's
        return f"; mdl sweep {path.stem} takes the one that comes along"
    beside = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    return nearest(path.name, beside)


def _name(content: Mapping[str, Any], path: Path) -> str:
    """The file's own, its command's, or the file's name: where there are two they must be one."""
    command = content.get("command") or []
    own, theirs = content.get("name"), option_of(command, "--sweep") if command else None
    if own is not None and theirs is not None and own != theirs:
        raise MdlError(f"{path}: name is '{own}', but its command says --sweep {theirs}: write the same name in both")
    return str(own or theirs or path.stem)


def _check_program(content: Mapping[str, Any], path: Path) -> None:
    program = content.get("program")
    if program is not None and "command" not in content and Path(program).name != "mdl":
        raise MdlError(
            f"{path}: program {quoted(program)} is not what trains a cell here, mdl is; take it out, or write a "
            "command that uses ${program}"
        )


def _parameters(raw: Any, path: Path) -> dict[str, Domain]:
    if not isinstance(raw, dict) or not raw:
        raise MdlError(f"{path}: 'parameters' must map keys to value or values, got {quoted(raw)}")
    found: dict[str, Domain] = {}
    names: dict[str, str] = {}
    for key, spec in _flat(raw, "", path):
        found[CELL if key == CELL else _dotted(key, names, path)] = domain(spec, f"{path}: parameter '{key}'")
    if CELL in found:
        _check_cells(found[CELL].values, names, path)
    return found


def _dotted(key: str, names: dict[str, str], path: Path) -> str:
    """The whole key, which joins those known by their `names` so far."""
    try:
        dotted = full_key(key)
    except MdlError as error:
        raise MdlError(f"{path}: {error}") from None
    if dotted in names:
        raise MdlError(f"{path}: '{names[dotted]}' and '{key}' are both {dotted}; leave one out")
    names[dotted] = key
    return dotted


def _check_cells(cells: Sequence[Any] | None, names: Mapping[str, str], path: Path) -> None:
    """Each maps keys that no other parameter sets to values."""
    for cell in (None,) if cells is None else cells:
        if not isinstance(cell, dict) or not cell or not all(isinstance(key, str) for key in cell):
            raise MdlError(
                f"{path}: parameter '{CELL}': want values such as {{size: 8x1, subset_bytes: 1MB}}, got {quoted(cell)}"
            )
        own = dict(names)
        for key in cell:
            _dotted(key, own, path)


def _flat(raw: Mapping[Any, Any], prefix: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """W&B's nested parameters, `train: {parameters: {steps: …}}`, by dotted keys."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for key, spec in raw.items():
        name = f"{prefix}{key}"
        if not isinstance(spec, Mapping):
            want = "{value: …} or {values: […]}"
            raise MdlError(f"{path}: parameter '{name}' must be {want}, got {quoted(spec)}")
        if "parameters" not in spec:
            found.append((name, spec))
        elif len(spec) > 1 or not isinstance(spec["parameters"], Mapping):
            raise MdlError(f"{path}: parameter '{name}': parameters must map keys, alone, got {quoted(spec)}")
        else:
            found += _flat(spec["parameters"], f"{name}.", path)
    return found


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "want text, such as 'mine'"


def _mapping(value: Any) -> str | None:
    return None if isinstance(value, dict) else "want a mapping as W&B describes it"


def _count(least: int, most: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"want a whole number from {least:,} to {most:,}"

    return check


def _method(value: Any) -> str | None:
    known = ("grid", "random", "bayes")
    return None if value in known else f"want grid, random or bayes{nearest(str(value), known)}"


def _command(value: Any) -> str | None:
    good = isinstance(value, list) and value and all(isinstance(word, str) for word in value)
    return None if good else "want a list of words, such as [mdl, run, --sweep, mine, '${args_no_hyphens}']"


def _controller(value: Any) -> str | None:
    """W&B's own scheduler is what `--backend wandb` uses; a local one would be a process that nobody has started."""
    good = isinstance(value, dict) and value.get("type", "cloud") == "cloud"
    return None if good else "want {type: cloud}; a local controller is for wandb's own programs"


# https://docs.wandb.ai, "Sweep configuration options": the keys W&B itself knows, and `seed`, which is ours. Each with
# what is wrong about a value of it.
_KEYS: dict[str, Callable[[Any], str | None]] = {
    "name": _text,
    "method": _method,
    "parameters": lambda _: None,
    "command": _command,
    "program": _text,
    "description": _text,
    "project": _text,
    "entity": _text,
    "metric": _mapping,
    "early_terminate": _mapping,
    "controller": _controller,
    "run_cap": _count(1, MOST_CELLS),
    "imageuri": _text,
    "image_uri": _text,
    "job": _text,
    "seed": _count(0, 2**63 - 1),
}
OURS = ("seed",)  # W&B does not know them
_ONLY_WANDB = {
    "early_terminate": "stops cells before their last step, which W&B's agents do",
    "job": "is for W&B Launch",
    "imageuri": "is for W&B Launch",
    "image_uri": "is for W&B Launch",
}
