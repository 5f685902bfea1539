"""The classical coders are exact, as strong as the tools they stand for, and say so when something is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pyppmd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl import compressors
from mdl.compressors.general import _ppmd_memory
from mdl.errors import MdlError

NAMES = ["gzip", "xz", "bzip2", "zstd", "zstd-ultra", "brotli", "ppmd", "ppmd-o6"]
NOISE = np.random.default_rng(0).bytes(20_000)


def sources(n_bytes: int) -> bytes:
    root = Path(sysconfig.get_paths()["stdlib"])
    return b"".join(path.read_bytes() for path in sorted(root.glob("*.py")))[:n_bytes]


def test_the_registry_holds_them_under_their_own_names() -> None:
    assert list(compressors.REGISTRY)[: len(NAMES)] == NAMES
    for name in NAMES:
        coder = compressors.get(name)
        assert coder.name == name
        assert coder.settings
        assert any(character.isdigit() for character in coder.version)


def test_an_unknown_name_is_one_line_with_the_nearest() -> None:
    with pytest.raises(
        MdlError, match=r"^unknown coder 'bzip'; did you mean 'bzip2'\? \(there are gzip, .*--plugin FILE.*\)$"
    ):
        compressors.get("bzip")


@pytest.mark.parametrize("chunk_bytes", [None, 256])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=300) | st.text(alphabet="ab \n", max_size=300).map(str.encode))
def test_any_bytes_come_back(name: str, chunk_bytes: int | None, data: bytes) -> None:
    coder = compressors.get(name, chunk_bytes)
    assert coder.decompress(coder.compress(data)) == data


@pytest.mark.parametrize("name", NAMES)
def test_hard_cases_come_back(name: str) -> None:
    """Nothing, a byte, all values, runs, noise, text; also where more comes than the chunk that was announced."""
    cases = [b"", b"\0", bytes(range(256)) * 2, bytes(1_000_000), b"ab" * 5000, NOISE, sources(400_000)]
    for coder in (compressors.get(name), compressors.get(name, 256)):
        for data in cases:
            assert coder.decompress(coder.compress(data)) == data


@pytest.mark.slow
def test_ppmd_comes_back_when_its_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data, coder = sources(3_000_000) + NOISE, compressors.get("ppmd")
    with_enough = len(coder.compress(data))
    monkeypatch.setattr("mdl.compressors.general._PPMD_MOST_MEMORY", 1 << 20)
    packed = coder.compress(data)
    assert len(packed) > 1.1 * with_enough
    assert coder.decompress(packed) == data


def test_the_memory_of_ppmd_grows_with_the_data_so_that_it_does_not_run_out() -> None:
    """64 bytes a byte: twice of it saves nothing."""
    data = sources(1_000_000)
    memory = _ppmd_memory(len(data))
    encoder = pyppmd.Ppmd7Encoder(16, 2 * memory)
    n_with_more = len(encoder.encode(data)) + len(encoder.flush())
    assert len(compressors.get("ppmd").compress(data)) - n_with_more < 20
    assert [_ppmd_memory(n) for n in (0, 1, 20_000, 10**6, 10**9)] == [2**20, 2**20, 2**21, 2**26, 2**31]


@pytest.mark.parametrize("name", NAMES)
def test_noise_grows_by_less_than_three_percent(name: str) -> None:
    assert len(NOISE) < len(compressors.get(name).compress(NOISE)) < 1.03 * len(NOISE)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bytes_give_the_same_file(name: str) -> None:
    """No time of day, nothing kept from the input before."""
    coder = compressors.get(name)
    first = coder.compress(b"some text" * 100)
    coder.compress(NOISE)
    assert coder.compress(b"some text" * 100) == compressors.get(name).compress(b"some text" * 100) == first


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_is_one_line(name: str) -> None:
    coder = compressors.get(name)
    packed = coder.compress(sources(3000))
    for cut in (b"", packed[:1], packed[:-5], packed[: len(packed) // 2]):
        with pytest.raises(MdlError, match=f"^{name}: the data is damaged or not {name}"):
            coder.decompress(cut)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "brotli"])  # which has no checksum
def test_a_changed_byte_is_seen(name: str) -> None:
    coder = compressors.get(name)
    data = sources(3000)
    packed = bytearray(coder.compress(data))
    for place in range(len(packed) // 2, len(packed), 97):
        packed[place] ^= 16
        with pytest.raises(MdlError):
            coder.decompress(bytes(packed))
        packed[place] ^= 16


TOOLS = {
    "gzip": ["gzip", "-9c"],
    "xz": ["xz", "-9ec"],
    "bzip2": ["bzip2", "-9c"],
    "zstd": ["zstd", "-19", "-qc"],
    "zstd-ultra": ["zstd", "--ultra", "-22", "-qc"],
    "brotli": ["brotli", "-q", "11", "-w", "24", "-c"],
}


@pytest.mark.parametrize("name", [name for name, command in TOOLS.items() if shutil.which(command[0])])
def test_sizes_are_the_tools(name: str, tmp_path: Path) -> None:
    """Within 1 % of the command-line tool's, where it is installed, for 100 bytes and for 500 KB."""
    path = tmp_path / "text"
    for n_bytes in (100, 500_000):
        path.write_bytes(sources(n_bytes))
        command = [*TOOLS[name], "--no-name"] if name == "gzip" else TOOLS[name]
        tool = subprocess.run([*command, str(path)], capture_output=True, check=True).stdout
        ours = len(compressors.get(name).compress(path.read_bytes()))
        assert abs(ours - len(tool)) <= 0.01 * len(tool) + 1


def test_xz_in_small_chunks_takes_a_small_dictionary() -> None:
    """It cannot help an input shorter than itself, but takes its time: the file is as small without it."""
    data = sources(1024)
    small, full = compressors.get("xz", 1024), compressors.get("xz")
    assert len(small.compress(data)) == len(full.compress(data))
    assert full.decompress(small.compress(data)) == data


@pytest.mark.parametrize("name", NAMES)
def test_what_a_coder_is_told_of_the_chunks_costs_nothing(name: str) -> None:
    """It takes less memory and time, and the file is no larger."""
    data = sources(1024)
    assert len(compressors.get(name, 1024).compress(data)) <= len(compressors.get(name).compress(data))
