"""A cell as a W&B run. W&B never ends or delays a cell: what it does not take is said once, and training goes on."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mdl.records import CellRecord, RunPaths, wandb_place

INIT_SECONDS = 15.0  # for an answer to the first request; W&B's own is 90
# W&B would otherwise try for hours, and a run's end waits for all of it.
_PATIENCE = {
    f"x_{what}_{limit}": value
    for what in ("file_stream", "graphql", "file_transfer")
    for limit, value in (("retry_max", 4), ("retry_wait_max_seconds", 5))
}


class CarefulRun:
    """A W&B run of which nothing ends or delays a cell: what W&B does not take is said once."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self._has_refused = False

    @contextmanager
    def harmless(self, what: str) -> Iterator[None]:
        """Whatever W&B raises within is one line, and no more of it for this run."""
        try:
            yield
        except Exception as error:
            if not self._has_refused:
                _say(f"W&B did not take the {what}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            self._has_refused = True


class WandbServer:
    """W&B's server as one process knows it: once it gave no answer, later runs are kept on disk without a wait."""

    def __init__(self) -> None:
        self._answers = True

    def open_run(self, name: str, group: str, config: dict[str, Any], paths: RunPaths, *, is_new: bool) -> CarefulRun:
        """A run named `name` in the sweep's project; one that is kept on disk where the server gives no answer."""
        import wandb
        from wandb.errors import Error

        paths.root.mkdir(parents=True, exist_ok=True)
        place = wandb_place(paths) | {"name": name, "group": group, "config": config, "dir": str(paths.root)}
        place |= {"reinit": "create_new" if is_new else "return_previous"}
        if self._answers:
            try:
                return CarefulRun(wandb.init(**place, settings=wandb_settings()))
            except (Error, OSError) as error:
                why = " ".join(str(error).split())[:200]
                _say(f"W&B took no run ({why}); this process keeps its runs in {paths.root / 'wandb'} for 'wandb sync'")
                self._answers = False
        return CarefulRun(wandb.init(**place, mode="offline", settings=wandb_settings()))


def wandb_settings() -> Any:
    """With an end to every wait; what the user's environment says of the first one counts."""
    import wandb

    known = {key: value for key, value in _PATIENCE.items() if key in wandb.Settings.model_fields}
    asked = {} if "WANDB_INIT_TIMEOUT" in os.environ else {"init_timeout": INIT_SECONDS}
    return wandb.Settings(**known, **asked)


def _say(message: str) -> None:
    print(f"note: {message}", file=sys.stderr, flush=True)


def log_artifacts(run: Any, record: CellRecord, paths: RunPaths) -> None:
    """The corpus as what the run used, by its digest alone, and the weights with their record as what it made."""
    use_corpus(run, record.corpus.source, record.corpus.size_bytes, record.corpus.sha256)
    if record.snapshots:
        run.log_artifact(_weights(record, paths))


def use_corpus(run: Any, source: str, size_bytes: int, sha256: str) -> None:
    """What the raw bytes were, none of which leave the machine; the same corpus is the same version everywhere."""
    import wandb

    told = {"size_bytes": size_bytes, "sha256": sha256}
    artifact = wandb.Artifact(f"corpus-{sha256[:16]}", type="dataset", metadata=told | {"source": source})
    with artifact.new_file("corpus.json") as file:
        file.write(json.dumps(told, indent=1) + "\n")
    # As `run.use_artifact`, which refuses to work offline, and otherwise waits for the server.
    run._log_artifact(artifact, is_user_created=True, use_after_commit=True)


def _weights(record: CellRecord, paths: RunPaths) -> Any:
    """Every snapshot's file that is still there, and the record."""
    import wandb

    told = {"run_id": record.run_id, "size": record.model.size, "n_params": record.model.n_params}
    told |= {"subset_bytes": record.subset_bytes, "corpus_sha256": record.corpus.sha256}
    told |= {f"{snapshot.name}_sha256": snapshot.weights_sha256 for snapshot in record.snapshots}
    artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", f"weights-{record.run_id}"), type="model", metadata=told)
    files = [paths.weights(record.run_id, snapshot.weights_file) for snapshot in record.snapshots]
    for file in dict.fromkeys([*files, paths.tokenizer(record.run_id), paths.record(record.run_id)]):
        if file.exists():
            artifact.add_file(str(file), name=file.name)
    return artifact
