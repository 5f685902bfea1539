"""Lightning, without the libraries of pictures, texts, sound and figures that its metrics would bring along.

Lightning imports torchmetrics, and that torchvision, transformers, scipy.signal and matplotlib wherever they are
installed: 8 of 13 seconds on a machine that has the first two, another second of a core for the others, in every
process that trains, for metrics that nobody calls here.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

_NOT_NEEDED = ("torchvision", "transformers", "scipy", "matplotlib")


def import_torchmetrics() -> None:
    """Before Lightning does. What is imported already stays as it is."""
    if "torchmetrics" in sys.modules:
        return
    before = set(sys.modules)
    try:
        with _hidden([name for name in _NOT_NEEDED if name not in sys.modules]):
            importlib.import_module("torchmetrics")
    except (ImportError, AttributeError):  # another version finds out in another way: then it has what it wants
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "torchmetrics":
                del sys.modules[name]


@contextmanager
def _hidden(names: list[str]) -> Iterator[None]:
    """Within, these packages are not installed for who asks as torchmetrics does: for a version, or for a module."""
    asked: Any = importlib.import_module("lightning_utilities.core.imports")
    version = asked._version

    def of_others(name: str) -> str:
        if name in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return str(version(name))

    asked._version = of_others
    sys.modules.update(dict.fromkeys(names, cast("ModuleType", None)))  # importing it then fails
    try:
        yield
    finally:
        asked._version = version
        for name in names:
            sys.modules.pop(name, None)
        for answers in (asked.module_available, asked.package_available):
            answers.cache_clear()
