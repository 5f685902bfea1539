"""The state of an unfinished cohort on disk."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO

from mdl.errors import MdlError
from mdl.storage import remove_own, set_aside, write_atomically
from mdl.training.lightning_warnings import quiet_lightning
from mdl.training.optimizer import require_state

if TYPE_CHECKING:
    from mdl.training.cohort_module import CohortModule


def set_damaged_aside(path: Path, module: CohortModule) -> str | None:
    """Rename a checkpoint that does not read or is not this module's; what to tell, None where nothing was wrong.

    `module` is untrained, on the host, and stays as it is.
    """
    if not path.exists():
        return None
    try:
        _require_fit(CheckpointFile().load_checkpoint(path, map_location="cpu"), module)
    except MdlError as error:
        why = str(error)
    except Exception as error:  # whatever a library finds in it that it did not write
        why = f"checkpoint {path} does not fit this cohort ({type(error).__name__})"
    else:
        return None
    return f"{why}; training again from the start, and it is kept as {set_aside(path).name}"


def _require_fit(checkpoint: dict[str, Any], module: CohortModule) -> None:
    """Any exception for what Lightning would fail to go on from, or would go on from to other weights."""
    expected, stored = module.state_dict(), checkpoint["state_dict"]
    found_shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in stored.items()}
    if found_shapes != {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in expected.items()}:
        raise ValueError("other weights")
    if not 0 <= int(checkpoint["global_step"]) <= module.recipe.steps:
        raise ValueError("another step")
    own, other = module.recipe, replace(module.recipe, steps=int(checkpoint.get("steps", module.recipe.steps)))
    if own.steps != other.steps and int(checkpoint["global_step"]) > min(own.branch_step, other.branch_step):
        raise ValueError("another run's decay")
    if any(len(bits) != len(module.members) or int(step) != step for step, bits in checkpoint["curve"]):
        raise ValueError("another curve")
    optimizer = module.configure_optimizers()["optimizer"]
    optimizer.load_state_dict(*checkpoint["optimizer_states"])
    if checkpoint["global_step"]:
        require_state(optimizer, module.model, module.recipe)
    if [dict(schedule)["last_epoch"] for schedule in checkpoint["lr_schedulers"]] != [checkpoint["global_step"]]:
        raise ValueError("another schedule")
    with quiet_lightning(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on how to start it: it never runs
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit_loop.load_state_dict(checkpoint["loops"]["fit_loop"])


def kept_members(path: Path) -> list[str] | None:
    """Whom `keep_members` left in a state; None: all, or a state that does not read."""
    try:
        kept = CheckpointFile().load_checkpoint(path, map_location="cpu")["kept"]
    except (MdlError, OSError, LookupError, TypeError):  # an older one, or whatever hashes well and is no state
        return None
    return kept if isinstance(kept, list) else None


def checkpoint_step(path: Path) -> int | None:
    """The step that it was saved at; None for one that does not read."""
    try:
        return int(CheckpointFile().load_checkpoint(path, map_location="cpu")["global_step"])
    except (MdlError, OSError, LookupError, TypeError, ValueError):
        return None


def keep_members(path: Path, rows: Sequence[int], names: Sequence[str]) -> None:
    """Leave of a state of the members `names` those of `rows` alone, as if the others had never been.

    A state that does not read, or is of another number of members, stays as it is.
    """
    n_members = len(names)
    try:
        state = CheckpointFile().load_checkpoint(path, map_location="cpu")
        if len(state["state_dict"]["best_bits"]) != n_members:
            return
        of = partial(_rows, rows=rows, n_members=n_members)
        weights = {name: of(value) for name, value in state["state_dict"].items()}
        curve = [(step, [bits[m] for m in rows]) for step, bits in state["curve"]]
        trained = {step: [bits[m] for m in rows] for step, bits in state.get("trained_bits", {}).items()}
        optimizers = [
            one | {"state": {i: {name: of(value) for name, value in own.items()} for i, own in one["state"].items()}}
            for one in state["optimizer_states"]
        ]
    except (MdlError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return
    state |= {"state_dict": weights, "curve": curve, "trained_bits": trained, "optimizer_states": optimizers}
    state["kept"] = [names[m] for m in rows]
    CheckpointFile().save_checkpoint(state, path)


def _rows(value: Any, rows: Sequence[int], n_members: int) -> Any:
    """Of a tensor with the members' axis in front, or an online run's (steps, M), some members; all else as it is."""
    if not isinstance(value, torch.Tensor) or not value.ndim:
        return value
    if len(value) == n_members:
        return value[list(rows)].clone()
    return value[:, list(rows)].clone() if value.ndim == 2 and value.shape[1] == n_members else value


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
        remove_own(Path(path))
