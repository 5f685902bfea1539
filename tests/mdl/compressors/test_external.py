"""A program of the PATH is a coder like the others: exact, measured on whole subsets, and left out where it is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mdl.compressors import REGISTRY, chunk_lengths, coders_for, get, missing_programs, register_external
from mdl.errors import MdlError

CASES = [b"", b"\0", bytes(range(256)) * 9, b"to be or not to be " * 500, np.random.default_rng(0).bytes(5_000)]
PACK, UNPACK = "sh -c 'gzip -n -9 < {data} > {packed}'", "sh -c 'gzip -d < {packed} > {data}'"


@pytest.fixture
def registered() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    before = set(REGISTRY)
    yield
    for name in set(REGISTRY) - before:
        del REGISTRY._things[name]


def add(name: str, pack: str = PACK, unpack: str = UNPACK) -> None:
    register_external(name, pack=pack, unpack=unpack, version="gzip --version", cost_per_byte=1e4)


@pytest.mark.usefixtures("registered")
def test_a_program_of_ones_own_takes_two_command_lines() -> None:
    """It is exact, says its version and options, and stands among the coders of any data."""
    add("gzip-program")
    coder = get("gzip-program")
    assert all(coder.decompress(coder.compress(data)) == data for data in CASES)
    assert "gzip" in coder.version
    assert any(map(str.isdigit, coder.version))
    assert "gzip-program" in coders_for("text")
    assert chunk_lengths("gzip-program", 256) == (None,)
    assert chunk_lengths("gzip", 256) == (None, 256)


@pytest.mark.usefixtures("registered")
def test_a_program_that_loses_something_is_refused_when_it_packs() -> None:
    add("lossy", pack="sh -c 'head -c 3 {data} > {packed}'", unpack="cp {packed} {data}")
    assert get("lossy").compress(b"abc") == b"abc"
    with pytest.raises(MdlError, match=r"^lossy: of 4 bytes others come back"):
        get("lossy").compress(b"abcd")


@pytest.mark.usefixtures("registered")
def test_a_program_that_fails_is_one_line_with_its_last_words() -> None:
    add("failing", pack="sh -c 'echo no room >&2; exit 3' {data} {packed}")
    with pytest.raises(MdlError, match=r"^failing: 'sh' ended with status 3: no room$"):
        get("failing").compress(b"abc")
    add("gzip-program")
    with pytest.raises(MdlError, match=r"^gzip-program: the data is damaged or not gzip-program"):
        get("gzip-program").decompress(b"abc")


@pytest.mark.usefixtures("registered")
def test_a_program_that_is_not_on_the_path_is_left_out_and_named() -> None:
    add("absent", pack="no-such-program {data} {packed}", unpack="no-such-program {packed} {data}")
    assert "absent" not in coders_for("text")
    assert "absent" in missing_programs()
    with pytest.raises(
        MdlError, match=r"^coder 'absent': its program 'no-such-program' is not on the PATH; install it$"
    ):
        get("absent")


def test_a_command_line_without_its_files_is_refused() -> None:
    with pytest.raises(MdlError, match=r"^coder 'blind': pack must name \{data\} and \{packed\}; got 'gzip \{data\}'$"):
        add("blind", pack="gzip {data}")


@pytest.mark.skipif(shutil.which("zpaq") is None, reason="needs zpaq (.ci/run installs it)")
def test_zpaq_is_exact_and_stronger_than_ppmd_on_text() -> None:
    zpaq = get("zpaq")
    assert (zpaq.settings, zpaq.version[:4]) == ("-m5 -t1", "zpaq")
    assert all(zpaq.decompress(zpaq.compress(data)) == data for data in CASES[:3])
    data = b"".join(path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py")))[:200_000]
    assert len(data) == 200_000
    assert len(zpaq.compress(data)) < len(get("ppmd").compress(data))
