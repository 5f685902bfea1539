"""Code of a user's own: a file named by --plugin, by MDL_PLUGIN, or by `mdl.load_plugin` in Python.

It is the only way that such code is loaded: no sweep file, record or archive can ask for it. What it registers carries
the SHA-256 of its source, which enters the name of every run that depends on it. Processes that are started from here
are told the file and the hash by the environment, and refuse a file that has changed meanwhile.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mdl.errors import MdlError
from mdl.records import from_plugin

_LOADED: dict[str, str] = {}  # modules made here, each with the SHA-256 of its source
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
        The SHA-256 of its source, hexadecimal.

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
    for module, sha256 in reversed(_LOADED.items()):
        thing = vars(sys.modules[module]).get(name) if module in sys.modules else None
        if callable(thing) and getattr(thing, "__module__", None) == module:
            return thing, sha256
    return None


def plugin_fault(error: Exception) -> str | None:
    """One line for an error that code of a user's own is the likely cause of; None where none is loaded.

    Its file and line where it was raised there, or in what it called.
    """
    files = {str(getattr(sys.modules.get(name), "__file__", "")) for name in _LOADED}
    if not files:
        return None
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    inside = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if inside:
        return f"plugin {inside[-1].filename}, line {inside[-1].lineno}: {said}"
    loaded = ", ".join(sorted(files))
    return f"{said} (what {loaded} registers may take or return something else; MDL_TRACEBACK=1 shows where it came)"


def environment() -> dict[str, str]:
    """What a process that is not started from here has to find in its environment, a queued task's say."""
    return {name: value for name in (_FILES, _HASHES) if (value := os.environ.get(name))}


def _told() -> tuple[list[str], list[str]]:
    """Files and hashes that the environment names; a user's MDL_PLUGIN has no hashes yet."""
    files, hashes = (os.environ.get(name, "") for name in (_FILES, _HASHES))
    return [file for file in files.split(os.pathsep) if file], [h for h in hashes.split(os.pathsep) if h]


def _load(file: Path) -> str:
    try:
        source = file.read_bytes()
    except OSError as error:
        raise MdlError(f"cannot read plugin {file}: {error.strerror or error}") from None
    sha256 = hashlib.sha256(source).hexdigest()
    name = f"mdl_plugin_{file.stem}_{sha256[:8]}"
    if name in sys.modules:
        return sha256
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise MdlError(f"plugin {file} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with from_plugin(sha256):
            exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102 - the user named this file
    except MdlError as error:
        sys.modules.pop(name)
        raise MdlError(f"plugin {file}: {error}") from None
    except Exception as error:
        sys.modules.pop(name)
        raise MdlError(f"plugin {file}, line {_line_of(error, file)}: {type(error).__name__}: {error}") from None
    _LOADED[name] = sha256
    return sha256


def _line_of(error: Exception, file: Path) -> int | str:
    """Where in the file it went wrong."""
    if isinstance(error, SyntaxError):
        return error.lineno or "?"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return (lines[-1] if lines else None) or "?"
