"""`sweep.json` is written: which cells a run folder is to hold, and which corpora they read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console

from mdl.data import Corpus, CorpusSpec, is_fetched, open_corpus
from mdl.records import read_manifest, wandb_environment
from mdl.storage import write_atomically
from mdl.sweeps.messages import say
from mdl.sweeps.plan import Plan
from mdl.sweeps.progress import Download

_MANY_COPIED = 0.001  # of the held-out bytes


def write_manifest(plan: Plan, corpora: Iterable[Corpus], command: str, *, whole: bool) -> None:
    """Says what the folder is; the newest one marks the newest sweep.

    `whole`: the plan is the sweep. Otherwise its cells join those that are named there already, as an agent's do.
    """
    hashes = {corpus.info.source: corpus.info.sha256 for corpus in corpora}
    run_ids = [cell.run_id for cell in plan.cells]
    for _ in range(10):  # another agent may write between the reading and the writing: look again
        before = read_manifest(plan.paths)
        joined = dict.fromkeys([*([] if whole else before.get("run_ids", [])), *run_ids])
        content = {
            "name": plan.name,
            "command": command if whole else before.get("command", command),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "n_cells": len(joined),
            "run_ids": list(joined),
            "corpora": before.get("corpora", {}) | hashes,
            "wandb": before.get("wandb", {}) | wandb_environment() | plan.wandb,
        }
        if all(before.get(key) == content[key] for key in content if key != "created"):
            os.utime(plan.paths.manifest)
            return
        write_atomically(plan.paths.manifest, json.dumps(content, indent=1).encode() + b"\n")


def open_corpora(plan: Plan, console: Console, *, fetch: bool = True) -> dict[CorpusSpec, Corpus]:
    """Every corpus of the plan, large enough, and the same bytes as when the sweep began.

    Without `fetch` those that the network would be asked for are named instead of opened.
    """
    corpora: dict[CorpusSpec, Corpus] = {}
    left = set() if fetch else {c.config.corpus.source for c in plan.cells if is_fetched(c.config.corpus.source)}
    for cell in plan.cells:
        spec = cell.config.corpus.spec()
        if spec.source in left:
            continue
        if spec not in corpora:
            corpora[spec] = open_corpus(spec, progress=Download(console))
            corpora[spec].require_as_in(plan.paths)
        corpora[spec].require(cell.config.subset_bytes)
    lines = [_told(corpus) for corpus in corpora.values()] + [f"corpus {name}: fetched by the run" for name in left]
    for line in dict.fromkeys(lines):  # its orders are one corpus
        say(console, line)
    for line in dict.fromkeys(filter(None, map(_copies_told, corpora.values()))):
        say(console, line, "yellow")
    return corpora


def _told(corpus: Corpus) -> str:
    info = corpus.info
    return (
        f"corpus {info.source}: {info.size_bytes:,} bytes, sha256 {info.sha256[:12]}…, "
        f"{info.train_bytes:,} to train on, {info.heldout_bytes:,} held out"
        + (f", {info.deduplicated_bytes:,} left out as copies" if info.deduplicated_bytes is not None else "")
    )


def _copies_told(corpus: Corpus) -> str:
    """What is to be known before a held-out rate is believed; nothing where there is no more than a trace of it."""
    info = corpus.info
    share = (info.heldout_copied_bytes or 0) / info.heldout_bytes
    if share < _MANY_COPIED:
        return ""
    return (
        f"{100 * share:.2g} % of the held-out bytes of corpus '{info.source}' also occur in its training part "
        "(copies), so rates on held-out bytes are too low"
        + ("; corpus.deduplicate: true leaves later copies out" if info.deduplicated_bytes is None else "")
    )
