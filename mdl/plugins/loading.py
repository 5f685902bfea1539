"""Code of a user's own: a file named by --plugin, by MDL_PLUGIN, or by `mdl.load_plugin` in Python.

It is the only way that such code is loaded: no sweep file, record or archive can ask for it. What it registers carries
the plugin's SHA-256, which enters the name of every run that depends on it: that of its source, or, where it imports
files of its own folder, one of all of these. Processes that are started from here are told the file and the hash by the
environment, and refuse a plugin that has changed meanwhile.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdl.errors import MdlError
from mdl.plugins.own_files import FolderFinder, imported_files, is_own
from mdl.records import from_plugin


@dataclass
class _Plugin:
    """A file that was loaded, what it imports from its own folder by module name, and the SHA-256 of all that."""

    file: Path
    sha256: str
    imported: dict[str, Path] = field(default_factory=dict)


_LOADED: dict[str, _Plugin] = {}  # by the name of the module made here
_IMPORTED: dict[str, str] = {}  # modules of plugins' folders, each with the SHA-256 of the source that was imported
_FILES = "MDL_PLUGIN"  # paths, as PATH has them
_HASHES = "MDL_PLUGIN_SHA256"  # one a path, set by us


def load_plugin(path: str | Path) -> str:
    """Import a file of your own, so that what it registers can be used here and in processes started from here.

    Parameters
    ----------
    path
        A Python file that calls `register_source`, `register_coder`, `register_cost` …

    Returns
    -------
    str
        The SHA-256 of its source, or of its source and those files of its folder that it imports, hexadecimal.

    Raises
    ------
    MdlError
        In one line naming the file and the line of it, where it is missing or fails.

    Examples
    --------
    >>> _ = Path("mine.py").write_text("import mdl")
    >>> len(mdl.load_plugin("mine.py"))
    64
    """
    file = Path(path).expanduser().resolve()
    sha256 = _load(file)
    files, hashes = _told()
    if str(file) not in files:
        os.environ[_FILES] = os.pathsep.join([*files, str(file)])
        os.environ[_HASHES] = os.pathsep.join([*hashes, sha256])
    return sha256


def load_plugins(paths: Iterable[str | Path] = ()) -> None:
    """Those of the environment, unchanged since a process that started this one loaded them, and then `paths`."""
    files, hashes = _told()
    for file, sha256 in zip(files, [*hashes, *[""] * (len(files) - len(hashes))], strict=True):
        found = load_plugin(file)
        if sha256 and found != sha256:
            raise MdlError(f"plugin {file} was changed while in use ({sha256[:8]}… is {found[:8]}… now); start again")
    for path in paths:
        load_plugin(path)


def function_of_plugin(name: str) -> tuple[Callable[..., Any], str] | None:
    """The function or class of that name which a loaded plugin defines, the last one's, and the plugin's SHA-256."""
    for module, plugin in reversed(_LOADED.items()):
        thing = vars(sys.modules[module]).get(name) if module in sys.modules else None
        if callable(thing) and getattr(thing, "__module__", None) in (module, *plugin.imported):
            return thing, plugin.sha256
    return None


def plugin_fault(error: BaseException) -> str | None:
    """One line for an error that code of a user's own is the likely cause of; None where none is loaded.

    Its file and line where it was raised there, or in what it called; None for an exit that was not.
    """
    if not _LOADED:
        return None
    files = {str(file) for plugin in _LOADED.values() for file in (plugin.file, *plugin.imported.values())}
    if place := _place_of(error, files):
        return f"plugin {place}: {_said(error)}"
    if isinstance(error, SystemExit):
        return None
    loaded = ", ".join(sorted({str(plugin.file) for plugin in _LOADED.values()}))
    return f"{_said(error)} (what {loaded} registers may take or return something else; MDL_TRACEBACK=1 shows where)"


def told(error: BaseException) -> str:
    """One line for whatever ended a job, a user's own code perhaps."""
    return plugin_fault(error) or _said(error)


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it calls sys.exit({error.code!r}); raise an error, or return"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def environment() -> dict[str, str]:
    """What a process that is not started from here has to find in its environment, a queued task's say."""
    return {name: value for name in (_FILES, _HASHES) if (value := os.environ.get(name))}


def _told() -> tuple[list[str], list[str]]:
    """Files and hashes that the environment names; a user's MDL_PLUGIN has no hashes yet."""
    files, hashes = (os.environ.get(name, "") for name in (_FILES, _HASHES))
    return [file for file in files.split(os.pathsep) if file], [h for h in hashes.split(os.pathsep) if h]


def _load(file: Path) -> str:
    """Import a plugin unless this very text of it is imported already; its SHA-256."""
    source = _read(file)
    importlib.invalidate_caches()
    imported = imported_files(file)
    sha256 = _hash(source, file, imported)
    name = f"mdl_plugin_{file.stem}_{sha256[:8]}"
    if name in sys.modules:
        return _LOADED[name].sha256
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise MdlError(f"plugin {file} is not a Python file; its name must end in .py")
    plugin = _LOADED[name] = _Plugin(file, sha256, dict(imported))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        _forget_others(plugin)
        with from_plugin(lambda: plugin.sha256), _importing(plugin):
            exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102 - the user named this file
        _require_unchanged(plugin, _hash(source, file, imported))
        plugin.sha256 = _hash(source, file, plugin.imported)
    except BaseException as error:
        del sys.modules[name], _LOADED[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, MdlError):
            raise MdlError(f"plugin {file}: {error}") from None
        place = _place_of(error, {str(one) for one in (file, *plugin.imported.values())}) or f"{file}, line ?"
        raise MdlError(f"plugin {place}: {_said(error)}") from None
    return plugin.sha256


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise MdlError(f"cannot read plugin {file}: {error.strerror or error}") from None


def _hash(source: bytes, file: Path, imported: dict[str, Path]) -> str:
    """Of a plugin's source alone, or of that and of each file that it imports, with its place in the folder."""
    own = hashlib.sha256(source).hexdigest()
    if not imported:
        return own
    lines = [f"{_sha256(one)} {one.relative_to(file.parent).as_posix()}" for one in set(imported.values())]
    return hashlib.sha256("\n".join([own, *sorted(lines)]).encode()).hexdigest()


def _sha256(file: Path) -> str:
    return hashlib.sha256(_read(file)).hexdigest()


def _require_unchanged(plugin: _Plugin, sha256: str) -> None:
    if sha256 != plugin.sha256:
        raise MdlError("a file that it imports was changed while it was loaded; start again")


def _forget_others(plugin: _Plugin) -> None:
    """What was imported of an older text is imported anew; MdlError where another module has the name."""
    there = {
        name: str(getattr(sys.modules.get(name), "__file__", None) or file) for name, file in plugin.imported.items()
    }
    for name, file in plugin.imported.items():
        if Path(there[name]).resolve() != file:
            raise MdlError(f"it imports {name} of its own folder, and {there[name]} is loaded by that name; rename one")
    if any(_IMPORTED.get(name, _sha256(file)) != _sha256(file) for name, file in plugin.imported.items()):
        for name in plugin.imported:
            sys.modules.pop(name, None)


@contextmanager
def _importing(plugin: _Plugin) -> Iterator[None]:
    """Within, files beside the plugin are found first, and later last; what was imported of them is the plugin's."""
    before, finder, writes_none = set(sys.modules), FolderFinder(plugin.file.parent), sys.dont_write_bytecode
    sys.meta_path.insert(0, finder)
    sys.dont_write_bytecode = True  # which knows an edited source by its size and second alone
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_none
        sys.meta_path.remove(finder)
        sys.meta_path.append(finder)
        for name in set(sys.modules) - before:
            file = Path(getattr(sys.modules[name], "__file__", None) or "")
            if file.is_absolute() and is_own(file.resolve(), plugin.file.parent):  # torch.ops says it is _ops.py
                plugin.imported.setdefault(name, file.resolve())
        _IMPORTED.update({n: _sha256(file) for n, file in plugin.imported.items() if n in sys.modules})


def _place_of(error: BaseException, files: set[str]) -> str | None:
    """File and line of the innermost of these files that an error passed through."""
    if isinstance(error, SyntaxError) and error.filename in files:
        return f"{error.filename}, line {error.lineno or '?'}"
    inside = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{inside[-1].filename}, line {inside[-1].lineno}" if inside else None
