"""The real wandb library, a run a member: offline, against a stand-in for its server, and where none answers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mdl.records import read_cell
from mdl.training.loggers import summary
from tests.command import mdl, write_sweep
from tests.mdl.sweeps.test_agents import environment
from tests.wandb_server import Server, serve


def inspect(run: Path, part: str) -> dict[str, object]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", f"--{part}", "--json", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    content: dict[str, object] = json.loads(done.stdout)
    return content


@pytest.mark.slow
def test_wandb_offline_gets_a_run_a_cell_with_config_curves_and_final_figures(tmp_path: Path, text_file: Path) -> None:
    write_sweep(tmp_path, text_file, more="  logger: {value: wandb}\n  evaluate_every: {value: 20}\n")
    done = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path, WANDB_MODE="offline", WANDB_API_KEY="")
    assert done.returncode == 0, done.stdout + done.stderr
    records = {r.run_id: r for r in map(read_cell, (tmp_path / "runs/small").glob("*/record.json"))}
    runs = sorted((tmp_path / "runs/small/wandb").glob("offline-run-*/*.wandb"))
    assert len(runs) == len(records) == 6
    seen = set()
    for run in runs:
        content = inspect(run, "summary")
        config, figures = content["config"], content["summary"]
        assert isinstance(config, dict)
        assert isinstance(figures, dict)
        (record,) = (r for r in records.values() if r.config == {k: v for k, v in config.items() if k in r.config})
        seen.add(record.run_id)
        assert figures["heldout/bits_per_byte"] > 0
        assert config["n_params"] == record.model.n_params  # for parallel coordinates
        assert config["corpus_sha256"] == record.corpus.sha256
        for key, value in summary(record).items():
            assert figures[key] == pytest.approx(value), key
    assert seen == set(records)


def few(tmp_path: Path, text_file: Path) -> None:
    write_sweep(tmp_path, text_file, steps=20, more="  logger: {value: wandb}\n  evaluate_every: {value: 10}\n")
    yaml = tmp_path / "small.yaml"
    yaml.write_text(yaml.read_text().replace("[4x1, 8x1, 16x1]", "[4x1, 8x1]").replace("[10KB, 40KB]", "[10KB]"))


@pytest.mark.slow
def test_weights_are_artifacts_made_by_their_run_from_the_corpus_that_it_used(tmp_path: Path, text_file: Path) -> None:
    """Weights and record go there whole; of the corpus its digest alone, once and for all runs."""
    few(tmp_path, text_file)
    with serve() as server:
        done = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path, **environment(server.url, "online"))
        assert done.returncode == 0, done.stdout + done.stderr
        made, used, uploads = list(server.artifacts), list(server.used), dict(server.uploads)
        named = {bucket["name"]: bucket["displayName"] for bucket in server.buckets if bucket.get("displayName")}
    records = {r.run_id: r for r in map(read_cell, (tmp_path / "runs/small").glob("*/record.json"))}
    assert len(records) == 2
    (corpus,) = {r.corpus.sha256 for r in records.values()}
    assert {(named[run], name) for run, name in used} == {(run_id, f"corpus-{corpus[:16]}") for run_id in records}
    corpora = [artifact for artifact in made if artifact["artifactTypeName"] == "dataset"]
    assert len({artifact["digest"] for artifact in corpora}) == 1
    for i, artifact in enumerate(made, 1):
        if artifact["artifactTypeName"] == "model":
            told = json.loads(artifact["metadata"])
            record = records[told["run_id"]]
            assert named[artifact["runName"]] == record.run_id
            assert (told["n_params"], told["corpus_sha256"]) == (record.model.n_params, corpus)
            for snapshot in record.snapshots:
                sent = hashlib.sha256(uploads[f"artifact-{i}/{snapshot.weights_file}"]).hexdigest()
                assert sent == snapshot.weights_sha256 == told[f"{snapshot.name}_sha256"]
    raw = text_file.read_bytes()
    assert not any(raw[:2000] in content for content in uploads.values())


@pytest.mark.slow
def test_a_server_that_never_answers_costs_one_wait_and_no_cell(tmp_path: Path, text_file: Path) -> None:
    few(tmp_path, text_file)
    nobody = environment("http://127.0.0.1:9", "online") | {"WANDB_INIT_TIMEOUT": "3"}
    done = mdl("sweep", "small.yaml", "--no-baselines", "--workers", "1", cwd=tmp_path, **nobody)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("runs/small/*/record.json"))) == 2
    assert len(list(tmp_path.glob("runs/small/wandb/offline-run-*/*.wandb"))) == 2
    said = (tmp_path / "runs/small/log.txt").read_text()
    assert said.count("note: W&B took no run") == 1
    assert "'wandb sync'" in said


@pytest.mark.long
def test_a_server_that_goes_away_within_a_run_does_not_keep_it(tmp_path: Path, text_file: Path) -> None:
    """W&B's own patience is hours."""
    few(tmp_path, text_file)

    class Fading(Server):
        """Gone once every run has been opened and said something."""

        def answer(self, operation: str, variables: dict[str, object]) -> dict[str, object] | None:
            if operation == "UpsertBucket":
                threading.Timer(1, self.socket.close).start()
            return super().answer(operation, variables)

    server = Fading()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = mdl("sweep", "small.yaml", "--no-baselines", cwd=tmp_path, **environment(server.url, "online"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("runs/small/*/record.json"))) == 2
