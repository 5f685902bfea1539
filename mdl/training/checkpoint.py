"""The state of an unfinished cohort on disk."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO

from mdl.errors import MdlError
from mdl.storage import write_atomically


def remove_damaged(path: Path) -> str | None:
    """Remove a checkpoint that does not read; what was wrong with it, or None where nothing was."""
    if not path.exists():
        return None
    try:
        CheckpointFile().load_checkpoint(path, map_location="cpu")
    except MdlError as error:
        path.unlink(missing_ok=True)
        return str(error)
    return None


class CheckpointFile(CheckpointIO):
    """Checkpoints written atomically behind their own SHA-256, and read with `weights_only`: no code hides in them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """All or nothing; a full disk leaves the older checkpoint."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getvalue()
        write_atomically(Path(path), hashlib.sha256(content).digest() + content)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """On the CPU if not said otherwise: the devices that it was saved from may be others', or not there.

        MdlError for a file whose hash does not fit.
        """
        stored = Path(path).read_bytes()
        if hashlib.sha256(stored[32:]).digest() != stored[:32]:
            raise MdlError(f"checkpoint {path} is damaged")
        try:
            loaded: dict[str, Any] = torch.load(
                io.BytesIO(stored[32:]), map_location=map_location or "cpu", weights_only=True
            )
        except Exception as error:  # a file that hashes well and still is not ours
            raise MdlError(f"checkpoint {path} cannot be read ({type(error).__name__})") from None
        return loaded

    def remove_checkpoint(self, path: Any) -> None:
        """Forget a finished cohort's state."""
        Path(path).unlink(missing_ok=True)
