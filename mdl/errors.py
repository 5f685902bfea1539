"""The one error a user may meet: what is wrong, what was found, how to mend it, in one line."""

from __future__ import annotations

import difflib
import reprlib
import signal
from collections.abc import Iterable, Mapping
from typing import Any


class MdlError(Exception):
    """Bad input or a missing resource. The command line prints the message alone and exits with 2.

    Examples
    --------
    >>> try:
    ...     mdl.compressor("gzipp")
    ... except mdl.MdlError as error:
    ...     print("did you mean 'gzip'?" in str(error))
    True
    """


class UnknownNameError(MdlError):
    """A name that nothing registered here has; a plugin that is not loaded may."""


class Terminated(KeyboardInterrupt):
    """SIGTERM asks this process to stop, as Ctrl-C does by SIGINT."""

    signal_number = signal.SIGTERM


class Stopped(Exception):  # noqa: N818 - a wish, not an error
    """A signal stopped a command. (A KeyboardInterrupt would be swallowed by the command-line library.)"""

    def __init__(self, message: str, stop: KeyboardInterrupt) -> None:
        super().__init__(message)
        self.signal_number = int(getattr(stop, "signal_number", signal.SIGINT))


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2


def quoted(value: object) -> str:
    """A value as a message shows it: some 60 characters, cut before it is written out (YAML's anchors may nest)."""
    return _SHORT.repr(value)[:80]


def nearest(word: str, known: Iterable[str]) -> str:
    """`'; did you mean X?'` for the known name closest to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def problem_of(problem: Mapping[str, Any]) -> str:
    """What one of pydantic's `errors()` says: our own words where a validator of ours refused the value."""
    return str(problem["ctx"]["error"] if problem["type"] == "value_error" else problem["msg"])


def one_line(error: OSError) -> str:
    """What the system refused, in one line: no space, no permission, …"""
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
