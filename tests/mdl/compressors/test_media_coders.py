"""The coders of pictures and sound give any bytes back, and their files are ordinary ones of their formats."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mdl import compressors
from mdl.compressors.images_and_audio import pack_pictures, unpack_pictures
from mdl.errors import MdlError

PICTURES = ["png", "webp", "jpegxl"]
SOUND = ["flac", "wavpack"]
NAMES = [*PICTURES, *SOUND]
NOISE = np.random.default_rng(0).bytes(3000)


def scene(n_bytes: int) -> bytes:
    """Something smooth with a little noise in rows of 64, which each of these coders makes less than half as large."""
    t = np.arange(n_bytes)
    rows, columns = t // 64, t % 64
    wave = 60 * np.sin(rows / 9) + 50 * np.cos(columns / 7) + np.random.default_rng(1).normal(0, 1, n_bytes)
    return (128 + wave).clip(0, 255).astype(np.uint8).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_in_the_registry_and_says_what_it_is(name: str) -> None:
    coder = compressors.get(name)
    assert coder.name == name
    assert coder.settings
    assert any(character.isdigit() for character in coder.version)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=400) | st.binary(max_size=3).map(lambda b: b * 700))
def test_any_bytes_come_back(name: str, data: bytes) -> None:
    coder = compressors.get(name)
    assert coder.decompress(coder.compress(data)) == data


@pytest.mark.parametrize("name", NAMES)
def test_hard_cases_come_back(name: str) -> None:
    """Nothing, a byte, all values, runs, noise, a patch, and all that does not fill a row."""
    coder = compressors.get(name)
    cases = [b"", b"\0", b"\xff", bytes(range(256)) * 2, bytes(70_001), NOISE, scene(2048), *map(scene, range(62, 67))]
    for data in cases:
        assert coder.decompress(coder.compress(data)) == data


def as_it_is(rows: np.ndarray) -> bytes:
    return b"P" + rows.tobytes()


def back(picture: bytes) -> np.ndarray:
    assert picture[:1] == b"P"
    return np.frombuffer(picture[1:], np.uint8).reshape(-1, 64)


@given(st.binary(max_size=700))
def test_what_is_too_much_for_one_picture_becomes_several(data: bytes) -> None:
    packed = pack_pictures(data, as_it_is, 3)
    assert packed.count(b"P") >= max(1, -(-len(data) // 192))
    assert unpack_pictures(packed, back) == data


@pytest.mark.parametrize("name", ["png", "webp", pytest.param("jpegxl", marks=pytest.mark.slow)])
def test_more_than_the_format_allows_in_one_picture_comes_back(name: str) -> None:
    coder = compressors.get(name)
    data = bytes(64 * 16_400 + 1)
    packed = coder.compress(data)
    assert packed[0] == (63 if name == "png" else 0)
    assert coder.decompress(packed) == data


@pytest.mark.parametrize("name", ["png", "webp"])
def test_a_patch_is_a_picture_of_32_rows_and_64_columns(name: str) -> None:
    """Another library opens the file and sees the grey pixels in their places."""
    patch = scene(2048)
    with Image.open(io.BytesIO(compressors.get(name).compress(patch))) as image:
        assert (image.format, image.size) == (name.upper(), (64, 32))
        assert image.convert("L").tobytes() == patch


@pytest.mark.parametrize("name", PICTURES)
def test_a_patch_is_seen_in_two_dimensions(name: str) -> None:
    """Each row a shifted copy of the one above, of noise: what one row tells nothing of, 64 columns show."""
    row = np.random.default_rng(2).integers(0, 256, 64).astype(np.uint8)
    patch = np.tile(row, (32, 1)).tobytes()
    assert len(compressors.get(name).compress(patch)) < 300


def test_flac_keeps_all_eight_bits() -> None:
    """Of every byte value, at FLAC's true depth of 8; another reader hears b − 128."""
    data = np.random.default_rng(3).permutation(np.repeat(np.arange(256, dtype=np.uint8), 9))
    file = io.BytesIO(compressors.get("flac").compress(data.tobytes()))
    with soundfile.SoundFile(file) as sound:
        assert (sound.format, sound.subtype, sound.samplerate, sound.channels) == ("FLAC", "PCM_S8", 16_000, 1)
        assert np.array_equal(sound.read(dtype="int16") // 256 + 128, data)


def test_sound_is_seen_as_sound() -> None:
    """A tone costs FLAC and WavPack less than it costs a general coder."""
    noise = np.random.default_rng(4).normal(0, 1, 20_000)
    tone = (128 + 100 * np.sin(np.arange(20_000) / 17.3) + noise).astype(np.uint8).tobytes()
    for name in SOUND:
        assert len(compressors.get(name).compress(tone)) < 0.8 * len(compressors.get("gzip").compress(tone))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_costs_a_header_alone(name: str) -> None:
    """The paper counts it once however many chunks there are: it is no more than a chunk of one value takes."""
    coder = compressors.get(name)
    assert 20 <= len(coder.compress(b"")) <= len(coder.compress(bytes([128]) * 2048)) + 2


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bytes_give_the_same_file(name: str) -> None:
    """No time of day, nothing random, nothing kept from the input before."""
    coder = compressors.get(name)
    first = coder.compress(scene(2048))
    coder.compress(NOISE)
    assert coder.compress(scene(2048)) == compressors.get(name).compress(scene(2048)) == first


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_is_one_line(name: str) -> None:
    coder = compressors.get(name)
    for data in (scene(2048), scene(100)):
        packed = coder.compress(data)
        for cut in (b"", packed[:1], packed[:2], packed[:30], packed[: len(packed) // 2], packed[:-20]):
            with pytest.raises(MdlError, match=f"^{name}: the data is damaged or not {name}") as caught:
                coder.decompress(cut)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["png", *SOUND])  # WebP and JPEG XL have no checksum
def test_a_changed_byte_is_seen(name: str) -> None:
    coder = compressors.get(name)
    packed = bytearray(coder.compress(scene(2048)))
    for place in range(len(packed) // 2, len(packed) - 20, 37):
        packed[place] ^= 16
        with pytest.raises(MdlError):
            coder.decompress(bytes(packed))
        packed[place] ^= 16


def test_a_picture_of_another_shape_is_refused() -> None:
    file = io.BytesIO()
    Image.new("L", (32, 64)).save(file, "PNG")
    with pytest.raises(MdlError, match="not of 64 grey columns"):
        compressors.get("png").decompress(file.getvalue())


@pytest.mark.parametrize(("name", "module"), [("png", "imagecodecs"), ("flac", "soundfile"), ("wavpack", "av")])
def test_without_the_extra_it_says_what_to_install(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MdlError, match=rf"needs the library {module}; pip install 'mdl-critical-size\[media\]'$"):
        compressors.get(name)


def run(command: list[str], path: Path, data: bytes) -> None:
    path.write_bytes(data)
    subprocess.run([*command], capture_output=True, check=True, cwd=path.parent)


def tool_size(name: str, data: bytes, folder: Path) -> int:
    """What the usual command-line tool makes of the same bytes."""
    run_here = partial(run, path=folder / "in.raw", data=data)
    if name == "flac":
        raw = ["--force-raw-format", "--endian=little", "--sign=unsigned", "--channels=1", "--bps=8"]
        run_here(
            ["flac", "-s", "-f", "-8", *raw, "--sample-rate=16000", "--no-padding", "--no-seektable", "-oout", "in.raw"]
        )
    elif name == "wavpack":
        run_here(["wavpack", "-q", "-y", "-hhx", "--raw-pcm=16000,8u,1", "in.raw", "-o", "out.wv"])
    else:
        picture = io.BytesIO()
        Image.frombytes("L", (64, len(data) // 64), data).save(picture, "PNG")
        commands = {
            "png": ["optipng", "-quiet", "-o2", "-out", "out", "-force", "in.raw"],
            "webp": ["cwebp", "-quiet", "-lossless", "-q", "75", "-m", "4", "in.raw", "-o", "out"],
        }
        run(commands[name], folder / "in.raw", picture.getvalue())
    out = next(p for p in (folder / "out", folder / "out.wv") if p.exists())
    return out.stat().st_size


TOOLS = {"png": "optipng", "webp": "cwebp", "flac": "flac", "wavpack": "wavpack"}


@pytest.mark.parametrize("name", [name for name, tool in TOOLS.items() if shutil.which(tool)])
def test_sizes_are_the_tools(name: str, tmp_path: Path) -> None:
    """Within 1 % of the command-line tool's, where it is installed, on 64 patches' worth of a scene."""
    data = scene(64 * 2048)
    tool = tool_size(name, data, tmp_path)
    assert abs(len(compressors.get(name).compress(data)) - tool) <= 0.01 * tool + 1
