"""The families of causal language models that are used most: measured right, and byte for byte back from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from mdl.errors import MdlError
from mdl.generation import Sampling, open_coder
from mdl.pretrained import Windows, block_codec, open_pretrained
from tests import ROOT, tiny_models
from tests.families import FAMILIES, LONG, MEASURED_ONLY, SOURCE, Family, by_hand, coder_of

FAST = ("mistral", "mpt", "mamba", "rwkv")
slow = pytest.mark.slow


def each(*contexts: int) -> list[object]:
    """All families at these contexts, and some at 2,048; a few in the fast part, all at 8 in the slow one."""
    cases = [(name, T) for name in FAMILIES for T in contexts] + [(name, 2048) for name in LONG]
    marks = [pytest.mark.long if T > 8 else () if name in FAST else slow for name, T in cases]
    return [pytest.param(*case, marks=mark, id="{}-{}".format(*case)) for case, mark in zip(cases, marks, strict=True)]


@pytest.mark.parametrize(("name", "context"), each(8, 65))
def test_a_family_is_measured_as_by_hand_and_its_files_come_back(name: str, context: int, tmp_path: Path) -> None:
    """A token a byte: files of no byte, of one, of a window and beside it, and of several."""
    coder = coder_of(name, context, tmp_path)
    assert coder.windows == Windows(context, context)
    data = SOURCE[: 3 * context]
    assert coder.code_bits(data) == pytest.approx(by_hand(coder, data), rel=1e-6)
    assert coder.code_bits(b"") == 0
    if name in MEASURED_ONLY and context < 65:
        return  # of so few tokens some answer alike
    if name in MEASURED_ONLY:
        with pytest.raises(MdlError, match="it can be measured"):
            coder.compress(data)
        return
    for n_bytes in (0, 1, context, 2 * context + context // 2):
        archive = coder.compress(SOURCE[:n_bytes])
        assert coder.decompress(archive) == SOURCE[:n_bytes]


@pytest.mark.parametrize("name", ["mamba", pytest.param("jamba", marks=slow), pytest.param("mamba2", marks=slow)])
def test_a_state_that_goes_on_by_single_tokens_alone_is_read_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory allows few tokens a call, calls of several would each begin anew: nothing could be decoded."""
    monkeypatch.setattr(block_codec, "_LOGITS_BYTES", 8 * 256 * 6)
    coder = coder_of(name, 32, tmp_path)
    assert coder.decompress(coder.compress(SOURCE[:80])) == SOURCE[:80]


@pytest.mark.parametrize("hidden_size", [2, 4, 16])
def test_a_state_that_hardly_counts_is_told_from_one_that_goes_on(hidden_size: int, tmp_path: Path) -> None:
    """At the weights that transformers begins with, several tokens a call differ little; the file is of single ones."""
    config = transformers.MambaConfig(
        vocab_size=256, hidden_size=hidden_size, state_size=4, num_hidden_layers=3, expand=1, bos_token_id=0
    )
    torch.manual_seed(0)
    tiny_models.save(tmp_path / "mamba", transformers.MambaForCausalLM(config), tiny_models.single_bytes())
    coder = replace(open_pretrained(f"hf:{tmp_path / 'mamba'}", "cpu"), windows=Windows(65, 65))
    assert coder.decompress(coder.compress(SOURCE[:170])) == SOURCE[:170]


@pytest.mark.parametrize("name", ["mamba", "rwkv", pytest.param("recurrent_gemma", marks=slow)])
def test_one_without_keys_and_values_generates_too(name: str, tmp_path: Path) -> None:
    """What it keeps between tokens, or all read again, gives the same bytes."""
    folder = FAMILIES[name].save(tmp_path / name, 64)
    go_on = open_coder(f"hf:{folder}", Sampling(temperature=0), device="cpu")
    made = go_on(b"def wrap(text):", 12)
    coder = open_pretrained(f"hf:{folder}", "cpu")
    tokenizer = coder._measuring.tokenizer
    ids = [i for run in tokenizer.runs(b"def wrap(text):") for i in run.ids]
    n_prompt = len(ids)
    for _ in range(12):
        with torch.no_grad():
            ids.append(int(coder._measuring.model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    assert made == tokenizer.decode(ids[n_prompt:]).encode()[:12]


@pytest.mark.parametrize("padding", [0, 1])
def test_positions_that_are_counted_from_the_padding_token_leave_a_shorter_context(
    padding: int, tmp_path: Path
) -> None:
    """Found by use: a window of all of RoBERTa's positions could not be run, the last ones are none.

    Where the padding token itself is in the text, positions depend on how many tokens are read at a time.
    """
    family = Family("Roberta", {"is_decoder": True, "pad_token_id": padding})
    coder = open_pretrained(f"hf:{family.save(tmp_path / 'roberta', 33 + padding)}", "cpu")
    assert coder.windows == Windows(32, 32)
    assert coder.code_bits(SOURCE[:96]) == pytest.approx(by_hand(coder, SOURCE[:96]), rel=1e-6)
    if padding:  # the token of a quotation mark
        with pytest.raises(MdlError, match=r"is not stable enough to be decoded elsewhere.*; it can be measured"):
            coder.compress(SOURCE[:80])
        return
    for n_bytes in (0, 1, 32, 80):
        assert coder.decompress(coder.compress(SOURCE[:n_bytes])) == SOURCE[:n_bytes]


def test_what_a_model_cannot_do_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised within transformers."""
    coder = coder_of("mistral", 16, tmp_path)
    monkeypatch.setattr(type(coder._measuring.model.model), "forward", lambda *_, **__: 1 / 0)
    with pytest.raises(MdlError, match=r"^hf:.*mistral cannot be run \(division by zero\)$"):
        coder.code_bits(b"to be")


TABLE = ROOT / "docs/reference/hugging_face_families.md"


def test_the_table_of_families_is_of_those_tried_here() -> None:
    """Its rows are the families of these tests, and say no where a file of theirs is refused."""
    rows = [line.split("|")[1:-1] for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    files = {row[0].strip().strip("`"): row[-1].strip() for row in rows}
    assert set(files) == set(FAMILIES)
    assert {name for name, says in files.items() if not says.startswith("yes")} == set(MEASURED_ONLY)


def test_the_table_is_linked_where_pretrained_models_are_explained() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != TABLE and TABLE.name in page.read_text(encoding="utf-8")]
