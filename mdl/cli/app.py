"""The command line: parse, call, print. Heavy imports stay inside the commands."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.errors import AnalysisError
from mdl import __version__
from mdl.cli.command_help import CommandWithExamples
from mdl.cli.commands import compressing, modelling, reporting, sizing, sweeping
from mdl.cli.grouped_help import GroupedCommands
from mdl.cli.options import QUIET, RESULTS
from mdl.errors import MdlError, Stopped, Terminated, one_line

app = typer.Typer(
    cls=GroupedCommands,
    help="How big a model does this data pay for? Language models as compressors, their parameters counted.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    "Size and sweep": (sizing.size, sweeping.sweep, sweeping.run, sweeping.suggest),
    "Report and fit": (reporting.report, reporting.fit),
    "Compress": (
        compressing.compress,
        compressing.decompress,
        compressing.inspect,
        compressing.pack,
        compressing.unpack,
    ),
    "Models": (modelling.baselines, modelling.evaluate, modelling.generate),
    "Cluster": (sweeping.status,),
}
for _title, _commands in _GROUPS.items():
    for _command in _commands:
        app.command(rich_help_panel=_title, cls=CommandWithExamples)(_command)
app.command(name="slurm-task", hidden=True)(sweeping.slurm_task)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mdl {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which it is.")] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print no progress and no notes; also after a command.")
    ] = False,
    plugin: Annotated[
        list[Path] | None,
        typer.Option("--plugin", help="A Python file of yours that registers coders, sources …; also after a command."),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print more details; also after a command.")] = False,
) -> None:
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="note: %(message)s")
    QUIET.set(quiet)
    if plugin or os.environ.get("MDL_PLUGIN"):
        from mdl.plugins import load_plugins

        load_plugins(plugin or ())


_NAME = "mdl"  # also where it was started with python -m
_PLUGIN = "--plugin"
_ANYWHERE = ("-q", "--quiet", "-v", "--verbose")


def _arranged(arguments: Sequence[str]) -> list[str]:
    """What is said of all commands may stand behind one; words after `--` are left alone."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = iter(arguments[:end])
    moved: list[str] = []
    left: list[str] = []
    for word in words:
        if word == _PLUGIN:
            moved += [word, *[value for value in [next(words, None)] if value is not None]]
        else:
            (moved if word in _ANYWHERE or word.startswith(f"{_PLUGIN}=") else left).append(word)
    return [*moved, *left, *arguments[end:]]


_OF_ONE_PLACE = ("size", "baselines")  # commands that take any data, by one name

_UsageError: Any = typer.BadParameter.__base__  # click's, or that of the copy which newer typers hold


def main() -> None:
    """Entry point: one line and status 2 for whatever a user can mend, 128 + n for a stop by signal n."""
    _prepare_process()
    words = _arranged(sys.argv[1:])
    try:
        with _object_alone() if "--json" in words else nullcontext():
            ended = app(words, prog_name=_NAME, standalone_mode=False)
    except _UsageError as error:
        _misused(error)
    except (MdlError, AnalysisError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(one_line(error))
    except Stopped as stop:
        _stop(stop)
    except KeyboardInterrupt as stop:  # before the command began, or after it
        _stop(Stopped("stopped", stop))
    except BaseException as error:  # a user's sys.exit(0) would say that all is done
        from mdl.plugins import plugin_fault

        if not (told := plugin_fault(error)):
            raise
        if os.environ.get("MDL_TRACEBACK"):
            traceback.print_exc()
        _fail(told)
    else:
        sys.exit(ended if isinstance(ended, int) else 0)
    finally:
        _end_at_a_signal()


@contextmanager
def _object_alone() -> Iterator[None]:
    """Within, standard output is for the result alone: what a plugin prints goes where notes go."""
    RESULTS.set(sys.stdout)
    with redirect_stdout(sys.stderr):
        yield


def _prepare_process() -> None:
    """SIGTERM unwinds, so that temporary files go; what the terminal's encoding lacks is escaped."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _unwind)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _end_at_a_signal() -> None:
    """All is done or told: while the interpreter ends there is nothing left that an exception could unwind."""
    for number, ours in ((signal.SIGTERM, _unwind), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is ours:
            signal.signal(number, signal.SIG_DFL)


def _unwind(*_: object) -> None:
    raise Terminated


def _stop(stop: Stopped) -> None:
    typer.echo(str(stop), err=True)
    sys.exit(128 + stop.signal_number)


def _misused(error: Any) -> None:
    """What is wrong with the command line, and where its help is; the help itself where nothing was said."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(error.exit_code)
    said = error.format_message().rstrip(".")
    if said.startswith("Got unexpected extra argument") and error.ctx and error.ctx.info_name in _OF_ONE_PLACE:
        said += ": of several files give the folder, or a glob in quotes, as in '*.txt'"  # the shell expands a bare one
    _fail(f"{said}{' ' if said.endswith('?') else '; '}see {error.ctx.command_path if error.ctx else _NAME} --help")


def _fail(message: str) -> None:
    from mdl.records import shown

    typer.echo(f"error: {shown(' '.join(message.split()))}", err=True)
    sys.exit(2)
