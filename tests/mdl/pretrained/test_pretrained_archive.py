"""Files of pretrained models: any bytes come back, elsewhere computed; the size is the ideal; damage is one line."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import inspect
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from mdl.cli.app import main
from mdl.entropy import Grid, Guard, guard_list, large_vocabulary
from mdl.errors import MdlError
from mdl.pretrained import Windows, block_codec, find_checkpoint, open_pretrained, parse_archive
from mdl.pretrained.archive_format import Coded, PretrainedArchive
from mdl.pretrained.compressor import PretrainedCoder
from mdl.pretrained.float64 import InFloat64, Reader, load_exact, read_through
from mdl.pretrained.token_code import Ids
from tests import tiny_models
from tests.command import mdl
from tests.tiny_models import TEXT

V = 300
KINDS = ("gpt2", "neox", "llama")
SOURCE = inspect.getsource(argparse).encode()[:20_000]
NOISE = np.random.default_rng(0).bytes(1500)


def gemma2(vocabulary: int) -> transformers.PreTrainedModel:
    """Sliding windows, capped logits, more head than width."""
    config = transformers.Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=32,
        max_position_embeddings=32,
        sliding_window=8,
        bos_token_id=1,
    )
    return tiny_models._seeded(transformers.Gemma2ForCausalLM, config)


def mixtral(vocabulary: int) -> transformers.PreTrainedModel:
    """Experts chosen by a router."""
    config = transformers.MixtralConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=32,
        num_local_experts=4,
        bos_token_id=1,
    )
    return tiny_models._seeded(transformers.MixtralForCausalLM, config)


def make(folder: Path, kind: str, **changes: Any) -> Path:
    model = globals()[kind](V) if kind in globals() else getattr(tiny_models, kind)(V, **changes)
    return tiny_models.save(folder / kind, model, tiny_models.byte_level())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: make(folder, kind) for kind in (*KINDS, "gemma2", "mixtral")}


@pytest.fixture(scope="module")
def coders(models: dict[str, Path]) -> dict[str, PretrainedCoder]:
    return {kind: open_pretrained(f"hf:{path}", "cpu") for kind, path in models.items()}


@pytest.mark.parametrize(
    ("kind", "context"),
    [
        *itertools.product(KINDS, [8]),
        ("gpt2", 65),
        *(pytest.param(kind, n, marks=pytest.mark.slow) for kind, n in itertools.product(KINDS, [64])),
        pytest.param("gpt2", 200, marks=pytest.mark.slow),
        *(pytest.param(kind, 512, marks=pytest.mark.slow) for kind in KINDS),
        *(pytest.param(kind, 2048, marks=pytest.mark.long) for kind in KINDS),
    ],
)
def test_files_of_no_byte_to_several_windows_come_back_at_any_context(kind: str, context: int, tmp_path: Path) -> None:
    """A token a byte: the file's length is its number of tokens."""
    model = getattr(tiny_models, kind)(256, width=8, context=context)
    folder = tiny_models.save(tmp_path, model, tiny_models.single_bytes())
    coder = open_pretrained(f"hf:{folder}", "cpu")
    for n_bytes in (0, 1, context - 1, context, 2 * context, 2 * context + context // 2):
        data = SOURCE[:n_bytes]
        assert coder.decompress(coder.compress(data)) == data


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def some_ids(n: int, seed: int = 0) -> Ids:
    return np.random.default_rng(seed).integers(0, V, n).astype(np.int32)


# Round trips

DATA = (
    st.binary(max_size=150)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.lists(st.sampled_from([TEXT[:60], "\xff", "ÀÉ", "<|endoftext|>"]), max_size=5).map(
        lambda parts: "".join(parts).encode("latin-1", "replace")
    )
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(data=DATA)
def test_any_bytes_come_back(coders: dict[str, PretrainedCoder], kind: str, data: bytes) -> None:
    assert coders[kind].decompress(coders[kind].compress(data)) == data


@pytest.mark.parametrize("kind", ["gemma2", "mixtral"])
@pytest.mark.parametrize("data", [SOURCE[:1500], NOISE[:300]], ids=["text", "noise"])
def test_other_architectures_write_files_too(coders: dict[str, PretrainedCoder], kind: str, data: bytes) -> None:
    assert coders[kind].decompress(coders[kind].compress(data)) == data


@pytest.mark.parametrize("tokenizer", ["word_piece", "sentence_piece"])
def test_what_a_tokenizer_loses_comes_back_by_the_escape(tmp_path: Path, tokenizer: str) -> None:
    backend = getattr(tiny_models, tokenizer)()
    folder = tiny_models.save(tmp_path / "m", tiny_models.llama(max(V, backend.get_vocab_size())), backend)
    coder, data = open_pretrained(f"hf:{folder}", "cpu"), TEXT.encode() + NOISE[:100]
    assert coder.decompress(coder.compress(data)) == data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("two_threads")
def test_what_two_threads_coded_one_thread_decodes_in_other_batches(
    coders: dict[str, PretrainedCoder], kind: str
) -> None:
    model, ids, grid = coders[kind].exact, some_ids(400), Grid(5, 33)
    codecs = [block_codec.BlockCodec(model=model, context_tokens=32, grid=grid, windows_at_once=n) for n in (5, 9, 7)]
    block = codecs[0].encode(ids)
    torch.set_num_threads(1)
    assert codecs[1].encode(ids) == block
    assert np.array_equal(codecs[2].decode(block), ids)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_takes_half_a_percent_and_200_bytes_over_its_ideal_length(
    coders: dict[str, PretrainedCoder], kind: str
) -> None:
    """Ideal: what `mdl evaluate` tells, in float32."""
    archive, ideal_bytes = coders[kind].compress(SOURCE), coders[kind].code_bits(SOURCE) / 8
    assert len(archive) <= 1.005 * ideal_bytes + 200
    assert len(archive) >= 0.99 * ideal_bytes


def test_short_contexts_and_many_blocks(coders: dict[str, PretrainedCoder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdl.pretrained.compressor.MOST_WINDOWS", 3)
    coder = dataclasses.replace(coders["neox"], windows=Windows(7, 7))
    archive = coder.compress(SOURCE[:400])
    assert len(parse_archive(archive).blocks) > 10
    assert coder.decompress(archive) == SOURCE[:400]


def test_windows_that_overlap_are_for_measuring_only(coders: dict[str, PretrainedCoder]) -> None:
    with pytest.raises(MdlError, match="without overlap, got a stride of 16"):
        dataclasses.replace(coders["gpt2"], windows=Windows(32, 16)).compress(b"data")


# Float64 throughout


class _Seen(TorchDispatchMode):
    """The types of all that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        told = func(*args, **(kwargs or {}))
        several = told if isinstance(told, tuple | list) else (told,)
        self.dtypes |= {own.dtype for own in several if isinstance(own, torch.Tensor)}
        return told


@pytest.mark.parametrize("kind", [*KINDS, "gemma2", "mixtral"])
def test_nothing_is_computed_in_a_coarser_type(coders: dict[str, PretrainedCoder], kind: str) -> None:
    coarse = {torch.float32, torch.float16, torch.bfloat16}
    reader = Reader(coders[kind].exact, 2)
    with _Seen() as seen:
        reader.first()
        reader.feed(np.array([[3, 4, 5], [6, 7, 8]]))
    assert torch.float64 in seen.dtypes
    assert not seen.dtypes & coarse


def test_without_it_some_models_would_be_computed_in_float32(coders: dict[str, PretrainedCoder]) -> None:
    with _Seen() as seen, torch.inference_mode():
        coders["llama"].exact.model(torch.tensor([[3, 4, 5]]), use_cache=True)
    assert torch.float32 in seen.dtypes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_are_those_on_disk_and_rotary_tables_are_made_in_float64(tmp_path: Path, dtype: torch.dtype) -> None:
    from safetensors.torch import load_file

    folder = tiny_models.save(tmp_path / "m", tiny_models.llama(V).to(dtype), tiny_models.byte_level())
    model = load_exact(find_checkpoint(f"hf:{folder}")).model
    weights = model.state_dict()
    for name, stored in load_file(folder / "model.safetensors").items():
        assert stored.dtype == dtype
        assert torch.equal(weights[name], stored.double())
    tables = dict(model.named_buffers())
    np.testing.assert_allclose(tables["model.rotary_emb.inv_freq"], [10000 ** (-i / 4) for i in range(4)], rtol=1e-15)


def test_types_that_say_what_bytes_mean_are_left_alone() -> None:
    with InFloat64():
        assert torch.frombuffer(bytearray(b"\0\0\x80?"), dtype=torch.float32).tolist() == [1.0]
        assert torch.zeros(2, dtype=torch.float32).dtype == torch.float64
        assert torch.zeros(2).half().dtype == torch.float64


@pytest.mark.parametrize("kind", [*KINDS, "gemma2", "mixtral"])
def test_the_guard_band_is_a_thousand_times_the_largest_difference(
    coders: dict[str, PretrainedCoder], kind: str
) -> None:
    """Whole windows at once against token by token, well beyond what the probe reads."""
    model, rows = coders[kind].exact, block_codec.windows_of(some_ids(32 * 12), 32)
    at_once, by_steps = (torch.cat([logits for _, logits in read_through(model, rows, n)], 1) for n in (31, 1))
    assert float(at_once.abs().max()) > 2
    epsilon = block_codec.probe(model, some_ids(100), 32)[0].epsilon
    assert 1000 * float((at_once - by_steps).abs().max()) <= epsilon


# The guard band


def shaken(monkeypatch: pytest.MonkeyPatch, amount: float, *, single_steps_only: bool = False) -> None:
    """Every logit moves by up to `amount`."""
    plain, generator = Reader.feed, torch.Generator().manual_seed(7)

    def feed(self: Reader, ids: Any) -> torch.Tensor:
        logits = plain(self, ids)
        noise = torch.rand(logits.shape, generator=generator, dtype=torch.float64) * 2 - 1
        return logits if single_steps_only and ids.shape[1] > 1 else logits + amount * noise

    monkeypatch.setattr(Reader, "feed", feed)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_within_epsilon_decodes_thanks_to_the_list(
    coders: dict[str, PretrainedCoder], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ids, grid = coders[kind].exact, some_ids(400), Grid(4, 14)
    codec = block_codec.BlockCodec(model=model, context_tokens=32, grid=grid)
    block = codec.encode(ids)
    assert len(block.guard) > 200
    shaken(monkeypatch, 0.99 * grid.epsilon)
    assert np.array_equal(codec.decode(block), ids)
    with pytest.raises(MdlError, match=r"damaged|checksum"):
        codec.decode(dataclasses.replace(block, guard=b""))


@pytest.mark.parametrize("amount", [1e-11, 1e-9])
def test_a_model_that_computes_less_steadily_gets_a_wider_band_and_a_coarser_grid(
    models: dict[str, Path], amount: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = open_pretrained(f"hf:{models['neox']}", "cpu")
    usual = parse_archive(coder.compress(SOURCE[:3000]))
    shaken(monkeypatch, amount, single_steps_only=True)
    archive = coder.compress(SOURCE[:3000])
    grid = parse_archive(archive)
    assert 1000 * amount * 0.9 <= 2.0**-grid.epsilon_bits <= 4000 * amount
    assert grid.epsilon_bits < usual.epsilon_bits
    assert grid.step_bits < usual.step_bits
    assert len(archive) < 1.05 * len(usual.to_bytes())
    assert coder.decompress(archive) == SOURCE[:3000]


@pytest.mark.parametrize("amount", [1e-6, 1.0, math.nan])
def test_a_model_too_unsteady_is_refused_in_one_line(
    models: dict[str, Path], amount: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = open_pretrained(f"hf:{models['neox']}", "cpu")
    shaken(monkeypatch, amount, single_steps_only=True)
    with pytest.raises(MdlError, match="not stable enough to be decoded elsewhere") as error:
        coder.compress(SOURCE[:1000])
    assert "\n" not in str(error.value)


def test_a_machine_that_computes_too_differently_is_told_so(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = open_pretrained(f"hf:{models['gpt2']}", "cpu")
    archive = coder.compress(SOURCE[:2000])
    shaken(monkeypatch, 1e-2)
    with pytest.raises(MdlError, match=r"damaged|checksum"):
        coder.decompress(archive)


# The tables


@given(st.integers(0, 2**50), st.integers(1, 2**50), st.integers(1, 2**24 - 1))
def test_shares_are_exact(part: int, whole: int, total: int) -> None:
    part, whole = min(part, whole), max(part, whole)
    assert int(large_vocabulary.shares(torch.tensor(part), torch.tensor(whole), total)) == part * total // whole


@pytest.mark.parametrize("n_symbols", [2, 300, 50_304, large_vocabulary.MOST_SYMBOLS])
def test_tables_of_any_vocabulary_fill_the_coders_range(n_symbols: int) -> None:
    """And intervals are theirs, so that the encoder's stream is read with whole tables."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, n_symbols, generator=generator, dtype=torch.float64) * 5
    grid = large_vocabulary.choose_grid(1e-9, n_symbols, n_symbols)
    nearest, _, _ = large_vocabulary.place(logits, grid)
    counts, symbols = large_vocabulary.counts(nearest, grid), torch.tensor([0, n_symbols // 2, n_symbols - 1])
    left, width = large_vocabulary.intervals(nearest, symbols, grid)
    assert counts.sum(-1).tolist() == [2**24 - n_symbols] * 3
    assert counts.min() >= 0
    for i, symbol in enumerate(symbols.tolist()):
        assert int(width[i]) == int(counts[i, symbol]) + 1
        assert int(left[i]) == int(counts[i, :symbol].sum()) + symbol


def test_rounding_costs_what_is_foreseen() -> None:
    """Kullback-Leibler divergence of the rounded from the real probabilities, and the number of places listed."""
    logits = torch.randn(200, V, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    grid = Grid(2, 12)
    nearest, index, _ = large_vocabulary.place(logits, grid)
    p, rounded = logits.log_softmax(-1), (nearest * grid.step).log_softmax(-1)
    cost_bits = float((p.exp() * (p - rounded)).sum(-1).mean()) / math.log(2)
    listed_bits, rounding_bits = grid.overhead_bits(large_vocabulary.n_relevant(logits), V)
    assert cost_bits < 1.1 * rounding_bits
    listed = Guard(index.numpy(), np.ones(index.shape, bool))
    assert 8 * len(guard_list.pack(listed)) / 200 == pytest.approx(listed_bits, rel=0.25)


# The format


def test_golden_bytes_pin_the_format() -> None:
    blocks = (
        Coded(n_tokens=6, stream=b"STRM", guard=b"g", crc32=0x01020304),
        Coded(n_tokens=1, stream=b"", guard=b"", crc32=5),
    )
    archive = PretrainedArchive(
        step_bits=5,
        epsilon_bits=33,
        windows_per_block=2,
        context_tokens=3,
        n_vocabulary=300,
        n_bytes=9,
        n_tokens=7,
        model_sha256="ab" * 32,
        fingerprint="cd" * 4,
        content_sha256=b"c" * 32,
        about="m, x",
        escape=b"esc",
        blocks=blocks,
    )
    file = archive.to_bytes()
    assert file[:12] == b"\x93MDH\r\n\x1a\n\x01\x05\x21\x02"
    assert file[12:44].hex() == "030000002c010000090000000000000007000000000000000300000000000000"
    assert file[44:112] == b"\xab" * 32 + b"\xcd" * 4 + b"c" * 32
    assert file[112:117] == b"\x04m, x"
    assert file[117:141].hex() == "040000000100000004030201" + "000000000000000005000000"
    assert file[141:-32] == b"escSTRMg"
    assert file[-32:] == hashlib.sha256(file[:-32]).digest()
    assert parse_archive(file) == archive


def test_other_weights_are_named_by_their_hash_and_another_tokenizer_by_its_fingerprint(
    models: dict[str, Path], coders: dict[str, PretrainedCoder], tmp_path: Path
) -> None:
    archive = coders["neox"].compress(b"some data")
    with pytest.raises(MdlError, match=coders["neox"].checkpoint.sha256) as error:
        coders["gpt2"].decompress(archive)
    assert coders["gpt2"].checkpoint.sha256 in str(error.value)
    other = make(tmp_path, "neox")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"rotary_pct": 0.5}))
    with pytest.raises(MdlError, match="restore them"):
        open_pretrained(f"hf:{other}", "cpu").decompress(archive)


def mutated(archive: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut, put in or moved; half of them with a right hash again, as a forger would."""
    damaged, at = bytearray(archive), int(rng.integers(len(archive)))
    match int(rng.integers(5)):
        case 0 | 1:  # the header more often than the rest
            at = at if rng.integers(2) else int(rng.integers(130))
            damaged[at] ^= int(rng.integers(1, 256))
        case 2:
            del damaged[at : at + int(rng.integers(1, 200))]
        case 3:
            damaged[at:at] = rng.bytes(int(rng.integers(1, 50)))
        case 4:
            damaged[at : at + 8] = rng.bytes(8)
    if rng.integers(2) and len(damaged) > 32:
        damaged[-32:] = hashlib.sha256(damaged[:-32]).digest()
    return bytes(damaged)


def test_damaged_archives_are_one_line_or_the_exact_bytes(coders: dict[str, PretrainedCoder]) -> None:
    coder, rng, outcomes = coders["llama"], np.random.default_rng(1), set[str]()
    for content in (TEXT.encode()[:250] + b"\xff\xfe", b""):
        archive = coder.compress(content)
        for _ in range(100):
            outcomes.add(outcome(coder, mutated(archive, rng), content))
    assert not any("\n" in line for line in outcomes)
    assert len(outcomes) > 6, outcomes


def outcome(coder: PretrainedCoder, damaged: bytes, content: bytes) -> str:
    try:
        assert coder.decompress(damaged) == content
    except MdlError as error:
        return str(error)
    return "the exact bytes"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"step_bits": 40}, "its grid is none"),
        ({"n_vocabulary": 299}, "its vocabulary is not the model's"),
        ({"context_tokens": 33}, "must be 2 to 32 tokens"),
        ({"context_tokens": 2**31}, "out of range"),
        ({"windows_per_block": 0}, "out of range"),
        ({"n_bytes": 2**60}, "do not fit together"),
        ({"n_tokens": 2**60, "n_bytes": 2**61}, "its table does not fit"),
        ({"escape": b""}, "do not fit together"),
        ({"about": "two\nlines"}, "not plain text"),
        ({"content_sha256": b"\0" * 32}, "does not have the SHA-256"),
    ],
)
def test_forged_fields_are_named(coders: dict[str, PretrainedCoder], change: dict[str, Any], match: str) -> None:
    archive = parse_archive(coders["llama"].compress(b"some data"))
    with pytest.raises(MdlError, match=match) as error:
        coders["llama"].decompress(dataclasses.replace(archive, **change).to_bytes())
    assert "\n" not in str(error.value)


# The command line


def test_the_command_line_writes_and_reads_them(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Coded in a process of its own, decoded in this."""
    (tmp_path / "book.txt").write_bytes(SOURCE[:3000] + NOISE[:50])
    done = mdl("compress", "book.txt", "-o", "book.mdl", "--model", f"hf:{models['llama']}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "in float64" in done.stdout

    def run(*arguments: str | Path) -> tuple[int, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["mdl", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    file, out = tmp_path / "book.mdl", tmp_path / "again.txt"
    status, text = run("inspect", file)
    assert status == 0
    assert "3,050 bytes" in text
    assert "guard lists" in text
    status, text = run("decompress", file, "-o", out)
    assert (status, out.exists()) == (2, False)
    assert "give it with --model hf:FOLDER" in text
    status, text = run("decompress", file, "-o", out, "--model", f"hf:{models['gpt2']}")
    assert (status, out.exists()) == (2, False)
    assert "was made with the pretrained model" in text
    assert run("decompress", file, "-o", out, "--model", f"hf:{models['llama']}", "--device", "cpu")[0] == 0
    assert out.read_bytes() == (tmp_path / "book.txt").read_bytes()
    status, text = run("compress", tmp_path / "book.txt", "-o", out, "--model", f"hf:{models['gpt2']}", "--embed-model")
    assert status == 2
    assert "--embed-model is for" in text
