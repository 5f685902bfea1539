"""Which run folder is meant: by its path, by the sweep file that made it, or the newest."""

from __future__ import annotations

from pathlib import Path

from mdl.errors import MdlError
from mdl.records import RunPaths

_SWEEP_FILES = {".yaml", ".yml"}


def is_sweep_file(path: Path) -> bool:
    """Told by its suffix: a table of code lengths is no YAML."""
    return path.suffix.lower() in _SWEEP_FILES and not path.is_dir()


def run_folder(given: Path | None, runs: Path) -> Path:
    """The folder itself, or a table as it is; a sweep file's folder under `runs`; None: the newest there.

    MdlError where a sweep file has no run folder yet.
    """
    if given is None:
        return RunPaths.newest(runs)
    if not is_sweep_file(given):
        return given
    from mdl.sweeps import load_sweep

    folder = runs / load_sweep(given).name
    if not folder.is_dir():
        raise MdlError(f"{given} has no run folder {folder} yet; run 'mdl sweep {given}' first, or give --runs")
    return folder
