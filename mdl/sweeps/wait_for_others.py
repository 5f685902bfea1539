"""A driver whose jobs are all with others lets time pass: they may die."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from mdl.sweeps.claims import Claim
from mdl.sweeps.messages import say
from mdl.sweeps.worker_pool import Job

_WAIT_SECONDS = 2.0


class WaitForOthers:
    """Lets a moment pass where all that is left is with others, and says so when that changes."""

    def __init__(self, console: Console) -> None:
        self.console, self.told = console, ""

    def __call__(self, jobs: Sequence[Job], live: Mapping[str, Claim]) -> None:
        """`jobs` are left; `live` claims were on some of their records."""
        held = [live[key] for job in jobs for key in job.open if key in live]
        if not held:
            return
        who = ", ".join(sorted({f"{claim.host} (process {claim.pid})" for claim in held}))
        text = f"waiting for {len(held)} that {who} works on; Ctrl-C leaves them there"
        if text != self.told:
            say(self.console, text)
            self.told = text
        time.sleep(_WAIT_SECONDS)
