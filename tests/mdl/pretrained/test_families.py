"""The families of causal language models that are used most: measured right, and byte for byte back from a file."""

from __future__ import annotations

import inspect
import itertools
import math
import textwrap
from pathlib import Path

import pytest
import torch

from mdl.errors import MdlError
from mdl.generation import Sampling, open_coder
from mdl.pretrained import Windows, block_codec, open_pretrained
from mdl.pretrained.compressor import PretrainedCoder
from mdl.records import ladder
from tests import ROOT
from tests.families import FAMILIES, MEASURED_ONLY

SOURCE = inspect.getsource(textwrap).encode()
FAST = ("mistral", "mpt", "mamba", "rwkv")
LONG = ("gpt2", "mistral", "bloom", "opt", "qwen3")
slow = pytest.mark.slow


def coder_of(name: str, context: int, folder: Path) -> PretrainedCoder:
    return open_pretrained(f"hf:{FAMILIES[name].save(folder / name, context)}", "cpu")


def by_hand(coder: PretrainedCoder, data: bytes) -> float:
    """Bits of windows coded each by itself, a window's first token uniformly, and of an escape a step of the ladder."""
    model, T = coder._measuring, coder.windows.context_tokens
    (run,) = model.tokenizer.runs(data)
    steps = itertools.pairwise([0, *ladder(len(data)), len(data)])
    bits = float(sum(run.escape_bits for a, b in steps for run in model.tokenizer.runs(data[a:b])))
    for i in range(0, len(run.ids), T):
        window = torch.tensor(run.ids[i : i + T])
        with torch.no_grad():
            log_p = torch.log_softmax(model.model(window[None], use_cache=False).logits[0].double(), -1)
        bits += math.log2(256) - sum(float(log_p[t - 1, window[t]]) for t in range(1, len(window))) / math.log(2)
    return bits


def each(*contexts: int) -> list[object]:
    """All families at these contexts, and some at 2,048; a few of them in the fast part."""
    cases = [(name, T) for name in FAMILIES for T in contexts] + [(name, 2048) for name in LONG]
    return [pytest.param(name, T, marks=() if name in FAST and T == 8 else slow, id=f"{name}-{T}") for name, T in cases]


@pytest.mark.parametrize(("name", "context"), each(8, 65))
def test_a_family_is_measured_as_by_hand_and_its_files_come_back(name: str, context: int, tmp_path: Path) -> None:
    """A token a byte: files of no byte, of one, of a window and beside it, and of several."""
    coder = coder_of(name, context, tmp_path)
    assert coder.windows == Windows(context, context)
    data = SOURCE[: 3 * context]
    assert coder.code_bits(data) == pytest.approx(by_hand(coder, data), rel=1e-6)
    assert coder.code_bits(b"") == 0
    if name in MEASURED_ONLY:
        with pytest.raises(MdlError, match="it can be measured only"):
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


def test_what_a_model_cannot_do_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised within transformers."""
    coder = coder_of("mistral", 16, tmp_path)
    monkeypatch.setattr(type(coder._measuring.model), "forward", lambda *_, **__: 1 / 0)
    with pytest.raises(MdlError, match=r"^hf:.*mistral cannot be run \(division by zero\)$"):
        coder.code_bits(b"to be")


def test_the_documentation_names_the_families() -> None:
    text = (ROOT / "docs/howto/pretrained.md").read_text()
    assert all(f"`{name}`" in text for name in FAMILIES)
