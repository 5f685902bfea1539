"""What a run folder was begun with: the same question goes on with it, however its data are spelled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdl.config import from_flat
from mdl.data import Corpus, CorpusSpec, identity_of, open_corpus
from mdl.errors import MdlError
from mdl.models import ARCHITECTURES
from mdl.records import RunPaths, read_cell, read_manifest, was_searched
from mdl.storage import Progress
from mdl.sweeps import read_cells

NOT_OURS = "mdl size and is left as it is; give --name another word"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What every further cell of a folder has in common with the first."""

    folder: Path
    cells: tuple[dict[str, Any], ...]  # flat settings
    source: str
    heldout_bytes: int | None
    recipe: int


def begun_in(paths: RunPaths, architecture: str) -> Begun | None:
    """None for a folder without cells; MdlError where its cells are not ours, or of another architecture."""
    file = paths.root / "sweep.yaml"
    cells = read_cells(file)
    if not cells:
        return None
    if not was_searched(paths):
        raise MdlError(f"{file} was not written by {NOT_OURS}")
    first = from_flat(cells[0])  # what has its default is not written
    if first.model.architecture != architecture:
        raise MdlError(
            f"{paths.root} was begun with the architecture '{first.model.architecture}'; give --name another word"
        )
    _require_same_plugin(paths.root, architecture)
    return Begun(
        folder=paths.root,
        cells=tuple(cells),
        source=first.corpus.source,
        heldout_bytes=first.corpus.heldout_bytes,
        recipe=first.train.recipe,
    )


def open_as_begun(source: str, paths: RunPaths, begun: Begun, progress: Progress | None) -> Corpus:
    """The corpus as the folder's cells name it, where `source` is another spelling of it or holds the same bytes.

    MdlError for other data.
    """

    def opened(name: str) -> Corpus:
        return open_corpus(CorpusSpec(source=name), progress=progress, most_heldout_bytes=begun.heldout_bytes)

    if source != begun.source and identity_of(source) != _identity(begun):
        before = read_manifest(paths).get("corpora", {}).get(begun.source)
        if opened(source).info.sha256 != before:
            raise MdlError(
                f"{paths.root} was begun with '{begun.source}', not with '{source}'; give --name another word"
            )
    return opened(begun.source)


def _identity(begun: Begun) -> tuple[str, str]:
    try:
        return identity_of(begun.source)
    except MdlError:
        raise MdlError(
            f"{begun.folder} was begun with '{begun.source}', which is not here; call from the same folder as then, or "
            "give --name another word"
        ) from None


def _require_same_plugin(folder: Path, architecture: str) -> None:
    """MdlError where a cell of the folder is of another version of the architecture: one size is of one model."""
    loaded = ARCHITECTURES.plugin_of(architecture)
    for path in sorted(folder.glob("*/record.json")):
        made = read_cell(path).plugins.get("model.architecture")
        if made and made != loaded:
            now = f"{loaded[:12]}… is loaded" if loaded else "none is loaded"
            raise MdlError(
                f"{folder} has cells of the architecture '{architecture}' of plugin {made[:12]}…, and {now}: it is "
                "another one, or was edited; give --name another word"
            )
