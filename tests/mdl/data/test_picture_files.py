"""Pictures of every depth and mode come out from black 0 to white 255, or one line says why not."""

from __future__ import annotations

import random
import re
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from mdl.data.sources.audio import read_u8
from mdl.data.sources.picture_files import read_grey
from mdl.errors import MdlError

RAMP = np.arange(65_536).reshape(256, 256)  # every value of 16 bits
EVEN = np.full((32, 64), 200, np.uint8)
PICTURES = ("png", "jpg", "webp", "gif", "bmp", "ppm", "pgm", "jp2", "avif", "tga", "tif")


def ramp(n_bits: int) -> np.ndarray:
    return (RAMP >> (16 - n_bits)).astype(np.uint8 if n_bits <= 8 else np.uint16)


def as_tiff(path: Path, values: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, values, **options)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(MdlError) as caught:
        read_grey(path)
    start = f"cannot read image {path}: "
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(start)


def test_twelve_bits_are_scaled_by_their_depth(tmp_path: Path) -> None:
    """A ramp of 0 … 4095 becomes 0 … 255, not 16 levels near black."""
    path = as_tiff(tmp_path / "a.tif", ramp(12), bitspersample=12, photometric="minisblack")
    assert np.array_equal(read_grey(path), RAMP >> 8)


@pytest.mark.parametrize("n_bits", [2, 4, 8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("zero", ["minisblack", "miniswhite"])
def test_grey_tiffs_of_every_depth_are_from_black_to_white(n_bits: int, order: Any, zero: str, tmp_path: Path) -> None:
    path = as_tiff(tmp_path / "a.tif", ramp(n_bits), bitspersample=n_bits, photometric=zero, byteorder=order)
    if (n_bits, order, zero) == (16, ">", "miniswhite"):
        assert "as TIFF it cannot be read (unknown pixel mode)" in refusal(path)
        return
    levels = ramp(n_bits).astype(int)
    expected = levels >> 8 if n_bits == 16 else levels * 255 // (2**n_bits - 1)
    assert np.array_equal(read_grey(path), expected if zero == "minisblack" else 255 - expected)


@given(st.integers(1, 65_535))
def test_a_pgm_is_scaled_by_its_largest_value(maxval: int) -> None:
    """Whatever it is; 1023, 4095 and 16383 are those of cameras."""
    values = np.linspace(0, maxval, 64).round().astype(">u2" if maxval > 255 else "u1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pgm"
        path.write_bytes(b"P5 8 8 %d " % maxval + values.tobytes())
        grey = read_grey(path)
    assert np.abs(grey.ravel() - values.astype(float) / maxval * 255).max() <= 1
    assert (grey[0, 0], grey[-1, -1]) == (0, 255)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: list[bytes], n_columns: int, n_bits: int, color: int, transparent: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", n_columns, len(rows), n_bits, color, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = chunk(b"IHDR", head), chunk(b"tRNS", transparent), chunk(b"IDAT", packed), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("n_bits", [1, 2, 4, 8, 16])
def test_the_transparent_value_of_a_grey_png_is_white_at_every_depth(n_bits: int, tmp_path: Path) -> None:
    """Two pixels, 0 and 1, of which 0 is transparent."""
    data = {1: b"\x40", 2: b"\x10", 4: b"\x01", 8: b"\x00\x01", 16: b"\x00\x00\x00\x01"}[n_bits]
    (tmp_path / "a.png").write_bytes(png([data], 2, n_bits, 0, struct.pack(">H", 0)))
    one = {1: 255, 2: 85, 4: 17, 8: 1, 16: 0}[n_bits]
    assert read_grey(tmp_path / "a.png").tolist() == [[255, one]]
    (tmp_path / "b.png").write_bytes(png([data], 2, n_bits, 0, struct.pack(">H", 1)))
    assert read_grey(tmp_path / "b.png").tolist() == [[0, 255]]


def test_the_transparent_color_of_a_16_bit_png_is_white(tmp_path: Path) -> None:
    color = (0x1234, 0x5678, 0x9ABC)
    row = struct.pack(">6H", *color, 0x9ABC, 0x5678, 0x1234)
    (tmp_path / "a.png").write_bytes(png([row], 2, 16, 2, struct.pack(">3H", *color)))
    assert read_grey(tmp_path / "a.png").tolist() == [[255, (0x12 + 0x56 + 0x9A) // 3]]


def lab(image: Image.Image) -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    made = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    assert made is not None
    return made


MODES = {
    "L": lambda grey: grey, "P": lambda grey: grey.convert("P"), "LA": lambda grey: grey.convert("LA"),
    "PA": lambda grey: grey.convert("PA"),
    "RGB": lambda grey: grey.convert("RGB"), "RGBA": lambda grey: grey.convert("RGBA"),
    "CMYK": lambda grey: grey.convert("RGB").convert("CMYK"), "YCbCr": lambda grey: grey.convert("YCbCr"),
    "LAB": lambda grey: lab(grey.convert("RGB")),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_an_even_grey_is_that_grey_in_every_mode(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    MODES[mode](Image.fromarray(EVEN)).save(path)
    with Image.open(path) as image:
        assert image.mode == mode
    assert np.abs(read_grey(path).astype(int) - 200).max() <= 2


def test_grey_that_is_multiplied_by_its_opacity_lies_on_white(tmp_path: Path) -> None:
    """Mode La, as other programs write it: half of 100 is 50, and half of white stands above."""
    half = np.stack([np.full((32, 64), 50, np.uint8), np.full((32, 64), 128, np.uint8)], axis=2)
    path = as_tiff(tmp_path / "a.tif", half, photometric="minisblack", planarconfig="contig", extrasamples=[1])
    with Image.open(path) as image:
        assert image.mode == "La"
    assert np.abs(read_grey(path).astype(int) - (50 + 127)).max() <= 2


@pytest.mark.parametrize("suffix", PICTURES)
def test_black_and_white_are_0_and_255_in_every_format(suffix: str, tmp_path: Path) -> None:
    halves = Image.fromarray(np.repeat([[0] * 32 + [255] * 32], 32, axis=0).astype(np.uint8))
    halves.save(tmp_path / f"a.{suffix}", **({"quality": 100} if suffix in ("jpg", "webp", "avif") else {}))
    grey = read_grey(tmp_path / f"a.{suffix}").astype(int)
    assert grey[:, :16].max() <= 2
    assert grey[:, 48:].min() >= 253


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_the_library_turns_it(orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 70)).astype(np.uint8))
    for name in ("a.png", "a.tif"):
        picture.save(tmp_path / name, exif=exif)
        with Image.open(tmp_path / name) as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        assert np.array_equal(read_grey(tmp_path / name), expected)


def test_what_has_no_black_and_white_is_refused_in_a_true_line(tmp_path: Path) -> None:
    values = ramp(16)
    for name, made, says in (
        ("f", values.astype(np.float32), "its pixels are floating-point numbers"),
        ("i8", values.astype(np.int8), "its pixels are numbers with a sign"),
        ("i16", values.astype(np.int16), "its pixels are numbers with a sign"),
        ("i32", values.astype(np.int32), "its pixels are numbers with a sign"),
        ("u32", values.astype(np.uint32), "32 bits a pixel, which have no fixed range"),
    ):
        path = as_tiff(tmp_path / f"{name}.tif", made, photometric="minisblack")
        assert refusal(path).startswith(says)
        assert refusal(path).endswith("convert it to 8 or 16 bits without a sign")
    planes = np.stack([values] * 3)
    path = as_tiff(tmp_path / "p.tif", planes, photometric="rgb", planarconfig="separate")
    assert refusal(path).startswith("its 16-bit channels lie in planes of their own")


def test_a_jpeg_2000_that_the_library_reads_wrongly_is_refused(tmp_path: Path) -> None:
    """Of more than 8 bits and of several channels: its white comes out as black."""
    imagecodecs = pytest.importorskip("imagecodecs")
    for n_bits, n_channels in ((9, 1), (12, 3), (16, 3), (12, 2)):
        values = np.stack([ramp(n_bits)] * n_channels, axis=2).squeeze()
        path = tmp_path / f"{n_bits}-{n_channels}.jp2"
        path.write_bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="jp2", bitspersample=n_bits))
        assert refusal(path).startswith("it is a JPEG 2000 above 8 bits a channel")
        before, name, after = path.read_bytes().partition(b"jp2c")
        notes = (
            struct.pack(">I", 3 << 20) + b"free" + bytes((3 << 20) - 8)
        )  # a box that says nothing, before the picture
        path.write_bytes(before[:-4] + notes + before[-4:] + name + after)
        assert refusal(path).startswith("it is a JPEG 2000 above 8 bits a channel")
    path.write_bytes(imagecodecs.jpeg2k_encode(ramp(12), level=0, codecformat="jp2", bitspersample=12))
    assert np.array_equal(read_grey(path), RAMP >> 8)


def test_a_program_that_draws_a_picture_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(EVEN).save(path, "EPS")
    assert refusal(path) == "it is a program that draws a picture; save the picture as PNG"


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Cut, overwritten (mostly in the header), or with a piece too many or too few."""
    part = draw.randrange(min(len(data), draw.choice((64, 512, len(data)))))
    noise = draw.choice((b"\0", b"\xff", b"\x7f", draw.randbytes(1))) * draw.choice((1, 2, 4))
    return draw.choice(
        (data[:part], data[:part] + noise + data[part + len(noise) :], data[:part] + data[part + 9 :],
         data[:part] + noise + data[part:])
    )  # fmt: skip


def outcome(read: Callable[[], object]) -> str:
    """`read`, or the one line that says why not; anything else than an MdlError is raised."""
    try:
        read()
    except MdlError as error:
        return str(error)
    return "read"


@pytest.mark.parametrize("suffix", PICTURES)
def test_a_damaged_picture_is_read_or_is_one_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 70, 3)).astype(np.uint8)).convert(
        "L" if suffix == "pgm" else "RGB"
    ).save(path)
    whole, draw = path.read_bytes(), random.Random(suffix)  # noqa: S311 - damage is no secret
    for _ in range(100):
        path.write_bytes(damaged(whole, draw))
        assert re.fullmatch(rf"read|cannot read image {path}: .+", outcome(lambda: read_grey(path)))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "rf64"])
def test_a_damaged_recording_is_read_or_is_one_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, (9000, 2)), 44_100)
    whole, draw = path.read_bytes(), random.Random(suffix)  # noqa: S311 - damage is no secret
    for _ in range(100):
        path.write_bytes(damaged(whole, draw))
        assert re.fullmatch(rf"read|cannot read audio {path}: .+", outcome(lambda: list(read_u8(path))))
