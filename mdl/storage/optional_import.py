"""Libraries that only some users need, imported when they are."""

from __future__ import annotations

import importlib.metadata
from types import ModuleType

from mdl.errors import MdlError

DISTRIBUTION = "mdl-critical-size"  # what pip calls it; it is imported, and its command is called, mdl


def import_optional(name: str, wanted_for: str, extra: str = "media") -> ModuleType:
    """An imported library of the extra; MdlError saying how to have it."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):  # soundfile raises OSError without its shared library
        how = f"pip install '{DISTRIBUTION}[{extra}]'"
        raise MdlError(f"{wanted_for} needs the library {name}; {how}") from None


def package_version(package: str) -> str:
    """Of an installed package: what it decodes may change with it."""
    return f"{package} {importlib.metadata.version(package)}"
