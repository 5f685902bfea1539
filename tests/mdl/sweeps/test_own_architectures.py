"""An architecture of a user's own through the whole command: sweep, resume, measure, report; cheats are refused."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mdl.compressors import byte_model
from mdl.config import Recipe
from mdl.data import CorpusSpec, open_corpus
from mdl.device import resolve_machine
from mdl.errors import MdlError
from mdl.models import Shape
from mdl.training.checkpoint import set_damaged_aside
from mdl.training.cohort_module import CohortModule
from mdl.training.loop import fit
from mdl.training.members import Member
from tests import ROOT
from tests.arrays import ArrayView
from tests.command import TINY, assert_one_line, mdl, records
from tests.conftest import markov_text
from tests.own_architectures import HONEST, Lstm, StateSpace

pytestmark = pytest.mark.slow

PLUGIN = ROOT / "tests/own_architectures.py"
T = 32
SOURCE = ArrayView(markov_text(60_000))
HELDOUT = SOURCE.gather(np.arange(50_000, 50_000 + 8 * T, T), T)
MEMBERS = [Member(seed=0, subset_length=20_000), Member(seed=1, subset_length=20_000, lr_scale=0.5)]


def write(folder: Path, architectures: str, more: str = "") -> None:
    (folder / "text.txt").write_bytes(markov_text(60_000))
    sweep = TINY.format(steps=30).replace("[2x1, 4x1, 8x1]", "[8x1]")
    (folder / "tiny.yaml").write_text(f"{sweep}  architecture: {{values: {architectures}}}\n{more}")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LSTM, a state space model and the Transformer, two subsets each."""
    folder = tmp_path_factory.mktemp("own")
    write(folder, "[transformer, own_lstm, own_ssm]", "  recipe: {value: 2}\n")
    done = mdl("sweep", "tiny.yaml", "--plugin", PLUGIN, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("architecture 'own_lstm': members train one after another") == 1
    return folder


def test_records_say_what_was_trained_and_by_whose_code(swept: Path) -> None:
    found = records(swept / "runs/tiny")
    assert len(found) == 6
    for run_id, record in found.items():
        name = record["config"]["model.architecture"]
        assert record["status"] == "ok"
        assert run_id.startswith("8x1-" if name == "transformer" else f"{name}-8x1-")
        assert [*record["plugins"]] == ([] if name == "transformer" else ["model.architecture"])
        looks = record["training"]["curve"]
        assert looks[-1]["code_bits"] < 8 * looks[-1]["n_bytes"], "it learned"
    lstm = next(record for run_id, record in found.items() if run_id.startswith("own_lstm"))
    assert lstm["model"]["n_params"] == 256 * 8 + 4 * 8 * (8 + 8 + 2) + 9 * 256


@pytest.mark.parametrize("kind", [Lstm, StateSpace])
def test_the_bits_recorded_are_those_of_the_weights_in_a_plain_loop(kind: Any, swept: Path) -> None:
    """The module's own `load_state_dict` reads the file beside the record."""
    name = next(name for name, one in HONEST.items() if one is kind)
    path = next(path for path in (swept / "runs/tiny").glob(f"{name}-8x1-20KB*/record.json"))
    record = json.loads(path.read_text())
    plain = kind(8)
    plain.load_state_dict(load_file(path.parent / record["snapshots"][0]["weights_file"]))
    corpus = open_corpus(CorpusSpec(f"file:{swept / 'text.txt'}"))
    data = torch.from_numpy(corpus.train.read(0, 20_000).astype(np.int64))
    bits = 0.0
    with torch.no_grad():
        for start in range(0, 20_000, 64):
            window = data[None, start : start + 64]
            rows = plain.eval()(window).double().log_softmax(-1)
            own = rows[0].gather(-1, window[0, :, None])[:, 0]
            if getattr(plain, "predicts", "this") == "next":
                own = torch.cat([torch.tensor([-math.log(256)]), rows[0, :-1].gather(-1, window[0, 1:, None])[:, 0]])
            bits -= float(own.sum()) / math.log(2)
    segments = record["snapshots"][0]["segments"]
    told = sum(s["code_bits"] for s in segments if s["part"] == "train" and s["end_bytes"] <= 20_000)
    assert told == pytest.approx(bits, rel=1e-6)


def test_the_report_needs_no_plugin(swept: Path) -> None:
    built = mdl("report", "runs/tiny", "--format", "md", "--out", "report", cwd=swept)
    assert built.returncode == 0, built.stderr


def test_a_trained_member_is_measured_elsewhere_and_what_it_lacks_is_said(swept: Path) -> None:
    run = next((swept / "runs/tiny").glob("own_lstm-8x1-20KB*"))
    measured = mdl("baselines", "text.txt", "--model", run, "--out", "runs/table", "--plugin", PLUGIN, cwd=swept)
    assert measured.returncode == 0, measured.stderr
    without = mdl("baselines", "text.txt", "--model", run, cwd=swept)
    assert_one_line(without, "unknown architecture 'own_lstm'")
    packed = mdl("pack", run, "-o", "x.mdl", "--plugin", PLUGIN, cwd=swept)
    assert_one_line(packed, "need coded weights, which the architecture 'own_lstm' does not have")
    assert not (swept / "x.mdl").exists()


def test_an_archive_comes_back_by_repeated_prefixes_and_a_long_one_is_refused(
    swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = next((swept / "runs/tiny").glob("own_lstm-8x1-20KB*"))
    (swept / "book.txt").write_bytes((swept / "text.txt").read_bytes()[:1000])
    made = mdl("compress", "book.txt", "--model", run, "-o", "book.mdl", "--plugin", PLUGIN, cwd=swept)
    assert made.returncode == 0, made.stderr
    back = mdl("decompress", "book.mdl", "-o", "back.txt", "--plugin", PLUGIN, cwd=swept)
    assert back.returncode == 0, back.stderr
    assert (swept / "back.txt").read_bytes() == (swept / "book.txt").read_bytes()
    without = mdl("decompress", "book.mdl", "-o", "other.txt", cwd=swept)
    assert_one_line(without, "unknown architecture 'own_lstm'")
    (swept / "edited.py").write_text(PLUGIN.read_text() + "\n# edited\n")
    told, loaded = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (PLUGIN, swept / "edited.py"))
    other = f"the architecture 'own_lstm' of plugin {told[:12]}…, and that of the plugin loaded is {loaded[:12]}…"
    for words in (["decompress", "book.mdl", "-o", "other.txt"], ["compress", "book.txt", "--model", run]):
        assert_one_line(mdl(*words, "--plugin", "edited.py", cwd=swept), other)
    assert not (swept / "other.txt").exists()
    inspected = json.loads(mdl("inspect", "book.mdl", "--json", cwd=swept).stdout)  # which needs no plugin
    assert (inspected["plugin_sha256"], inspected["n_params"]) == (told, None)
    assert "keys and values" not in mdl("inspect", "book.mdl", cwd=swept).stdout, "it keeps none"
    monkeypatch.setattr(byte_model, "MOST_DECODING_FLOPS", 1e6)
    source = io.BytesIO(b"a" * 1000)
    with pytest.raises(MdlError, match=r"has no step of its own, .* more than 1e\+06 floating point operations"):
        byte_model.compress_stream(source, io.BytesIO(), byte_model.load_model(next(run.glob("final*.safetensors"))))
    assert source.tell() == 0, "a file's length is known before it is coded"
    drawn = mdl("generate", "--coder", run, "--prompt", "book.txt", "--length", "9", "--plugin", PLUGIN, cwd=swept)
    assert drawn.returncode == 0, drawn.stderr


def test_an_edited_plugin_makes_other_runs_and_one_that_is_not_named_is_asked_for(swept: Path, tmp_path: Path) -> None:
    write(tmp_path, "[own_ssm]", "  recipe: {value: 2}\n")
    (tmp_path / "mine.py").write_text(PLUGIN.read_text() + "\n# edited\n")
    edited = mdl("sweep", "tiny.yaml", "--plugin", "mine.py", "--dry-run", cwd=tmp_path)
    assert edited.returncode == 0, edited.stderr
    assert not [run_id for run_id in records(swept / "runs/tiny") if run_id in edited.stdout]
    assert edited.stdout.count("own_ssm-8x1-") == 3
    without = mdl("sweep", "tiny.yaml", cwd=tmp_path)
    assert_one_line(without, "model.architecture: unknown architecture 'own_ssm'")


@pytest.mark.parametrize("name", ["cheat_both_ends", "cheat_learned"])
def test_a_cheat_is_refused_before_it_trains(name: str, tmp_path: Path) -> None:
    """The last line says why, with -q too, where it had been said in a line that -q leaves out."""
    write(tmp_path, f"[{name}]")
    done = mdl("sweep", "tiny.yaml", "--no-baselines", "-q", "--plugin", PLUGIN, cwd=tmp_path)
    assert done.returncode == 2
    assert f"architecture '{name}', {name}-8x1: the distribution of byte" in done.stderr.splitlines()[-1]
    assert not records(tmp_path / "runs/tiny")


def test_who_keeps_the_corpus_outside_its_weights_is_not_measured(tmp_path: Path) -> None:
    """It looks back alone; a new process that reads its weights finds it out."""
    write(tmp_path, "[hoarding]")
    done = mdl("sweep", "tiny.yaml", "--no-baselines", "--plugin", PLUGIN, cwd=tmp_path)
    assert done.returncode != 0
    says = r"architecture 'hoarding', .*: byte \d+ of a window takes 0\.\d+ bits where .* outside"
    found = re.search(says, done.stdout)
    assert found, done.stdout + done.stderr
    assert not records(tmp_path / "runs/tiny")


def cohort(name: str, members: list[Member], recipe: int = 2) -> CohortModule:
    settings = {"version": 2, "optimizer": "muon", "weight_decay": 0.1, "decay_start": 0.7} if recipe == 2 else {}
    chosen = Recipe(steps=14, batch_windows=4, learning_rate=1e-2, warmup_steps=5, evaluate_every=6, **settings)  # type: ignore[arg-type]
    return CohortModule(Shape(8, 1, 1, context_tokens=T, architecture=name), members, chosen, HELDOUT)


def trained(name: str, members: list[Member], path: Path, until: int | None = None, recipe: int = 2) -> CohortModule:
    module = cohort(name, members, recipe)
    fit(module, SOURCE, resolve_machine("auto", "auto"), path, until=until)
    return module


@pytest.mark.parametrize("recipe", [1, 2])
@pytest.mark.parametrize("name", HONEST)
def test_a_member_trains_in_company_as_alone_and_a_stopped_run_goes_on_as_if_it_had_not(
    name: str, recipe: int, tmp_path: Path
) -> None:
    """To the bit, dropout and batch statistics too: `fit` to step 9 and from there on."""
    torch.set_num_threads(1)
    together = trained(name, MEMBERS, tmp_path / "together", recipe=recipe)
    for m, member in enumerate(MEMBERS):
        alone = trained(name, [member], tmp_path / f"alone-{m}", recipe=recipe)
        assert [bits[m] for _, bits in together.curve] == [bits[0] for _, bits in alone.curve]
        for weight, tensor in together.model.member(m).items():
            assert torch.equal(tensor, alone.model.member(0)[weight]), weight
    trained(name, MEMBERS, tmp_path / "part", until=9, recipe=recipe)
    assert set_damaged_aside(tmp_path / "part", cohort(name, MEMBERS, recipe)) is None
    resumed = trained(name, MEMBERS, tmp_path / "part", recipe=recipe)
    assert resumed.curve == together.curve
    for weight, tensor in together.best_weights(1).items():
        assert torch.equal(tensor, resumed.best_weights(1)[weight]), weight
