"""Pretrained models: any bytes have a decodable code, its length is what the model says, and bad models are refused."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, processors

from mdl import compressors
from mdl.data import ByteView
from mdl.errors import MdlError
from mdl.models import Shape, StackedTransformer
from mdl.models.weights_file import save_weights
from mdl.pretrained import (
    Pretrained,
    Windows,
    byte_fallback,
    code_in_stretches,
    find_checkpoint,
    load_pretrained,
    windows_of,
)
from mdl.pretrained.byte_fallback import Run
from mdl.pretrained.code_length import pieces
from mdl.pretrained.token_code import token_bits
from tests import tiny_models
from tests.tiny_models import TEXT

NOISE = np.random.default_rng(0).bytes(6000)
BACKENDS: dict[str, Callable[[], tiny_models.Backend]] = {
    "byte-level": tiny_models.byte_level,
    "byte-level, some bytes missing": lambda: tiny_models.byte_level(whole_alphabet=False),
    "single bytes": tiny_models.single_bytes,
    "word pieces in lower case": tiny_models.word_piece,
    "sentence pieces": tiny_models.sentence_piece,
    "byte-level, a space first": lambda: tiny_models.byte_level(space_first=True),
    "byte-level, a space first, composed": lambda: tiny_models.byte_level(
        space_first=True, normalizer=normalizers.NFC()
    ),
    "byte-level, marked": lambda: marked(tiny_models.byte_level(space_first=True)),
}


def marked(backend: tiny_models.Backend) -> tiny_models.Backend:
    """A template puts a token before every text."""
    backend.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    return backend


def functions(backend: tiny_models.Backend) -> byte_fallback.Tokenizer:
    return byte_fallback.Tokenizer(
        lambda text: list(backend.encode(text, add_special_tokens=False).ids),
        lambda ids: str(backend.decode(list(ids), skip_special_tokens=False)),
        backend.get_vocab_size(),
    )


TOKENIZERS = {name: functions(make()) for name, make in BACKENDS.items()}


def read_back(tokenizer: byte_fallback.Tokenizer, runs: list[Run], n_bytes: int) -> bytes:
    ids = [i for run in runs for i in run.ids]
    return byte_fallback.read(byte_fallback.write(runs), ids, tokenizer.decode, n_bytes)


DATA = (
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.lists(
        st.sampled_from([TEXT[:60], TEXT[60:90], "\xff", " ", "\n", "ÀÉ", "<|endoftext|>", "[UNK]"]), max_size=9
    ).map(lambda parts: "".join(parts).encode("latin-1", "replace"))
)


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=60, deadline=None)
@given(data=DATA)
def test_any_bytes_are_read_back_from_tokens_and_escape_alone(name: str, data: bytes) -> None:
    """The escape really written is as long as the bits counted, and a decoder needs nothing else."""
    runs = TOKENIZERS[name].runs(data)
    assert read_back(TOKENIZERS[name], runs, len(data)) == data
    assert len(byte_fallback.write(runs)) == sum(run.escape_bits for run in runs)


@given(st.integers(1, 10**12))
def test_gamma_codes_have_the_length_that_is_counted(n: int) -> None:
    assert byte_fallback.gamma_bits(n) == 2 * math.floor(math.log2(n)) + 1


def test_text_that_a_tokenizer_gives_back_is_one_run() -> None:
    for name in ("byte-level", "single bytes"):
        (run,) = TOKENIZERS[name].runs(TEXT.encode())
        assert not run.raw


def test_what_is_lost_alone_is_escaped() -> None:
    """Capitals and tabs of a tokenizer that has none, and what is too short to be worth tokens beside them."""
    runs = TOKENIZERS["word pieces in lower case"].runs(b"the quick brown Dog jumps over the Brown\tdog")
    assert [run.raw for run in runs] == [b" D", b" B", b"\tdog"]
    runs = TOKENIZERS["byte-level, some bytes missing"].runs("the lazy dog 東京 jumps".encode())
    assert [run.raw for run in runs] == ["東京".encode(), b""]


@pytest.mark.parametrize("name", [name for name in BACKENDS if "a space first" in name or "marked" in name])
@pytest.mark.parametrize("text", [TEXT[:900], "東京は日本の首都である。" * 20, "\n".join(map(str, range(300)))])
def test_a_tokenizer_that_puts_something_first_costs_a_few_bytes_a_text(name: str, text: str) -> None:
    """Not the whole text: it is cut where what is put first does no harm."""
    runs = TOKENIZERS[name].runs(text.encode())
    assert sum(len(run.raw) for run in runs) <= 0.01 * len(text.encode())
    assert read_back(TOKENIZERS[name], runs, len(text.encode())) == text.encode()


@pytest.mark.parametrize("name", BACKENDS)
def test_looking_for_what_is_lost_is_not_quadratic(name: str) -> None:
    """Characters given to the tokenizer: n log n at the most, also where every other one is lost in its place."""
    seen = 0
    tokenizer = TOKENIZERS[name]

    def encode(text: str) -> list[int]:
        nonlocal seen
        seen += len(text)
        return tokenizer._encode(text)

    text = "A  b, É\n" * 1000
    byte_fallback.Tokenizer(encode, tokenizer.decode, 10**6).runs(text.encode())
    assert seen < 3 * len(text) * math.log2(len(text))


def test_a_token_that_the_model_does_not_have_is_escaped() -> None:
    backend = tiny_models.single_bytes()
    whole = functions(backend)
    small = byte_fallback.Tokenizer(whole._encode, whole.decode, 60)
    runs = small.runs(TEXT.encode())
    assert all(i < 60 for run in runs for i in run.ids)
    assert any(run.raw for run in runs)
    assert read_back(small, runs, len(TEXT.encode())) == TEXT.encode()


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=300) | st.text(max_size=200).map(str.encode), start=st.integers(0, 50))
def test_pieces_tile_a_range_and_split_no_character(data: bytes, start: int) -> None:
    view = ByteView.whole(np.frombuffer(data, np.uint8))
    start = min(start, len(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_fallback, "PIECE_BYTES", 40)
        found = list(pieces(view, start, len(data)))
    assert b"".join(found) == data[start:]
    assert all(len(piece) <= 40 for piece in found)
    try:
        data[start:].decode()
    except UnicodeDecodeError:
        return
    for piece in found:
        piece.decode()


# The model


def make(folder: Path, kind: str = "gpt2", tokenizer: str = "byte-level", bos: str | None = None) -> Path:
    backend = BACKENDS[tokenizer]()
    model = getattr(tiny_models, kind)(max(300, backend.get_vocab_size()))
    return tiny_models.save(folder / f"{kind}-{tokenizer[:6].strip()}", model, backend, bos)


@pytest.fixture(scope="module")
def with_start(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return load_pretrained(find_checkpoint(f"hf:{make(tmp_path_factory.mktemp('m'), bos='<|endoftext|>')}"))


@pytest.fixture(scope="module")
def without_start(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return load_pretrained(find_checkpoint(f"hf:{make(tmp_path_factory.mktemp('m'), 'neox')}"))


def slowly(model: Pretrained, ids: np.ndarray, context: int, stride: int) -> list[float]:
    """Token by token, in float64: each from those before it in its window, which is the first that ends behind it."""
    bits = []
    for i, token in enumerate(ids.tolist()):
        begin = max(0, math.ceil((i + 1 - context) / stride)) * stride
        before = ([] if model.start is None else [model.start]) + ids[begin:i].tolist()
        if not before:
            bits.append(math.log2(model.n_vocabulary))
            continue
        with torch.inference_mode():
            logits = model.model(torch.tensor([before])).logits[0, -1].double()
        bits.append(-float(torch.log_softmax(logits, 0)[token]) / math.log(2))
    return bits


@pytest.mark.parametrize("which", ["with_start", "without_start"])
@pytest.mark.parametrize(("context", "stride"), [(32, 32), (32, 8), (16, 5), (2, 1), (9, 9)])
@pytest.mark.parametrize("n", [1, 15, 32, 33, 75])
def test_bits_are_those_of_a_plain_loop(
    which: str, context: int, stride: int, n: int, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(which)
    ids = np.random.default_rng(n).integers(0, 300, n).astype(np.int32)
    expected = slowly(model, ids, context, stride)
    for batch in (None, 1, 3):
        np.testing.assert_allclose(token_bits(model, ids, Windows(context, stride, batch)), expected, rtol=1e-4)


def test_no_tokens_have_no_bits(with_start: Pretrained) -> None:
    assert token_bits(with_start, np.empty(0, np.int32), Windows(8, 8)).size == 0


def test_stretches_are_codes_of_their_own_and_add_up(without_start: Pretrained) -> None:
    """The code of the first D bytes is the same whatever comes after, for every D that the ladder knows."""
    data = (TEXT * 50).encode()[:12_345]
    view = ByteView.whole(np.frombuffer(data, np.uint8))
    windows = Windows(16, 16)
    whole = code_in_stretches(without_start, view, len(data), windows)
    assert [s.end for s in whole] == [1000, 3000, 10_000, 12_345]
    assert [s.start for s in whole] == [0, 1000, 3000, 10_000]
    for k in (1, 2, 3):
        own = code_in_stretches(without_start, view, whole[k - 1].end, windows)
        assert [(s.end, s.n_tokens, s.escape_bits) for s in own] == [
            (s.end, s.n_tokens, s.escape_bits) for s in whole[:k]
        ]
        assert sum(s.token_bits for s in own) == pytest.approx(sum(s.token_bits for s in whole[:k]), rel=1e-6)


@pytest.mark.parametrize("tokenizer", BACKENDS)
def test_noise_takes_at_least_eight_bits_a_byte(tokenizer: str, tmp_path: Path) -> None:
    coder = compressors.get(f"hf:{make(tmp_path, 'llama', tokenizer)}")
    assert coder.code_bits(NOISE) >= 8 * len(NOISE)


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_counted_once(tmp_path: Path, tied: bool) -> None:
    backend, V, C, T = tiny_models.byte_level(), 300, 16, 32
    folder = tiny_models.save(tmp_path / "m", tiny_models.gpt2(V, C, tied=tied, context=T), backend)
    model = load_pretrained(find_checkpoint(f"hf:{folder}"))
    layers = 2 * (12 * C * C + 13 * C) + 2 * C + T * C
    assert model.n_params_by_group == {"embedding": V * C, "head": 0 if tied else V * C, "rest": layers}
    assert model.n_params == layers + V * C * (1 if tied else 2)


def test_the_dtype_of_the_weights_is_stated_and_coding_in_it_costs_little(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    tiny_models.save(folder, tiny_models.neox(300).to(torch.bfloat16), tiny_models.byte_level())
    checkpoint = find_checkpoint(f"hf:{folder}")
    assert checkpoint.weights_dtype == "bfloat16"
    ids = np.arange(100, dtype=np.int32)
    exact, rough = (
        token_bits(load_pretrained(checkpoint, dtype), ids, Windows(32, 32)).sum() for dtype in ("float32", "bfloat16")
    )
    assert exact != rough
    assert rough == pytest.approx(exact, rel=0.02)


def test_special_tokens_written_out_in_a_text_come_back() -> None:
    data = b"before<|endoftext|>after"
    tokenizer = TOKENIZERS["byte-level"]
    assert read_back(tokenizer, tokenizer.runs(data), len(data)) == data


def test_the_fingerprint_changes_with_weights_configuration_and_tokenizer(tmp_path: Path) -> None:
    folder = make(tmp_path)
    seen = {find_checkpoint(f"hf:{folder}").fingerprint}
    for name in ("tokenizer.json", "config.json"):
        path = folder / name
        path.write_text(path.read_text() + "\n")
        seen.add(find_checkpoint(f"hf:{folder}").fingerprint)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    seen.add(find_checkpoint(f"hf:{folder}").fingerprint)
    (folder / "README.md").write_text("for people")
    seen.add(find_checkpoint(f"hf:{folder}").fingerprint)
    assert len(seen) == 4


# What is refused


def refused(folder: Path | str, match: str) -> None:
    with pytest.raises(MdlError, match=match) as error:
        load_pretrained(find_checkpoint(f"hf:{folder}"))
    assert "\n" not in str(error.value)


def test_a_folder_that_lacks_a_part_is_refused_by_the_part(tmp_path: Path) -> None:
    folder = make(tmp_path)
    for name, match in (
        ("config.json", "no config.json"),
        ("model.safetensors", r"no model\.safetensors \(no weights"),
    ):
        (folder / name).rename(tmp_path / name)
        refused(folder, match)
        (tmp_path / name).rename(folder / name)
    for path in folder.glob("*token*"):
        path.unlink()
    refused(folder, "has no tokenizer")


def test_weights_whose_format_can_run_code_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04never read")
    refused(folder, r"only pytorch_model\.bin, whose format can run code")


def test_code_of_the_models_own_is_not_run(tmp_path: Path) -> None:
    folder = make(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    refused(folder, "cannot be read by transformers")
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    """transformers would fill what is missing with random numbers, and damaged files are one line too."""
    from safetensors.torch import load_file, save_file

    path = make(tmp_path) / "model.safetensors"
    weights = load_file(path)
    save_file({k: v for k, v in weights.items() if "h.1.mlp" not in k}, path, {"format": "pt"})
    refused(path.parent, r"weights lack transformer\.h\.1\.mlp\.c_fc\.bias \(4 in all\)")
    path.write_bytes(path.read_bytes()[:1000])
    refused(path.parent, "cannot be read by transformers")


def test_an_index_that_names_what_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    for content, match in (
        ("{", "not an index of weights"),
        ('{"weight_map": {"a": "model-1.safetensors"}}', r"lacks model-1\.safetensors"),
        ('{"weight_map": {"a": "../../x.safetensors"}}', r"lacks \.\./\.\./x"),
    ):
        index.write_text(content)
        refused(folder, match)


def test_shards_are_read_as_one_file_is(tmp_path: Path) -> None:
    one = make(tmp_path)
    shards = tmp_path / "shards"
    shutil.copytree(one, shards)
    (shards / "model.safetensors").unlink()
    transformers.AutoModelForCausalLM.from_pretrained(one).save_pretrained(shards, max_shard_size="20KB")
    assert len(find_checkpoint(f"hf:{shards}").weights) > 1
    ids = np.arange(50, dtype=np.int32)
    first, second = (
        token_bits(load_pretrained(find_checkpoint(f"hf:{f}")), ids, Windows(32, 32)) for f in (one, shards)
    )
    np.testing.assert_array_equal(first, second)


def test_a_model_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    model = tiny_models._seeded(transformers.BertLMHeadModel, config)
    refused(tiny_models.save(tmp_path / "bert", model, tiny_models.byte_level()), "not a causal model")


def test_a_name_that_is_nothing_is_one_line() -> None:
    with pytest.raises(MdlError, match="names no model"):
        find_checkpoint("hf:")
    with pytest.raises(MdlError, match="no model at /no/such/folder"):
        find_checkpoint("hf:/no/such/folder")


@pytest.mark.parametrize(
    ("context", "stride", "match"),
    [(1, None, "must be 2 to 32"), (33, None, "got 33"), (8, 9, "must be 1 to the context, 8"), (8, 0, "got 0")],
)
def test_windows_that_cannot_be_are_refused(tmp_path: Path, context: int, stride: int | None, match: str) -> None:
    with pytest.raises(MdlError, match=match):
        windows_of(find_checkpoint(f"hf:{make(tmp_path)}"), context, stride)


def test_the_usual_window_is_the_models_own_without_overlap(tmp_path: Path) -> None:
    assert windows_of(find_checkpoint(f"hf:{make(tmp_path)}"), None, None) == Windows(32, 32)


# The registry


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = StackedTransformer(Shape(8, 1, 1, context_tokens=32), [0])
    path = tmp_path_factory.mktemp("run") / "final.safetensors"
    save_weights(path, model.shape, model.member(0))
    return path


@settings(max_examples=15, deadline=None)
@given(data=st.binary(max_size=300))
def test_a_trained_model_is_a_coder_by_name(trained: Path, data: bytes) -> None:
    coder = compressors.get(f"model:{trained}")
    assert coder.name == f"model:{trained}"
    assert coder.decompress(coder.compress(data)) == data


def test_a_pretrained_model_is_a_coder_by_name(tmp_path: Path) -> None:
    name = f"hf:{make(tmp_path)}"
    coder = compressors.get(name)
    assert coder.name == name
    assert "context 32 stride 32" in coder.settings
    assert coder.code_bits(b"") == 0
    assert coder.decompress(coder.compress(b"some data")) == b"some data"


@pytest.mark.parametrize("name", ["model:", "model:auto", "model:/no/such", "hf:/no/such"])
def test_a_language_model_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(MdlError) as error:
        compressors.get(name)
    assert "\n" not in str(error.value)


def test_stretches_of_nothing_but_noise_have_no_tokens(with_start: Pretrained) -> None:
    data = bytes(itertools.islice(itertools.cycle(range(0x80, 0xC0)), 500))
    view = ByteView.whole(np.frombuffer(data, np.uint8))
    (only,) = code_in_stretches(with_start, view, len(data), Windows(8, 8))
    assert (only.n_tokens, only.escaped_bytes, only.token_bits) == (0, 500, 0.0)
