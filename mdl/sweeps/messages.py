"""Lines for people beside the progress display."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, text: str, style: str | None = None) -> None:
    """One line: a terminal breaks it between words, a log keeps it whole."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)
