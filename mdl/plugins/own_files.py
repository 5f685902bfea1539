"""The files of a plugin: itself, and what it imports from its own folder, found in the text of its imports.

Nothing is run to find them, so that the hash is known before what it names is registered. What stands within functions
counts too. Python's own modules, mdl and what is installed are not the plugin's, wherever the plugin lies.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

_OURS = {"mdl", "analysis"}
_INSTALLED = {"site-packages", "dist-packages"}
_PACKAGE = Path(__file__).resolve().parents[1]


class FolderFinder(MetaPathFinder):
    """Finds modules that lie in one folder, as Python does for a script that lies there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Of a module of the folder; None for any other, and where Python or mdl has one of that name."""
        if path is not None or "." in fullname or fullname in _OURS or fullname in sys.stdlib_module_names:
            return None
        found = PathFinder.find_spec(fullname, [str(self.folder)])
        if found and found.origin is None and PathFinder.find_spec(fullname):
            return None  # a mere folder of that name, such as wandb/
        return found


def imported_files(plugin: Path) -> dict[str, Path]:
    """What a plugin imports from its own folder and what that imports, by module name in alphabetical order."""
    finder, found, to_read = FolderFinder(plugin.parent), dict[str, Path](), [("", plugin)]
    while to_read:
        name, file = to_read.pop()
        for wanted in _imports(file, name):
            for spec in _specs(wanted, finder):
                origin = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
                if origin and origin != plugin and spec.name not in found and is_own(origin, plugin.parent):
                    found[spec.name] = origin
                    to_read.append((spec.name, origin))
    return dict(sorted(found.items()))


def is_own(file: Path, folder: Path) -> bool:
    """Does a file lie in the folder or below, and belong neither to mdl nor to what is installed?"""
    if not file.is_relative_to(folder) or file.is_relative_to(_PACKAGE):
        return False
    return _INSTALLED.isdisjoint(file.relative_to(folder).parts)


def _specs(name: str, finder: FolderFinder) -> Iterator[ModuleSpec]:
    """Of a dotted name's packages and of itself, the outermost first, as far as there are such."""
    path = None
    for end in range(1, name.count(".") + 2):
        part = ".".join(name.split(".")[:end])
        spec = (finder.find_spec(part) if path is None else None) or _found(part, path)
        if spec is None:
            return
        yield spec
        if spec.submodule_search_locations is None:
            return
        path = list(spec.submodule_search_locations)


def _found(name: str, path: list[str] | None) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, path)
    except (ImportError, ValueError, KeyError):  # a module that was made by hand
        return None


def _imports(file: Path, module: str) -> Iterator[str]:
    """Dotted names that a Python file imports; the last part may be something within a module."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):  # said when it is imported
        return
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            within = _parent(package, node.level)
            base = ".".join(part for part in (within, node.module) if part)
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _parent(package: str, level: int) -> str:
    """The package that `level` dots name, seen from within a package; nothing without dots."""
    if not level:
        return ""
    parts = package.split(".") if package else []
    return ".".join(parts[: len(parts) - level + 1])
