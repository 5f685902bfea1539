"""The folder of a report: what an earlier report left there is replaced, and nothing else is touched.

A report leaves the names and hashes of its files in WRITTEN. Reports of before have no such list: a folder with their
summary.json holds their documents and tables, which are replaced, and nothing in it is deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError

WRITTEN = "report_files.json"
_FIGURES = "figures"
_MOST_BYTES = 1 << 24  # of such a list, or of a summary that is looked at


def require_ours(out: Path, names: Sequence[str]) -> None:
    """AnalysisError where a report of these files (relative to `out`) would overwrite something that is the user's."""
    if out.exists() and not out.is_dir():
        raise AnalysisError(f"{out} is a file; give --out a folder")
    for folder in (out / _FIGURES, out / WRITTEN):
        if folder.is_symlink():
            raise AnalysisError(f"{folder} is a link and is left as it is; remove it, or name another --out")
    if (out / _FIGURES).exists() and not (out / _FIGURES).is_dir():
        raise AnalysisError(f"{out / _FIGURES} is a file, and a report needs a folder there; name another --out")
    known = _hashes(out)
    before = not known and _holds_older_report(out)
    for name in names:
        path = out / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise AnalysisError(f"{path} is not a plain file and is left as it is; remove it, or name another --out")
        if path.exists() and name not in known and not before:
            raise AnalysisError(
                f"{path} was not written by mdl report and is left as it is; rename it, or name another --out"
            )


def move_in(made: Path, out: Path, names: Sequence[str]) -> None:
    """Move the files `names` from `made` to `out`, each whole; those of an earlier report that this one lacks go.

    A file that was changed after that report wrote it stays. AnalysisError as of `require_ours`, with nothing changed.
    """
    require_ours(out, names)
    before = _hashes(out)
    ours = {name: _sha256(made / name) for name in names}
    (out / _FIGURES).mkdir(parents=True, exist_ok=True)
    _remember(out, made, before | ours)  # first: should this process end here, the next one knows what is whose
    for name in names:
        (made / name).replace(out / name)
    for name, sha256 in before.items():
        old = out / name
        if name not in ours and not old.is_symlink() and old.is_file() and _sha256(old) == sha256:
            old.unlink()
    _remember(out, made, ours)


def _remember(out: Path, made: Path, hashes: dict[str, str]) -> None:
    temporary = made / WRITTEN
    temporary.write_text(json.dumps({"files": dict(sorted(hashes.items()))}, indent=1) + "\n", encoding="utf-8")
    temporary.replace(out / WRITTEN)


def _hashes(out: Path) -> dict[str, str]:
    """The files that an earlier report wrote, by name; a list that names anything outside the folder counts as none."""
    files = _object(out / WRITTEN).get("files")
    if not isinstance(files, dict) or not all(_is_inside(name) and isinstance(of, str) for name, of in files.items()):
        return {}
    return files


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    known = len(parts) == 1 or (len(parts) == 2 and parts[0] == _FIGURES)
    return known and all(part not in ("", ".", "..") and "\0" not in part for part in parts)


def _holds_older_report(out: Path) -> bool:
    return {"name", "critical", "provenance"} <= _object(out / "summary.json").keys()


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, read from a plain file; empty for anything else."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
