"""What options mean, the same in every command, and how results are printed."""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

QUIET: ContextVar[bool] = ContextVar("quiet", default=False)  # was -q given?
RESULTS: ContextVar[TextIO | None] = ContextVar("results", default=None)  # where --json prints; None: as all else

RUNS = Path("runs")

Runs = Annotated[Path, typer.Option("--runs", help="Folder of all sweeps' run folders.")]
FormerOut = Annotated[Path | None, typer.Option("--out", hidden=True)]
Cost = Annotated[
    str,
    typer.Option(
        "--cost",
        help="What a parameter costs: float16 (the paper), float16-used (rows in use), float32, coded (as measured), "
        "coded4 (at 4 bits), logn, file (on disk), capacity, none, or a number of bytes.",
    ),
]
Device = Annotated[str, typer.Option(help="auto (a CUDA device where there is one), cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be trained; train nothing.")]
Within = Annotated[float, typer.Option(help="Widest interval wanted: its upper end divided by its lower end.")]
Baselines = Annotated[bool, typer.Option(help="Run the classical coders too.")]


def _contexts(default: str) -> Any:
    told = (
        "Mix the model with contexts that learn while they code and cost no parameters. The code is shorter, and takes "
        f"some 2 microseconds more per byte. It needs the extra 'mixing'. Default: {default}."
    )
    return typer.Option("--contexts/--no-contexts", help=told)


def _stride(default: str) -> Any:
    told = (
        "Let windows overlap: one begins every so many bytes, and what it shares with the one before is context. The "
        f"code is shorter and takes context / stride times the work. Default: {default}."
    )
    return typer.Option("--stride-bytes", help=told)


_RECORDED = "the sweep must have measured it"
Contexts = Annotated[bool | None, _contexts("no")]
ContextsOfReport = Annotated[bool | None, _contexts(f"no; {_RECORDED}")]
ContextsOfPack = Annotated[bool | None, _contexts("as the run was measured")]
StrideBytes = Annotated[str | None, _stride("no overlap")]
StrideBytesOfReport = Annotated[str | None, _stride(f"no overlap; {_RECORDED}")]
StrideBytesOfPack = Annotated[str | None, _stride("as the run was measured; 0: no overlap")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")]


def in_bytes(text: str | None) -> int | None:
    """Bytes as they are written, such as 64 or 1KB; None: nothing was."""
    from mdl.units import parse_bytes

    return None if text is None else parse_bytes(text)


def in_inches(text: str) -> float:
    """A length as it is written, such as 84mm, 8.4cm or 3.3in; MdlError for what is none, or no figure's width."""
    from mdl.errors import MdlError

    found = re.fullmatch(r"\s*([0-9.]+)\s*(mm|cm|in)\s*", text)
    try:
        inches = float(found[1]) / {"mm": 25.4, "cm": 2.54, "in": 1.0}[found[2]] if found else 0.0
    except ValueError:
        inches = 0.0
    if not 60 / 25.4 <= inches <= 1000 / 25.4:
        raise MdlError(f"--figure-width is '{text}'; give a width from 60mm to 1000mm, such as 84mm, 8.4cm or 3.3in")
    return inches


def renamed(former: Any, value: Any, old: str, new: str) -> Any:
    """An option's value under its former name, with a line that says the new one; else `value`."""
    if former is None:
        return value
    note(f"{old} is called {new} now; the old name goes with the next release")
    return former


def note(text: str) -> None:
    """A line beside the result, on standard error."""
    if not QUIET.get():
        typer.echo(f"note: {text}", err=True)


def console(*, stderr: bool = True) -> Console:
    """Where progress is shown; nowhere with -q."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, quiet=QUIET.get())


def print_json(content: Any) -> None:
    """One object on standard output; what is not known is null, never NaN."""
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=str), file=RESULTS.get())
