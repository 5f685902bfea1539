"""A request to stop, as SIGTERM brings it: training saves its checkpoint first, anything else just ends."""

from __future__ import annotations

import signal


class StopAsked(SystemExit):
    """This process ends as it was asked to; any other SystemExit is of code of a user's own."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


def install() -> None:
    """From here on SIGTERM ends this process; training saves its checkpoint first. For the main thread alone."""
    signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> None:
    raise StopAsked


class StopSignal:
    """Within it a request only waits to be looked at. Where nobody called `install`, SIGTERM stays what it was."""

    def __init__(self) -> None:
        self.requested = False
        self._is_ours = signal.getsignal(signal.SIGTERM) is _end

    def __enter__(self) -> StopSignal:
        self.put_back()
        return self

    def put_back(self) -> None:
        """Where Lightning has put a handler around it that waits for other processes."""
        if self._is_ours:
            signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.requested = True

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            install()
