"""Where everything of one sweep lies under its run folder."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from mdl.errors import MdlError
from mdl.storage import remove_own


@dataclass(frozen=True)
class RunPaths:
    """Where everything of one sweep lies. Nothing else in the code joins paths under a run folder."""

    root: Path  # <runs>/<sweep>
    manifest: Path = field(init=False)  # sweep.json: written when a sweep starts; the newest marks the newest sweep
    baselines: Path = field(init=False)
    cohorts: Path = field(init=False)
    claims: Path = field(init=False)
    drivers: Path = field(init=False)  # what those that work on it say of themselves

    def __post_init__(self) -> None:
        object.__setattr__(self, "manifest", self.root / "sweep.json")
        object.__setattr__(self, "baselines", self.root / "baselines")
        object.__setattr__(self, "cohorts", self.root / "cohorts")
        object.__setattr__(self, "claims", self.root / "claims")
        object.__setattr__(self, "drivers", self.root / "drivers")

    @staticmethod
    def newest(runs: Path) -> Path:
        """The folder of the sweep started last under `runs`; MdlError where there is none."""
        manifests = sorted(runs.glob("*/sweep.json"), key=lambda path: path.stat().st_mtime_ns)
        if not manifests:
            raise MdlError(f"no sweep in {runs}/; run 'mdl sweep sweeps/quick.yaml' first, or name what you mean")
        return manifests[-1].parent

    def record(self, run_id: str) -> Path:
        """Where a cell's record lies."""
        return self.root / run_id / "record.json"

    def baseline(self, name: str) -> Path:
        """A classical coder's record."""
        return self.baselines / f"{name}.json"

    def weights(self, run_id: str, file_name: str) -> Path:
        """A snapshot's weights, beside the record."""
        return self.root / run_id / file_name

    def tokenizer(self, run_id: str) -> Path:
        """The merges of a cell that reads tokens, beside the record."""
        return self.root / run_id / "tokenizer.xz"

    def checkpoint(self, cohort_id: str) -> Path:
        """The state of an unfinished cohort."""
        return self.cohorts / f"{cohort_id}.ckpt"

    def split(self, cohort_id: str) -> Path:
        """Which parts an unfinished cohort trains in, where it was cut."""
        return self.cohorts / f"{cohort_id}.split.json"

    def coded(self, run_id: str) -> Path:
        """The folder of what an unfinished measurement of a model of others has coded."""
        return self.cohorts / f"{run_id}.coded"

    def forget_coded(self, run_id: str) -> None:
        """Remove it, and the folders above where nothing else is in them."""
        shutil.rmtree(self.coded(run_id), ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty, or already gone
            self.cohorts.rmdir()
            self.root.rmdir()

    def forget_checkpoints(self, *cohort_ids: str) -> None:
        """Remove them, and the folder with the last one."""
        for cohort_id in cohort_ids:
            remove_own(self.checkpoint(cohort_id))
        with contextlib.suppress(OSError):  # not empty, or already gone
            self.cohorts.rmdir()
