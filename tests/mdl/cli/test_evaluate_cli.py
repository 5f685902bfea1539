"""`mdl evaluate` writes records of pretrained models, once, that `mdl report` reads; so does the minimal CSV."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import normalizers
from typer.testing import CliRunner

from analysis.costs import parse_cost
from analysis.records import load
from analysis.study import study
from mdl import compressors
from mdl.cli.app import app
from mdl.compressors import choose_model
from mdl.data import open_whole
from mdl.errors import MdlError
from mdl.evaluation import EvaluationSettings, evaluate_pretrained, pretrained
from mdl.pretrained import Pretrained, find_checkpoint, token_code
from mdl.records import RunPaths, read_cell
from tests import ROOT, tiny_models
from tests.command import mdl

WORDS = np.array(["alpha", "beta", "gamma", "delta"])
TEXT = " ".join(np.random.default_rng(0).choice(WORDS, 5000)).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, and a ladder of three models, the larger ones trained more: each knows the text better than the last."""
    root = tmp_path_factory.mktemp("evaluate")
    (root / "corpus.txt").write_bytes(TEXT)
    backend = tiny_models.byte_level(258)
    ids = torch.tensor([backend.encode(TEXT.decode()).ids[:4000]])
    for width, steps in ((2, 20), (8, 150), (24, 160)):
        model = tiny_models.gpt2(258, width)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for step in range(steps):
            batch = ids[:, (step % 25) * 128 :][:, :128].reshape(4, 32)
            optimizer.zero_grad()
            model(batch, labels=batch).loss.backward()
            optimizer.step()
        tiny_models.save(root / f"small-{width}", model.eval(), backend, "<|endoftext|>")
    return root


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit status and standard output of the command in this process; MdlError is what `main` prints."""
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if isinstance(result.exception, MdlError):
        return 2, str(result.exception)
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


@pytest.mark.slow
def test_a_family_gives_rates_and_a_critical_size_and_is_measured_once(folder: Path, tmp_path: Path) -> None:
    models = [f"hf:{folder / name}" for name in ("small-2", "small-8", "small-24")]
    arguments = ["evaluate", *models, folder / "corpus.txt", "--out", tmp_path / "run", "--sizes", "1KB,3KB,20KB"]
    status, text = run(*arguments)
    assert status == 0, text
    table = load(tmp_path / "run")
    assert len(table.cells) == 9
    assert table.cells["own_bits"].notna().all()
    assert set(table.cells["subset_bytes"]) == {1000, 3000, 20_000}
    assert set(table.baselines["order"]) == {"contiguous"}
    assert table.cells["group"].nunique() == 1
    assert set(table.baselines["corpus"]) == set(table.cells["corpus"])

    free = study(table, parse_cost("none")).rates
    rates = free[free["subset_bytes"] == 20_000].sort_values("n_params")["raw_rate"].to_numpy()
    assert rates[0] > rates[1] > rates[2]
    found = study(table, parse_cost(0.15)).critical.set_index("subset_bytes")
    assert found.loc[20_000, "status"] == "bracketed"
    sizes = sorted(table.cells["n_params"].unique())
    assert sizes[0] < found.loc[20_000, "n_params"] < sizes[2]
    assert found.loc[20_000, "classical_rate"] > 0

    files = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.json")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "_load", lambda *_: pytest.fail("a model was loaded for nothing"))
        again = run(*arguments)
    assert again == (0, text)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.json")} == files


def test_the_record_says_what_was_coded_and_how(folder: Path, tmp_path: Path) -> None:
    source = str(folder / "corpus.txt")
    options = ["--context", "16", "--stride", "8", "--no-baselines", "--out", tmp_path / "run"]
    status, text = run("evaluate", f"hf:{folder / 'small-8'}", source, *options)
    assert status == 0, text
    (path,) = (tmp_path / "run").glob("*/record.json")
    record = read_cell(path)
    assert record.subset_bytes == len(TEXT)
    assert record.corpus.size_bytes == record.corpus.train_bytes == record.corpus.block_bytes == len(TEXT)
    assert record.corpus.heldout_bytes == 0
    assert record.tokens is not None
    assert (record.tokens.context_tokens, record.tokens.stride_tokens) == (16, 8)
    assert record.tokens.weights_dtype == "float32"
    assert record.model.file_bytes == (folder / "small-8/model.safetensors").stat().st_size
    assert record.tokens.starts_with_bos
    assert record.tokens.escaped_bytes == 0
    assert record.tokens.n_vocabulary == 258
    assert record.model.n_params == sum(record.model.n_params_by_group.values())
    assert record.config["order"] == "contiguous"
    with pytest.raises(MdlError, match="only evaluated a pretrained model"):
        choose_model(str(path.parent))
    bits = sum(segment.code_bits for segment in record.snapshots[0].segments)
    assert f"{bits / len(TEXT):.4f}" in text
    assert "transformers" in record.provenance.versions


def test_the_segments_add_up_to_the_coders_own_length(folder: Path, tmp_path: Path) -> None:
    """Records and the registry's coder measure the same code, here with bytes that take the escape."""
    data = bytes(np.random.default_rng(1).permutation(np.frombuffer(TEXT[:4000] + bytes(range(256)), np.uint8)))
    (tmp_path / "mixed").write_bytes(data)
    name = f"hf:{folder / 'small-8'}"
    status, text = run("evaluate", name, tmp_path / "mixed", "--no-baselines", "--out", tmp_path / "run")
    assert status == 0, text
    (path,) = (tmp_path / "run").glob("*/record.json")
    record = read_cell(path)
    assert record.tokens is not None
    assert record.tokens.escaped_bytes >= 128
    bits = sum(segment.code_bits for segment in record.snapshots[0].segments)
    assert bits == pytest.approx(compressors.get(name).code_bits(data), rel=1e-9)


def test_a_size_has_the_same_code_alone_or_beside_larger_ones(folder: Path, tmp_path: Path) -> None:
    for sizes, out in (("1KB", "a"), ("1KB,2500,10KB", "b"), ("2500", "a")):
        model, source = f"hf:{folder / 'small-2'}", folder / "corpus.txt"
        status, text = run("evaluate", model, source, "--no-baselines", "--sizes", sizes, "--out", tmp_path / out)
        assert status == 0, text
    alone, beside = ({p.parent.name: read_cell(p) for p in (tmp_path / o).glob("*/record.json")} for o in "ab")
    assert len(alone) == 2
    assert set(alone) < set(beside)
    for run_id, record in alone.items():
        assert record.tokens == beside[run_id].tokens
        for own, other in zip(record.snapshots[0].segments, beside[run_id].snapshots[0].segments, strict=True):
            assert own.code_bits == pytest.approx(other.code_bits, rel=1e-6)


def test_what_a_tokenizer_loses_is_told_with_the_first_of_it(folder: Path, tmp_path: Path) -> None:
    """Over one byte of a hundred: a record made before is told of too. Under it, nothing is said."""
    (tmp_path / "caps.txt").write_bytes(b"alpha Beta Gamma delta\n" * 40)
    backend = tiny_models.byte_level(258, normalizer=normalizers.Lowercase())
    model = tiny_models.save(tmp_path / "low", tiny_models.gpt2(258, 8), backend)
    for _ in range(2):
        status, out = run("evaluate", f"hf:{model}", tmp_path / "caps.txt", "--out", tmp_path / "r", "--no-baselines")
        assert status == 0, out
        (line,) = [line for line in out.splitlines() if "warning" in line]
        assert "% of the bytes are coded as they are" in line
        assert "its tokenizer gives 'B' back as 'b'" in line or "gives ' B' back as ' b'" in line, line
    status, out = run("evaluate", f"hf:{folder / 'small-2'}", folder / "corpus.txt", "--out", tmp_path / "r")
    assert "warning" not in out


def test_the_whole_corpus_is_read_in_its_own_order(folder: Path) -> None:
    corpus = open_whole(f"file:{folder / 'corpus.txt'}")
    assert corpus.train.read(0, len(TEXT)).tobytes() == TEXT
    assert len(corpus.heldout) == 0


def test_a_corpus_that_changes_meanwhile_leaves_no_record(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "changes.txt").write_bytes(TEXT)
    corpus, paths = open_whole(f"file:{tmp_path / 'changes.txt'}"), RunPaths(tmp_path / "out")
    (tmp_path / "changes.txt").write_bytes(TEXT[::-1])
    checkpoint = find_checkpoint(f"hf:{folder / 'small-2'}")
    with pytest.raises(MdlError, match="is not what it was when it was opened"):
        evaluate_pretrained(checkpoint, corpus, [1000], paths, EvaluationSettings())
    assert not paths.root.exists()


def test_a_record_without_tokens_is_read_as_before(folder: Path, tmp_path: Path) -> None:
    """The field is optional: records of trained models have none, and those written before it are read."""
    run("evaluate", f"hf:{folder / 'small-2'}", folder / "corpus.txt", "--no-baselines", "--out", tmp_path / "run")
    (path,) = (tmp_path / "run").glob("*/record.json")
    raw = json.loads(path.read_text())
    del raw["tokens"]
    path.write_text(json.dumps(raw))
    assert read_cell(path).tokens is None
    assert len(load(tmp_path / "run").cells) == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["corpus.txt"], "at least a model and a corpus"),
        (["pythia", "corpus.txt"], "'pythia' is not a pretrained model; write hf:pythia"),
        (["lstm.pt", "corpus.txt"], "register a function that loads it by mdl.register_model, and write py:NAME"),
        (["hf:small-2", "nothing.txt"], "no file or folder at nothing.txt"),
        (["hf:small-2", "empty.txt"], "is empty"),
        (["hf:small-2", "corpus.txt", "--sizes", "1GB"], "--sizes asks for 1,000,000,000 bytes"),
        (["hf:small-2", "corpus.txt", "--sizes", "0"], "--sizes must be at least 1"),
        (["hf:small-2", "corpus.txt", "--sizes", "many"], "'many' is not a size in bytes"),
        (["hf:small-2", "corpus.txt", "--context", "99"], "--context must be 2 to 32"),
        (["hf:small-2", "corpus.txt", "--dtype", "int8"], "unknown dtype 'int8'"),
        (["hf:small-2", "corpus.txt", "--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], match: str
) -> None:
    monkeypatch.chdir(folder)
    Path("empty.txt").touch()
    Path("lstm.pt").touch()
    status, text = run("evaluate", *arguments, "--out", tmp_path / "run")
    assert status == 2
    assert match in text
    assert not (tmp_path / "run").exists()


def test_a_name_on_the_hub_without_a_network_is_one_line_at_once(folder: Path) -> None:
    """A closed port stands for no network; the client's own retries would take minutes."""
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "hub")}
    for offline in ("0", "1"):
        started = time.monotonic()
        result = mdl(
            "evaluate", "hf:EleutherAI/pythia-70m", "corpus.txt", cwd=folder,
            **(environment | {"HF_HUB_OFFLINE": offline}),
        )  # fmt: skip
        assert result.returncode == 2
        assert result.stderr.startswith("error: hf:EleutherAI/pythia-70m is neither a folder here nor a model")
        assert "give the path of a folder with config.json" in result.stderr
        assert result.stderr.count("\n") == 1
        assert time.monotonic() - started < 30


def test_without_transformers_the_extra_is_named(folder: Path, tmp_path: Path) -> None:
    """As a process that cannot import it."""
    (tmp_path / "transformers.py").write_text("raise ImportError('not installed')\n")
    result = subprocess.run(
        [sys.executable, "-m", "mdl.cli", "evaluate", "hf:small-2", "corpus.txt"],
        cwd=folder, capture_output=True, text=True, timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == (
        "error: a pretrained model needs the library transformers; pip install 'mdl-critical-size[pretrained]'\n"
    )


def test_anyones_measurements_give_a_report_from_a_csv(tmp_path: Path) -> None:
    """N, D, code_bits: code lengths made from a known law, so that the critical size is known."""
    D, price_bits = 1e6, 16.0
    N = np.geomspace(1e3, 1e6, 13).round()
    bits = D * (2.0 + 100.0 * N**-0.5)
    csv = tmp_path / "table.csv"
    pd.DataFrame({"N": N.astype(int), "D": int(D), "code_bits": bits}).to_csv(csv, index=False)
    status, text = run("report", csv, "--out", tmp_path / "report")
    assert status == 0, text
    assert (tmp_path / "report" / "report.pdf").exists()
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    truth = (0.5 * 100.0 * D / price_bits) ** (1 / 1.5)
    assert summary["critical"][0]["n_params"] == pytest.approx(truth, rel=0.05)


def test_an_interrupted_measurement_goes_on_and_leaves_nothing_but_its_record(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its third call, run again with another number of windows a call: the code length of one run."""
    corpus, checkpoint = open_whole(f"file:{folder / 'corpus.txt'}"), find_checkpoint(f"hf:{folder / 'small-8'}")
    of_one_run, of_two = RunPaths(tmp_path / "one"), RunPaths(tmp_path / "two")
    (expected,) = evaluate_pretrained(checkpoint, corpus, [10_000], of_one_run, EvaluationSettings(batch=4))
    window_bits, calls = token_code._window_bits, []

    def stopped(model: Pretrained, rows: Any) -> torch.Tensor:
        calls.append(len(rows))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return window_bits(model, rows)

    monkeypatch.setattr(token_code, "_window_bits", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate_pretrained(checkpoint, corpus, [10_000], of_two, EvaluationSettings(batch=4))
    (record,) = evaluate_pretrained(checkpoint, corpus, [10_000], of_two, EvaluationSettings(batch=3))
    code = [[s.code_bits for s in r.snapshots[0].segments] for r in (expected, record)]
    np.testing.assert_allclose(code[1], code[0], rtol=1e-6)
    assert record.run_id == expected.run_id
    assert calls[:3] == [4, 4, 4]
    assert record.tokens is not None
    assert sum(calls[3:]) == -(-record.tokens.n_tokens // 32) - 4, "the first call's windows were on the disk"
    assert {path.name for path in of_two.root.iterdir()} == {record.run_id}
