"""Pictures and sound become the paper's bytes whatever file they come in, and are split by file."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mdl.data import CorpusSpec, open_corpus
from mdl.data.sources.audio import whole_chunks
from mdl.data.sources.base import Source
from mdl.data.sources.images import patches, read_grey
from mdl.data.sources.registry import open_source
from mdl.errors import MdlError
from mdl.storage import cache_folder

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (96, 192)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (64, 128, 3)).astype(np.uint8)
MEAN = (COLOUR.astype(int).sum(axis=2) // 3).astype(np.uint8)
U8 = RANDOM.integers(0, 256, 5000).astype(np.uint8)


def open_(source: str) -> Source:
    return open_source(source, cache_folder())


def bytes_of(source: str) -> bytes:
    return open_(source).path.read_bytes()


def refusal(source: str) -> str:
    """The one line that says why `source` cannot be had; nothing half made is left."""
    with pytest.raises(MdlError) as caught:
        open_(source)
    assert "\n" not in str(caught.value)
    assert not list(cache_folder().glob("*.tmp"))
    return str(caught.value)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@given(st.integers(0, 100), st.integers(0, 200))
def test_patches_lie_in_rows_and_the_rest_at_the_edges_is_dropped(height: int, width: int) -> None:
    rows, columns = np.indices((height, width))
    grey = (rows * 7 + columns * 3 + rows * columns).astype(np.uint8)
    expected = b"".join(
        grey[i : i + 32, j : j + 64].tobytes() for i in range(0, height - 31, 32) for j in range(0, width - 63, 64)
    )
    assert patches(grey) == expected


def test_a_folder_is_its_pictures_in_order_a_document_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "deep").mkdir()
    saved(tmp_path / "b.png", Image.fromarray(GREY))
    saved(tmp_path / "deep" / "A.BMP", Image.fromarray(COLOUR))
    saved(tmp_path / "small.png", Image.fromarray(GREY[:31]))
    (tmp_path / "notes.txt").write_text("not a picture")
    with caplog.at_level(logging.WARNING):
        found = open_(f"image:{tmp_path}")
    assert "left out 2 of 4 files: 1 of other kinds by their names, 1 smaller than a patch of 32 × 64" in caplog.text
    assert found.path.read_bytes() == patches(GREY) + patches(MEAN)
    assert found.starts.tolist() == [0, 18432, 26624]
    assert (found.modality, found.unit_bytes) == ("image", 2048)


def test_grey_is_the_mean_of_the_channels(tmp_path: Path) -> None:
    assert np.array_equal(read_grey(saved(tmp_path / "a.png", Image.fromarray(COLOUR))), MEAN)
    assert np.array_equal(read_grey(saved(tmp_path / "b.png", Image.fromarray(GREY))), GREY)


def test_sixteen_bits_become_their_upper_eight(tmp_path: Path) -> None:
    wide = RANDOM.integers(0, 1 << 16, (40, 70)).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        assert np.array_equal(read_grey(saved(tmp_path / name, Image.fromarray(wide))), wide >> 8)


def test_a_palette_and_black_and_white_become_what_they_show(tmp_path: Path) -> None:
    levels = Image.fromarray(GREY // 64 * 64)
    palette = saved(tmp_path / "p.png", levels.convert("P"))
    with Image.open(palette) as image:
        assert image.mode == "P"
    assert np.array_equal(read_grey(palette), GREY // 64 * 64)
    bits = Image.fromarray((GREY > 127).astype(np.uint8) * 255).convert("1")
    assert np.array_equal(read_grey(saved(tmp_path / "1.png", bits)), (GREY > 127) * np.uint8(255))


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    alpha = np.zeros((64, 128), np.uint8)
    alpha[:, :64] = 255
    picture = Image.fromarray(np.dstack([COLOUR, alpha]))
    grey = read_grey(saved(tmp_path / "a.png", picture))
    assert np.array_equal(grey[:, :64], MEAN[:, :64])
    assert (grey[:, 64:] == 255).all()


def test_a_photograph_stands_as_its_exif_note_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it
    path = saved(tmp_path / "a.png", Image.fromarray(GREY), exif=exif)
    assert np.array_equal(read_grey(path), np.rot90(GREY, -1))


def test_inks_become_colours(tmp_path: Path) -> None:
    """A CMYK JPEG of an even grey is that grey, about."""
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (64, 32), (100, 100, 100)).convert("CMYK"))
    with Image.open(path) as image:
        assert image.mode == "CMYK"
    assert np.abs(read_grey(path).astype(int) - 100).max() <= 2


def test_of_several_frames_the_first_counts(tmp_path: Path) -> None:
    frames = [Image.new("L", (64, 32), value) for value in (10, 200)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (read_grey(path) == 10).all()


def test_a_scale_makes_each_pixel_the_mean_of_those_it_covers_about(tmp_path: Path) -> None:
    saved(tmp_path / "a,b.png", Image.fromarray(GREY))
    half = bytes_of(f"image:{tmp_path},scale=0.5")
    means = GREY.reshape(48, 2, 96, 2).mean(axis=(1, 3))
    got = np.frombuffer(half, np.uint8).reshape(32, 64).astype(float)
    assert np.abs(got - means[:32, :64]).max() <= 1  # the library rounds twice, across and down
    assert bytes_of(f"image:{tmp_path}/a,b.png") == bytes_of(f"image:{tmp_path},scale=1") == patches(GREY)


def test_a_picture_that_cannot_be_read_is_one_line_naming_it(tmp_path: Path) -> None:
    saved(tmp_path / "a.png", Image.fromarray(GREY))
    saved(tmp_path / "b.jpg", Image.fromarray(COLOUR))
    bad = tmp_path / "b.jpg"
    whole = bad.read_bytes()
    for damage in (b"not a picture", whole[: len(whole) // 2], whole[:200]):
        bad.write_bytes(damage)
        assert refusal(f"image:{tmp_path}").startswith(f"cannot read image {bad}: ")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("image:nowhere", "no file at nowhere"),
        ("image:{}", "none of the 0 files in"),
        ("image:{},scale=0", "scale must be above 0 and at most 1, got '0'"),
        ("image:{},scale=two", "scale must be above 0 and at most 1, got 'two'"),
        ("image:{},scal=0.5", "unknown setting 'scal'; did you mean 'scale'?"),
        ("audio:nowhere.wav", "no file at nowhere.wav"),
        ("audio:{},rate=8000", "unknown setting 'rate'"),
        ("imag:photos", "unknown corpus 'imag:photos'; did you mean 'image'?"),
    ],
)
def test_what_cannot_be_had_is_one_line(source: str, says: str, tmp_path: Path) -> None:
    assert says in refusal(source.format(tmp_path))


def test_pictures_that_are_all_too_small_are_one_line(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(GREY[:31]))
    assert refusal(f"image:{path}") == f"no 2048-byte chunk of image in {path}: all of it is smaller"


def test_the_samples_are_photographs_from_the_extra() -> None:
    """Some 6 MB, without a network, and at half size a quarter of that."""
    found = open_("image:samples")
    sizes = np.diff(found.starts, append=found.path.stat().st_size)
    assert len(sizes) >= 15
    assert sizes.min() >= 2048
    assert 5_000_000 < sizes.sum() < 10_000_000
    assert 0.2 < len(bytes_of("image:samples,scale=0.5")) / sizes.sum() < 0.26


def test_a_picture_is_made_once_and_anew_when_it_changes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(GREY))
    seen: list[tuple[str, int, int | None]] = []
    for _ in range(2):
        open_source(f"image:{path}", cache_folder(), lambda *told: seen.append(told))
    assert seen == [("image a.png (1 of 1)", path.stat().st_size, path.stat().st_size)]
    saved(path, Image.fromarray(MEAN))
    assert bytes_of(f"image:{path}") == patches(MEAN)


def test_whole_files_are_held_out_and_no_block_cuts_a_patch(tmp_path: Path) -> None:
    """Every 2048 bytes of both parts are a patch of one picture; held-out pictures have none among the others."""
    pictures = {i: np.full((64, 128), i, np.uint8) for i in range(20)}
    for i, picture in pictures.items():
        saved(tmp_path / f"{i:02}.png", Image.fromarray(picture))
    corpus = open_corpus(CorpusSpec(f"image:{tmp_path}", block_bytes=2048, heldout_bytes=16_384))
    train = corpus.train.read(0, len(corpus.train)).reshape(-1, 2048)
    heldout = corpus.heldout.read(0, len(corpus.heldout)).reshape(-1, 2048)
    for part in (train, heldout):
        assert (part == part[:, :1]).all()
    assert len(heldout) == 8
    assert not set(heldout[:, 0]) & set(train[:, 0])
    assert corpus.info.modality == "image"


def test_of_one_picture_whole_patches_are_held_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(GREY))
    for asked, held in ((None, 4096), (1, 2048), (5000, 6144), (16_384, 16_384)):
        corpus = open_corpus(CorpusSpec(f"image:{path}", heldout_bytes=asked))
        assert (len(corpus.heldout), len(corpus.train)) == (held, 18_432 - held)
    with pytest.raises(MdlError, match="take 1 to 16,384"):
        open_corpus(CorpusSpec(f"image:{path}", heldout_bytes=16_385))


def test_a_block_that_would_cut_patches_is_one_line(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(GREY))
    with pytest.raises(
        MdlError, match=r"block_bytes 3,000 would cut the 2048-byte units of .*; take a multiple of 2048"
    ):
        open_corpus(CorpusSpec(f"image:{path}", block_bytes=3000))
    one = saved(tmp_path / "one.png", Image.fromarray(GREY[:32, :64]))
    with pytest.raises(MdlError, match="has one 2048-byte unit; it takes 1 to train on and 1 to hold out"):
        open_corpus(CorpusSpec(f"image:{one}"))


def test_empty_and_small_files_are_left_out_and_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the cache has what was made before."""
    for i in range(300):
        saved(tmp_path / f"{i}.png", Image.fromarray(GREY[:31, :70]))
    for i in range(10):
        saved(tmp_path / f"large{i}.png", Image.fromarray(GREY))
    for _ in range(2):
        caplog.clear()
        assert bytes_of(f"image:{tmp_path}") == patches(GREY) * 10
        (record,) = caplog.records
        assert record.getMessage() == (f"{tmp_path}: left out 300 of 310 files: smaller than a patch of 32 × 64 pixels")
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").touch()
    caplog.clear()
    open_(f"image:{tmp_path}")
    (record,) = caplog.records
    assert ": left out 302 of 312 files: 1 of other kinds by their names, 1 empty, 300 smaller than" in (
        record.getMessage()
    )


def test_an_empty_recording_and_a_short_one_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, n in (("a.wav", 5000), ("short.wav", 2047)):
        soundfile.write(tmp_path / name, np.zeros(n, np.int16), 16_000)
    (tmp_path / "empty.wav").touch()
    assert len(bytes_of(f"audio:{tmp_path}")) == 4096
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "left out 2 of 3 files: 1 empty, 1 smaller than a chunk of 2048 samples at 16 kHz"
    )


@pytest.mark.parametrize(("kind", "name"), [("image", "a.png"), ("audio", "a.wav")])
def test_an_empty_file_that_is_named_is_an_error(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert refusal(f"{kind}:{tmp_path}/{name}") == f"cannot read {kind} {tmp_path}/{name}: it is empty"
    assert "of 1 files with such a name none holds a byte" in refusal(f"{kind}:{tmp_path}")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(f"{kind}:{tmp_path}/pipe").endswith("save its bytes to a file first")


def test_each_picture_and_recording_counts_once(tmp_path: Path) -> None:
    for kind, make in (
        ("image", lambda path: saved(path.with_suffix(".png"), Image.fromarray(GREY))),
        ("audio", lambda path: (soundfile.write(path.with_suffix(".wav"), np.zeros(5000), 16_000), None)[1]),
    ):
        folder = tmp_path / kind
        (folder / "v1").mkdir(parents=True)
        make(folder / "v1" / "a")
        (file,) = (folder / "v1").iterdir()
        once = len(bytes_of(f"{kind}:{folder}"))
        (folder / "latest").symlink_to("v1")
        (folder / "v1" / "loop").symlink_to(".")
        (folder / f"b{file.suffix}").symlink_to(file)
        os.link(file, folder / f"c{file.suffix}")
        found = open_(f"{kind}:{folder}")
        assert (found.starts.tolist(), found.path.stat().st_size) == ([0], once)


def wav(path: Path, rate_hz: int, n_channels: int, n_samples: int, claimed_bytes: int | None = None) -> Path:
    """A WAV of 16-bit noise whose header claims what it likes."""
    data = RANDOM.bytes(2 * n_samples)
    form = struct.pack("<HHIIHH", 1, n_channels, rate_hz, rate_hz * 2, 2 * n_channels, 16)
    size = len(data) if claimed_bytes is None else claimed_bytes
    head = b"RIFF" + struct.pack("<I", size + 36 & 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", 16) + form
    path.write_bytes(head + b"data" + struct.pack("<I", size) + data)
    return path


def claiming_png(path: Path, columns: int, rows: int) -> Path:
    """A PNG with a header and not one pixel: what is refused by it is refused before decoding."""
    saved(path, Image.fromarray(GREY))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", columns, rows)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data[:33] + b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    return path


def test_a_picture_that_claims_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for columns, rows in ((13_300, 13_300), (1 << 30, 1 << 30), (160_000_001, 1)):
        path = claiming_png(tmp_path / "huge.png", columns, rows)
        assert refusal(f"image:{path}").startswith(f"cannot read image {path}: ")
        assert "is more than 160 megapixels; cut it into several files or make it smaller" in refusal(f"image:{path}")
    assert "megapixels" not in refusal(f"image:{claiming_png(tmp_path / 'camera.png', 14_204, 10_652)}")


@pytest.mark.parametrize("rate_hz", [1, 999, 1_000_001])
def test_a_rate_that_no_recording_has_is_refused(rate_hz: int, tmp_path: Path) -> None:
    """One second of sound at 1 Hz would become 16,000 times as much."""
    path = wav(tmp_path / "a.wav", rate_hz, 1, 5000)
    says = f"cannot read audio {path}: it claims a rate of {rate_hz:,} Hz; those from 1,000 to 1,000,000 Hz are read"
    assert refusal(f"audio:{path}") == says


def test_blocks_shrink_as_channels_grow_and_claims_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand channels, and 2^31 samples that a header claims, are read in blocks of 16 MB at most."""
    sizes = []
    read = soundfile.SoundFile.read

    def spy(file: soundfile.SoundFile, *args: Any, **kwargs: Any) -> Any:
        block = read(file, *args, **kwargs)
        sizes.append(block.nbytes)
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    assert len(heard(wav(tmp_path / "many.wav", 16_000, 1024, 1024 * 5000))) == 4096
    assert 0 < max(sizes) <= 1 << 24
    sizes.clear()
    assert len(heard(wav(tmp_path / "long.wav", 16_000, 1, 5000, claimed_bytes=0xFFFF_FFF0))) == 4096
    assert max(sizes) == 5000 * 8


def test_a_form_that_cannot_be_wound_back_is_read(tmp_path: Path) -> None:
    """GSM as telephones record it."""
    tone = 0.5 * np.sin(np.arange(8192) / 9)
    soundfile.write(tmp_path / "a.wav", tone, 16_000, subtype="GSM610")
    assert np.abs(heard(tmp_path / "a.wav")[1000:7000].astype(float) - 128 - 128 * tone[1000:7000]).mean() < 8


def heard(path: Path) -> np.ndarray:
    return np.frombuffer(bytes_of(f"audio:{path}"), np.uint8)


def test_sixteen_bit_sound_becomes_its_upper_eight(tmp_path: Path) -> None:
    """(s16 >> 8) + 128, in whole chunks, whatever lossless file it lies in; 24 bits likewise."""
    s16 = RANDOM.integers(-(1 << 15), 1 << 15, 5000).astype(np.int16)
    for name, subtype in (("a.wav", "PCM_16"), ("a.flac", "PCM_16"), ("a.aiff", "PCM_16"), ("b.wav", "PCM_24")):
        soundfile.write(tmp_path / name, s16, 16_000, subtype=subtype)
        assert np.array_equal(heard(tmp_path / name), ((s16 >> 8) + 128)[:4096])


def test_eight_bit_sound_stays_as_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", (U8.astype(np.int16) - 128) << 8, 16_000, subtype="PCM_U8")
    assert np.array_equal(heard(tmp_path / "a.wav"), U8[:4096])


def test_channels_are_averaged(tmp_path: Path) -> None:
    s16 = RANDOM.integers(-(1 << 15), 1 << 15, (2048, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", s16, 16_000)
    assert np.array_equal(heard(tmp_path / "a.wav"), (s16.astype(int).sum(axis=1) >> 9) + 128)


def test_floating_point_is_clipped_at_full_scale(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.repeat([2.0, -2.0, 0.0, 0.5], 512), 16_000, subtype="FLOAT")
    assert heard(tmp_path / "a.wav")[::512].tolist() == [255, 0, 128, 192]
    soundfile.write(tmp_path / "n.wav", np.full(4096, np.nan), 16_000, subtype="FLOAT")
    assert refusal(f"audio:{tmp_path}/n.wav").endswith("n.wav: it holds samples that are not numbers")


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 48_000])
def test_another_rate_is_resampled(rate_hz: int, tmp_path: Path) -> None:
    """A tone of 440 Hz is one still, as loud and as long, across the blocks in which it is read."""
    n = rate_hz * 8
    soundfile.write(
        tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * np.arange(n) / rate_hz), rate_hz, subtype="PCM_24"
    )
    sound = heard(tmp_path / "a.wav").astype(float) - 127.5
    assert len(sound) == 16_000 * 8 // 2048 * 2048
    expected = 64 * np.sin(2 * np.pi * 440 * np.arange(len(sound)) / 16_000)
    assert np.abs(sound - expected)[200:-200].max() < 1.5


@given(st.lists(st.binary(max_size=5000), max_size=6))
def test_only_whole_chunks_are_kept(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert b"".join(whole_chunks(iter(parts))) == data[: len(data) // 2048 * 2048]


def test_a_folder_of_recordings_is_split_by_file(tmp_path: Path) -> None:
    for i in range(10):
        soundfile.write(tmp_path / f"{i}.wav", np.full(5000, i << 8, np.int16), 16_000)
    corpus = open_corpus(CorpusSpec(f"audio:{tmp_path}", heldout_bytes=4096))
    heldout = set(corpus.heldout.read(0, len(corpus.heldout)).tolist())
    train = set(corpus.train.read(0, len(corpus.train)).tolist())
    assert len(corpus.heldout) == 4096
    assert heldout | train == set(range(128, 138))
    assert not heldout & train
    assert corpus.info.modality == "audio"


def test_sound_that_cannot_be_read_is_one_line_naming_it(tmp_path: Path) -> None:
    bad = tmp_path / "a.flac"
    soundfile.write(bad, RANDOM.integers(-999, 999, 300_000).astype(np.int16), 16_000)
    whole = bad.read_bytes()
    for damage in (b"not sound", whole[: len(whole) // 2], whole[:200]):
        bad.write_bytes(damage)
        assert refusal(f"audio:{tmp_path}").startswith(f"cannot read audio {bad}: ")
