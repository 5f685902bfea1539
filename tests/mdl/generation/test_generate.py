"""Generation by what compressors and models make of the next byte: true lengths, the model's own probabilities."""

from __future__ import annotations

import gzip
import io
import json
import math
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from analysis.errors import AnalysisError
from analysis.plots import draw_continuations
from analysis.plots.continuations import read_continuations
from mdl import compressors
from mdl.cli.app import app
from mdl.cli.generate import Wanted, samples
from mdl.compressors import load_model
from mdl.data import CorpusSpec, open_corpus
from mdl.errors import MdlError
from mdl.generation import Sampling, open_coder, open_prompt, sampling
from mdl.generation import pretrained as generate_pretrained
from mdl.generation.continuation import by_length, by_model, gzip_lengths
from mdl.generation.sampling import sampler
from mdl.models import Shape, StackedTransformer, window_bits
from mdl.models.weights_file import save_weights
from tests import tiny_models
from tests.conftest import markov_text

SHAPE = Shape(8, 2, 1, context_tokens=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, SHAPE, StackedTransformer(SHAPE, [3]).member(0))
    return path


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = tiny_models.byte_level()
    model = tiny_models.gpt2(tokenizer.get_vocab_size(), context=16)
    return tiny_models.save(tmp_path_factory.mktemp("pretrained"), model, tokenizer, "<|endoftext|>")


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=700) | st.integers(0, 5000).map(lambda n: markov_text(n + 1)))
def test_a_copied_gzip_gives_the_sizes_of_whole_files(context: bytes) -> None:
    chosen = range(0, 256, 15)
    sizes = gzip_lengths(context)
    assert [sizes[b] for b in chosen] == [len(gzip.compress(context + bytes([b]), 9, mtime=0)) for b in chosen]
    assert [sizes[b] for b in chosen] == [len(compressors.get("gzip").compress(context + bytes([b]))) for b in chosen]


@pytest.mark.parametrize("name", ["gzip", "bzip2", "zstd"])
def test_a_byte_is_as_likely_as_its_file_is_short(name: str) -> None:
    """p(b | x) / p(a | x) = 2^(len(xa) − len(xb)), in bits, over the context alone."""
    content = markov_text(400)
    nats = by_length(name, context_bytes=201)(content)
    coder = compressors.get(name, 201)
    sizes = np.array([len(coder.compress(content[-200:] + bytes([b]))) for b in range(256)])
    np.testing.assert_allclose((nats - nats[0]) / math.log(2), 8.0 * (sizes[0] - sizes))
    assert len(set(sizes.tolist())) > 1


def test_what_a_coder_has_seen_is_likelier() -> None:
    """After a word seen many times gzip goes on with it: the file grows by no byte."""
    words = b"abcdefghijklmnopqrstuvwxyz0123456789" * 8
    nats = by_length("gzip")(words + b"abcdefghijkl")
    best = np.flatnonzero(nats == nats.max())
    assert ord("m") in best
    assert len(best) < 256


def test_a_model_predicts_with_the_probabilities_that_it_codes_with(weights: Path) -> None:
    exact = load_model(weights, torch.device("cpu"))
    content = markov_text(40)
    predict = by_model(exact)
    told = []
    for i in range(SHAPE.context_tokens):
        nats = predict(content[:i])
        told.append(-(nats[content[i]] - np.logaddexp.reduce(nats)) / math.log(2))
    windows = np.array([list(content[: SHAPE.context_tokens])], np.uint8)
    bits = window_bits(exact.model.float(), windows)[0, 0].numpy()
    np.testing.assert_allclose(told, bits, rtol=2e-5)


def test_a_full_window_goes_on_from_its_last_half(weights: Path) -> None:
    exact = load_model(weights, torch.device("cpu"))
    content = markov_text(40)
    grown = by_model(exact)
    for i in range(SHAPE.context_tokens + 1):
        nats = grown(content[:i])
    np.testing.assert_allclose(nats, by_model(exact)(content[8:16]), rtol=1e-9)
    np.testing.assert_allclose(by_model(exact)(content), by_model(exact)(content[-8:]), rtol=1e-9)


def test_draws_have_the_distribution_of_the_temperature() -> None:
    p = np.array([0.5, 0.3, 0.15, 0.05])
    for temperature in (1.0, 0.5, 2.0):
        how = Sampling(temperature)
        generator = how.generator()
        found = Counter(how.draw(np.log(p), generator) for _ in range(4000))
        wanted = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
        for i, share in enumerate(wanted):
            assert abs(found[i] / 4000 - share) < 5 * math.sqrt(share * (1 - share) / 4000)
    assert {Sampling(0).draw(np.log(p), generator) for _ in range(9)} == {0}


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.1, {0}), (0.5, {0}), (0.6, {0, 1}), (0.9, {0, 1, 2}), (1, {0, 1, 2, 3})]
)
def test_top_p_keeps_the_likeliest_that_reach_it(top_p: float, kept: set[int]) -> None:
    p = np.array([0.5, 0.3, 0.15, 0.05])
    how = Sampling(1.0, top_p)
    generator = how.generator()
    assert {how.draw(np.log(p), generator) for _ in range(600)} == kept


def test_a_certain_symbol_is_drawn_for_certain() -> None:
    nats = np.full(256, -np.inf)
    nats[7] = 0.0
    how = Sampling()
    generator = how.generator()
    assert {how.draw(nats, generator) for _ in range(50)} == {7}


@pytest.mark.parametrize("coder", ["gzip", "model", "hf"])
def test_a_seed_gives_the_same_bytes_and_another_seed_others(coder: str, weights: Path, pretrained: Path) -> None:
    name = {"gzip": "gzip", "model": str(weights), "hf": f"hf:{pretrained}"}[coder]
    prompt = tiny_models.TEXT.encode()[:60]
    made = [open_coder(name, Sampling(seed=seed), device="cpu")(prompt, 12) for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]
    assert {len(m) for m in made} == {12}


def test_a_longer_continuation_begins_with_the_shorter(weights: Path) -> None:
    go_on = open_coder(str(weights), Sampling(), device="cpu")
    assert go_on(b"ab", 50)[:20] == go_on(b"ab", 20)
    assert len(go_on(b"", 3)) == 3


def test_a_sampler_feeds_back_what_it_drew() -> None:
    """Each call sees the prompt and all bytes so far."""
    seen = []

    def successor(content: bytes) -> sampling.Nats:
        seen.append(content)
        nats = np.full(256, -np.inf)
        nats[(content[-1] + 1) % 256] = 0.0
        return nats

    assert sampler(successor, Sampling())(b"\xfe", 4) == b"\xff\x00\x01\x02"
    assert seen == [b"\xfe", b"\xfe\xff", b"\xfe\xff\x00", b"\xfe\xff\x00\x01"]


def test_a_pretrained_model_steps_to_what_it_gives_in_one_pass(pretrained: Path) -> None:
    """With its cache, also after its context was full."""
    from mdl.pretrained import find_checkpoint, load_pretrained

    model = load_pretrained(find_checkpoint(f"hf:{pretrained}"))
    ids = [5, 9, 33, 70, 4, 8, 15, 16, 23, 42, 5, 9, 33, 70, 4, 8, 15, 16, 23, 42]
    steps = generate_pretrained._Steps(model, 16)
    for n in range(1, len(ids) + 1):
        nats = steps.nats(ids[:n])
    first = 15 - 8 + 1  # with the start token 16 are full at 15 tokens; then the last 8 of 16 stay
    with torch.inference_mode():
        whole = model.model(torch.tensor([[model.start, *ids[first:]]])).logits[0, -1].double().numpy()
    np.testing.assert_allclose(nats, whole, atol=1e-4)


def test_an_image_prompt_is_half_a_held_out_patch_and_makes_a_picture(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(4):
        pixels = (np.add.outer(np.arange(64) * 3, np.arange(128)) * (i + 1) % 256).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    out = tmp_path / "out.bin"
    options = [
        "--coder",
        "gzip",
        "--prompt",
        f"image:{folder}",
        "--length",
        "70",
        "--context-bytes",
        "256",
        "-o",
        str(out),
    ]
    shown = CliRunner().invoke(app, ["generate", *options])
    assert shown.exit_code == 0, shown.output
    prompt = open_prompt(f"image:{folder}")
    heldout = open_corpus(CorpusSpec(f"image:{folder}")).heldout.read(0, 2048).tobytes()
    assert prompt.content + prompt.truth == heldout
    assert len(prompt.content) == 1024
    pixels = np.asarray(Image.open(tmp_path / "out.bin.png"))
    assert pixels.shape == (18, 64)
    assert pixels.tobytes() == prompt.content + out.read_bytes() + bytes(58)
    assert len(out.read_bytes()) == 70


def test_a_speech_prompt_makes_a_wav(tmp_path: Path) -> None:
    wave_u8 = (128 + 60 * np.sin(np.arange(40_000) / 9)).astype(np.uint8)
    with wave.open(str(tmp_path / "tone.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(16_000)
        sound.writeframes(wave_u8.tobytes())
    spec = f"audio:{tmp_path / 'tone.wav'}"
    out = tmp_path / "more"
    options = ["--coder", "gzip", "--prompt", spec, "--prompt-bytes", "50", "--length", "9", "-o", str(out)]
    assert CliRunner().invoke(app, ["generate", *options]).exit_code == 0
    with wave.open(str(tmp_path / "more.wav")) as sound:
        assert (sound.getframerate(), sound.getsampwidth(), sound.getnframes()) == (16_000, 1, 59)
        assert sound.readframes(59) == open_prompt(spec, 0, 50).content + out.read_bytes()


def test_one_command_makes_the_figure_and_what_it_shows(weights: Path, text_file: Path, tmp_path: Path) -> None:
    """The .json holds every byte that is drawn; drawing it again gives the same file."""
    figure = tmp_path / "figure.pdf"
    prompts = ["--prompt", f"file:{text_file}", "--prompt", str(text_file), "--prompt-bytes", "100", "--length", "20"]
    coders = ["--coder", "gzip", "--coder", f"{weights},gzip", "--device", "cpu"]
    shown = CliRunner().invoke(app, ["generate", *coders, *prompts, "--figure", str(figure)])
    assert shown.exit_code == 0, shown.output
    record = figure.with_suffix(".json")
    drawn = read_continuations(record)
    assert [s["coder"] for s in drawn] == ["gzip", str(weights), "gzip", "gzip"]
    assert all(len(s["content"]) == len(s["truth"]) == 20 and len(s["given"]) == 100 for s in drawn)
    alone = open_coder("gzip", Sampling())(drawn[0]["given"], 20)
    assert drawn[0]["content"] == alone
    assert json.loads(record.read_bytes())["sampling"] == {"temperature": 1.0, "top_p": 1.0, "seed": 0}
    first = figure.read_bytes()
    draw_continuations(record, figure)
    assert figure.read_bytes() == first
    assert first[:4] == b"%PDF"
    assert len(first) < 300_000


def test_a_figure_of_all_kinds_of_data_is_a_picture(tmp_path: Path) -> None:
    """Also where nothing follows, and where rows have unlike numbers of coders."""
    import base64

    def text(content: bytes) -> str:
        return base64.b64encode(content).decode()

    kinds = [
        ("image", bytes(range(256)) * 4),
        ("audio", bytes(range(256)) * 4),
        ("text", "naïve $x$_\n".encode() * 50),
        ("bytes", bytes(range(200))),
    ]
    made = [
        {
            "coder": coder,
            "prompt": kind,
            "modality": kind,
            "prompt_base64": text(content),
            "content_base64": text(content),
            "truth_base64": text(b"" if kind == "bytes" else content),
        }
        for kind, content in kinds
        for coder in ("gzip", "runs/a/16x2-1MB-s0-12345678")[: 1 + (kind == "text")]
    ]
    record = tmp_path / "x.json"
    record.write_text(json.dumps({"kind": "continuations", "schema_version": 1, "samples": made}))
    draw_continuations(record, tmp_path / "x.png")
    with Image.open(io.BytesIO((tmp_path / "x.png").read_bytes())) as image:
        assert image.width > 600
    record.write_text(json.dumps({"kind": "continuations", "schema_version": 1, "samples": [{"coder": "gzip"}]}))
    with pytest.raises(AnalysisError, match="holds no continuations"):
        read_continuations(record)


def test_text_alone_is_printed(text_file: Path) -> None:
    shown = CliRunner().invoke(app, ["generate", "--coder", "gzip", "--prompt", str(text_file), "--length", "3"])
    assert shown.exit_code == 0, shown.output
    assert "3 bytes by gzip" in shown.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coder", "gzpi"], "unknown coder 'gzpi'; did you mean 'gzip'"),
        (["--coder", "runs/none/here"], "unknown coder 'runs/none/here'"),
        (["--temperature", "-1"], "--temperature must be at least 0"),
        (["--top-p", "0"], "--top-p must be above 0"),
        (["--length", "0"], "--length must be at least 1"),
        (["--context-bytes", "0"], "--context-bytes must be at least 1"),
        (["--prompt", "no-file.txt"], "no prompt at no-file.txt"),
        (["--prompt", "file:{file}", "--chunk", "99"], "--chunk must be 0 to 3"),
        (["--prompt", "file:{file}", "--prompt-bytes", "2048"], "--prompt-bytes must be less than the chunk"),
        (["--coder", "gzip", "--coder", "zstd"], "2 continuations go into one --figure"),
        (["--prompt", "image:photos"], "image:photos is not text that can be printed; name the output with -o"),
        (["--figure", "out.svg"], "give --figure a file ending in .pdf, .png"),
        (["--coder", "gzip,zstd", "--figure", "x.pdf"], "--coder gzip,zstd: 2 given for 1 prompts"),
    ],
)
def test_what_a_user_can_mend_is_one_line(options: list[str], message: str, text_file: Path) -> None:
    words = [word.format(file=text_file) for word in options]
    for name, usual in (("--coder", "gzip"), ("--prompt", str(text_file))):
        words += [] if name in words else [name, usual]
    shown = CliRunner().invoke(app, ["generate", *words])
    assert isinstance(shown.exception, MdlError)
    assert message in str(shown.exception)
    assert "\n" not in str(shown.exception)


@pytest.mark.parametrize("options", [["-o", "{file}/out"], ["--figure", "{file}/out.pdf"]])
def test_an_output_that_cannot_be_is_refused_before_the_work(
    options: list[str], text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdl.cli.generate.samples", lambda *_: pytest.fail("work began"))
    words = [word.format(file=text_file) for word in options]
    shown = CliRunner().invoke(app, ["generate", "--coder", "gzip", "--prompt", str(text_file), *words])
    assert isinstance(shown.exception, NotADirectoryError)


def test_nothing_is_generated_before_all_names_are_known(text_file: Path) -> None:
    wanted = Wanted(["gzip", "nonsense"], [str(text_file)], n_bytes=5)
    with pytest.raises(MdlError, match="unknown coder 'nonsense'"):
        next(samples(wanted, Sampling()))
