"""`mdl --help`: commands in groups, a whole line each, then exit codes and environment variables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from typer.core import TyperGroup

from mdl.errors import Stopped

_KINDS = {"path": "PATH", "int": "N", "float": "X"}
ENDING = {
    "Exit codes": [
        ("0", "done"),
        ("2", "an error that you can fix, in one line; finished work is kept"),
        ("130, 143", "stopped by Ctrl-C, by SIGTERM; finished work is kept, and the same command continues"),
    ],
    "Environment": [
        ("MDL_CACHE", "where corpora and hashes are kept; default ~/.cache/mdl"),
        ("MDL_PLUGIN", "files as --plugin takes them, separated as in PATH"),
        ("WANDB_MODE", "offline: W&B without an account"),
        ("HF_HUB_OFFLINE", "1: Hugging Face names are looked up on this machine alone"),
        ("NO_COLOR", "set to anything: no colors"),
    ],
}


def _name_values(command: Any) -> None:
    for parameter in command.params:
        if not parameter.metavar and not getattr(parameter, "is_flag", False):
            parameter.metavar = _metavar(parameter)
        if parameter.param_type_name == "argument":
            parameter.get_help_record = partial(_name_and_help, parameter, parameter.get_help_record)


def _name_and_help(parameter: Any, record: Callable[[Any], tuple[str, str] | None], ctx: Any) -> tuple[str, str] | None:
    """Without the type that Python has for it."""
    told = record(ctx)
    return told and (parameter.metavar, told[1])


def _metavar(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name.upper())
    kind = str(getattr(parameter, "type_descriptor", None) or getattr(parameter, "type", "")).lower()
    return next((said for word, said in _KINDS.items() if word in kind), "TEXT")


class GroupedCommands(TyperGroup):
    """A Typer group whose help lists its commands under what they are for (their `rich_help_panel`)."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command whose help says FILE and N, not the names that Python has for them."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _name_values(command)
        return command

    def invoke(self, ctx: Any) -> Any:
        """Stopped, where a signal ended the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Stopped("stopped", stop) from None

    def get_params(self, ctx: Any) -> list[Any]:
        """The same of what is said before a command."""
        _name_values(self)
        return super().get_params(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The groups in the order of their first command, then what ends and surrounds every command."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                told = (command.help or "").strip().splitlines()[0]
                groups.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append((name, told))
        for title, rows in [*groups.items(), *ENDING.items()]:
            with formatter.section(title):
                formatter.write_dl(rows, col_max=16)
