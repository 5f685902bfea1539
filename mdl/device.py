"""Where and how a cohort runs: recorded, since it can move the last bits of a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mdl.errors import MdlError


@dataclass(frozen=True)
class Machine:
    """Where and how a cohort runs."""

    accelerator: str  # "cpu" or "cuda"
    precision: str  # "float32" or "bf16"
    compiled: bool

    def told(self) -> dict[str, Any]:
        """What a record's provenance says of it: device (empty: the processor), n_threads, precision."""
        return {
            "device": torch.cuda.get_device_name() if self.accelerator == "cuda" else "",
            "n_threads": torch.get_num_threads(),
            "precision": self.precision + (", compiled" if self.compiled else ""),
        }

    def wait(self) -> None:
        """Until it has done what it was given: a GPU is given steps faster than it takes them."""
        if self.accelerator == "cuda":
            torch.cuda.synchronize()


def resolve_machine(precision: str, compile_choice: str | bool) -> Machine:
    """What `auto` means here: bf16 autocast and torch.compile on a GPU, plain float32 on a CPU."""
    on_gpu = torch.cuda.is_available()
    chosen = ("bf16" if on_gpu else "float32") if precision == "auto" else precision
    return Machine("cuda" if on_gpu else "cpu", chosen, on_gpu if compile_choice == "auto" else bool(compile_choice))


def unused_accelerator() -> str | None:
    """Why an accelerator that is there is not used, in one line; None where there is none such."""
    if torch.cuda.is_available() or not torch.backends.mps.is_available():
        return None
    return "this Mac's GPU (MPS) is not used: it has no float64, which archives and measuring need; the processor is"


def choose_device(name: str = "auto") -> torch.device:
    """'auto': a CUDA device where there is one, else the CPU; MdlError for a device that cannot compute in float64."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        reason = "there is none of this name" if reason.startswith("Expected one of") else reason
        raise MdlError(f"device '{name}' cannot be used ({reason}); --device cpu always can") from None
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # kernels of our own are launched on the current one
    return device
