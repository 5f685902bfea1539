"""A request to stop, as SIGTERM brings it: training saves its checkpoint first, anything else just ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_installed = False
_training = False
_requested = False


def install() -> None:
    """Handle SIGTERM in this process. Only the main thread may call this."""
    global _installed
    _installed = True
    signal.signal(signal.SIGTERM, _on_signal)


def reinstall() -> None:
    """Put it back where Lightning has put one around it that waits for other processes."""
    if _installed:
        install()


def _on_signal(*_: object) -> None:
    global _requested
    _requested = True
    if not _training:
        raise SystemExit(143)


def requested() -> bool:
    """Whether someone has asked."""
    return _requested


@contextmanager
def training() -> Iterator[None]:
    """Within, a request waits until the end of a step."""
    global _training
    _training = True
    try:
        yield
    finally:
        _training = False
