"""Lines for people beside the progress display."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def python_console() -> Console:
    """What Python functions tell their progress on: a terminal's bars, else lines of plain text.

    In a notebook rich by itself makes an output of HTML of every line, and its kernel says that it is a terminal.
    """
    from rich.console import Console

    console = Console(highlight=False)
    return Console(highlight=False, force_jupyter=False, force_terminal=False) if console.is_jupyter else console


def say(console: Console, text: str, style: str | None = None) -> None:
    """One line: a terminal breaks it between words, a log keeps it whole."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)
