"""How training tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[], None]  # raises where this process may write no more
