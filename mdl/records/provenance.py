"""Where, when and by what a record was made: all that may differ between two runs of one cell and not change it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from mdl.records.schema import Provenance
from mdl.storage import DISTRIBUTION

_PACKAGES = ("torch", "pytorch-lightning", "numpy", "constriction")


def provenance_now(
    *,
    device: str,
    n_threads: int,
    precision: str,
    command: str,
    training_seconds: float,
    measuring_seconds: float,
    cohort_size: int,
    shared_seconds: float = 0.0,
) -> Provenance:
    """This process, now; `device`, `n_threads` and `precision` as `mdl.device.Machine.told` has them."""
    return Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        git_commit=git_commit(),
        hostname=socket.gethostname(),
        device=device or _processor(),
        n_threads=n_threads,
        precision=precision,
        versions={
            "python": platform.python_version(),
            "mdl": _version(DISTRIBUTION),
            **{package: _version(package) for package in _PACKAGES},
        },
        training_seconds=round(training_seconds, 3),
        measuring_seconds=round(measuring_seconds, 3),
        cohort_size=cohort_size,
        shared_seconds=round(shared_seconds, 3),
    )


def _processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return _by_sysctl() or platform.processor() or platform.machine()


def _by_sysctl() -> str:
    """As a Mac tells it, such as "Apple M3 Pro"; empty elsewhere."""
    sysctl = shutil.which("sysctl")
    if sysctl is None:
        return ""
    command = [sysctl, "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def git_commit() -> str | None:
    """The commit of the source this runs from, `+` where it was changed since; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent.parent
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    try:
        commit = subprocess.check_output([git, "rev-parse", "HEAD"], cwd=root, text=True, stderr=subprocess.DEVNULL)
        changed = subprocess.check_output([git, "status", "--porcelain", "-uno"], cwd=root, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.strip() + ("+" if changed.strip() else "")
