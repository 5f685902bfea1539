"""`mdl --help`: commands in groups, a whole line each, then exit codes and environment variables."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

_ENDING = {
    "Exit codes": [
        ("0", "done"),
        ("2", "something to mend, told in one line; what is done stays"),
        ("130", "stopped by Ctrl-C or SIGTERM; the same command goes on"),
    ],
    "Environment": [
        ("MDL_CACHE", "where corpora and hashes are kept; default ~/.cache/mdl"),
        ("MDL_PLUGIN", "files as --plugin takes them, separated as in PATH"),
        ("WANDB_MODE", "offline: W&B without an account"),
        ("HF_HUB_OFFLINE", "1: Hugging Face names are looked up on this machine alone"),
        ("NO_COLOR", "set to anything: no colors"),
    ],
}


class GroupedCommands(TyperGroup):
    """A Typer group whose help lists its commands under what they are for (their `rich_help_panel`)."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The groups in the order of their first command, then what ends and surrounds every command."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                told = (command.help or "").strip().splitlines()[0]
                groups.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append((name, told))
        for title, rows in [*groups.items(), *_ENDING.items()]:
            with formatter.section(title):
                formatter.write_dl(rows, col_max=16)
