"""Every back end is a peer: one Protocol, one registry, one file each.

To add one, register it in a file of its own and name that file with --plugin (or import it in Python):

    @dataclass(frozen=True)
    class Options:
        queue: str                                   # --option queue=long; what has no default must be given

    class Batch:
        options = Options
        def run(self, request, options): ...         # do it, or hand it over; here: BACKENDS["local"].run(request, …)
        def preview(self, request, options): ...     # what --dry-run adds to the plan
        def incarnation(self): ...                   # None, or (job, start) where the queue starts a job again

    register_backend("batch", Batch())

and call `mdl sweep FILE --plugin batch.py --backend batch --option queue=long`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from rich.console import Console

from mdl.errors import MdlError, nearest, problem_of
from mdl.records import Registry
from mdl.sweeps.plan import Plan, plan_sweep

Incarnation = tuple[str, int]  # a job's name in its queue, and how often it was started before


@dataclass(frozen=True, kw_only=True)
class Request:
    """A sweep that is to be made, whatever the back end."""

    file: Path | None = None
    """The sweep file; None: the cells were named in Python."""
    cells: Plan | None = None
    """These cells, where there is no file."""
    runs: Path
    """Folder of all sweeps' records."""
    command: str
    """As the user gave it, for the records."""
    with_baselines: bool
    retry_failed: bool
    console: Console

    @cached_property
    def plan(self) -> Plan:
        """The cells in cohorts; MdlError where this machine cannot tell them (W&B draws some sweeps)."""
        if self.cells is not None:
            return self.cells
        if self.file is None:
            raise MdlError("a request names a sweep file or its cells")
        return plan_sweep(self.file, self.runs)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What this process did of a sweep."""

    n_errors: int = 0  # jobs that ended without a record
    n_failed: int = 0  # cells recorded as failed
    n_made: int = 0  # cells recorded
    reason: str = ""  # of the first that failed

    def failure(self, log: Path) -> str:
        """What a user hears where something failed, in one line: with -q and in Python nothing else is shown."""
        n_failed = self.n_errors + self.n_failed
        return f"{n_failed} failed ({self.reason or '?'}); the rest is recorded; see {log}"


class Backend(Protocol):
    """A place where a sweep's jobs run."""

    @property
    def options(self) -> type[Any]:
        """A dataclass: its fields are the options that the back end takes."""
        ...

    def run(self, request: Request, options: Any) -> Ended | None:
        """Make what is missing and say how that ended; None where others make it (the user was told who)."""
        ...

    def preview(self, request: Request, options: Any) -> str:
        """What `--dry-run` prints after the plan, such as the script of a job; nothing is started."""
        ...

    def incarnation(self) -> Incarnation | None:
        """Which job of its queue this process is, and which start of it; None outside, or where none starts again.

        An earlier start of the same job is known to be dead: what it claimed is taken over at once.
        """
        ...


BACKENDS: Registry[Backend] = Registry(
    "back end", {name: f"mdl.sweeps.backends.{name}" for name in ("local", "slurm", "wandb")}
)


def register_backend(name: str, backend: Backend) -> None:
    """Add a back end under its name; MdlError for a name that is taken, or where it does not say all that it must."""
    missing = [part for part in ("run", "preview", "incarnation") if not callable(getattr(backend, part, None))]
    options = getattr(backend, "options", None)
    if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
        missing.append("options (a dataclass)")
    if missing:
        raise MdlError(f"back end '{name}' has no {', no '.join(missing)}; see mdl.sweeps.Backend")
    BACKENDS.register(name, backend)


def incarnations() -> dict[str, Incarnation]:
    """What this process is in the queue of each back end that starts jobs again."""
    found = ((name, backend.incarnation()) for name, backend in BACKENDS.items())
    return {name: incarnation for name, incarnation in found if incarnation is not None}


def parse_options(name: str, given: Mapping[str, Any], words: Sequence[str] = ()) -> Any:
    """A back end's options, from values by name and `key=value` words of its fields' types; MdlError in one line."""
    kind = BACKENDS[name].options
    known = {field.name: field for field in dataclasses.fields(kind)}
    values = dict(given)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise MdlError(f"--option {word}: want key=value")
        if key in values:
            raise MdlError(f"option '{key}' of back end '{name}' is given twice; leave one out")
        values[key] = value
    for key in values:
        if key not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise MdlError(f"back end '{name}' has no option '{key}'{nearest(key, known)} ({has})")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise MdlError(f"back end '{name}'{_first_problem(error)}") from None
    except PydanticUserError as error:
        raise MdlError(f"back end '{name}': key=value gives no such type of option ({error.message})") from None


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    text = problem_of(first)
    if not first["loc"]:  # of all of them together
        return f": {text}"
    key = str(first["loc"][0])
    if first["type"].startswith("missing"):
        return f" wants option '{key}'; give --option {key}=…"
    return f", option '{key}': {text[:1].lower()}{text[1:]}, got {first['input']!r}"
