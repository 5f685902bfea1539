"""Two processes tell each other over pipes that they live. One that is silent is stopped, cut off or stuck."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from dataclasses import dataclass

BEAT_SECONDS = 1.0
SILENT_BEATS = 20  # so many missing in a row, and the other does not live
STARTING_BEATS = 180  # so many until the first of one that has yet to import what it needs

_BEAT = b"\n"


@dataclass(frozen=True)
class End:
    """How the other's signs of life ended: `closed`, or silence; and its last words, one line or none."""

    closed: bool
    last_words: str


def send_beats(pipe: int) -> None:
    """Beat from a thread of its own until this process, or the pipe's other end, is gone."""
    threading.Thread(target=_send, args=(pipe,), daemon=True).start()


def _send(pipe: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            os.write(pipe, _BEAT)
            time.sleep(BEAT_SECONDS)


def say(pipe: int, line: str) -> None:
    """Send one line, the last words of this process."""
    os.write(pipe, line.encode(errors="replace") + _BEAT)


def listen(pipe: int, first_beats: int = SILENT_BEATS) -> End:
    """Return when the other end is closed, or silent for too long: `first_beats` before its first.

    Beats are counted, not seconds: a process that was stopped together with the other finds nothing missing after.
    """
    received, missing, patience = b"", 0, first_beats
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while missing < patience:
            if not selector.select(BEAT_SECONDS):
                missing += 1
            elif got := os.read(pipe, 2**16):
                received, missing, patience = received + got.strip(), 0, SILENT_BEATS
            else:
                return End(closed=True, last_words=_one_line(received))
    return End(closed=False, last_words=_one_line(received))


def _one_line(received: bytes) -> str:
    return " ".join(received.decode(errors="replace").split())
