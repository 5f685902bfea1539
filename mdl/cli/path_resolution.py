"""What a path means, the same in every command: a run folder, the sweep file that made it, one of its runs, a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdl.errors import MdlError, nearest
from mdl.records import RunPaths
from mdl.units import format_bytes

_SWEEP_FILES = {".yaml", ".yml"}
_PRETRAINED = "hf:"
AUTO = "auto"  # the newest sweep's best run


def is_sweep_file(path: Path) -> bool:
    """Told by its suffix: a table of code lengths is no YAML."""
    return path.suffix.lower() in _SWEEP_FILES and not path.is_dir()


def sweep_file(given: Path) -> Path:
    """The file itself; of a bare word such as quick, where no file has that name, the shipped sweep.

    MdlError naming the nearest of them where there is none.
    """
    if given.suffix or given.parent != Path() or given.exists():
        return given
    from mdl.sweeps import SHIPPED

    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    if given.name not in shipped:
        raise MdlError(
            f"no sweep file '{given}', and mdl has none of that name: give the path of a YAML file, or a name "
            f"such as quick or grid{nearest(given.name, shipped)}"
        )
    return shipped[given.name]


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


def is_run_folder(path: Path) -> bool:
    """Whether it holds the runs of a sweep: that of one run has its record."""
    if not path.is_dir() or (path / "record.json").exists():
        return False
    return RunPaths(path).manifest.exists() or any(path.glob("*/record.json"))


def is_pretrained(path: Path) -> bool:
    """Whether it is a folder as transformers' save_pretrained writes it."""
    return (path / "config.json").is_file() and not (path / "record.json").exists()


@dataclass(frozen=True)
class Model:
    """What `--model` and `--coder` stand for: a run's folder, a weights file, a coder's name, or hf:…"""

    word: str
    reason: str = ""  # where one of several runs was chosen, in words why


def find_model(word: str, runs: Path, n_bytes: int | None = None) -> Model:
    """A model by what lies at `word`; of a sweep's runs the best for a file of `n_bytes` (None: its largest dataset).

    MdlError for a sweep without a finished run; what is none of these is passed on as it is.
    """
    path = Path(word)
    if word == AUTO and not path.exists():
        return best_run(RunPaths.newest(runs), n_bytes)
    if is_sweep_file(path) or is_run_folder(path):
        return best_run(run_folder(path, runs), n_bytes)
    return Model(f"{_PRETRAINED}{word}" if is_pretrained(path) else word)


def best_run(place: Path, n_bytes: int | None) -> Model:
    """The run whose model codes a file of that size in the fewest bytes, its parameters counted."""
    from analysis.codes import best_model
    from analysis.records import load

    table = load(place)
    size = max(table.cells["subset_bytes"], default=0) if n_bytes is None else n_bytes
    best = best_model(table, size)
    if best is None:
        raise MdlError(f"{place} has no finished run yet; finish the sweep, or name a model with --model")
    reason = (
        f"{best.run_id} of {place.name}, its best for {format_bytes(size)} "
        f"({format_bytes(best.expected_bytes)} expected, with {best.n_params:,} parameters at 2 bytes)"
    )
    return Model(str(RunPaths(place).record(best.run_id).parent), reason)
