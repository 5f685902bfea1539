"""Coders that are programs of their own, such as zpaq: used where the executable is on the PATH, else left out.

To add one, in a file that --plugin names:

    from mdl.compressors import register_external

    register_external(
        "lrzip",
        pack="lrzip -z -q -o {packed} {data}",
        unpack="lrzip -d -q -o {data} {packed}",
        version="lrzip --version",
        cost_per_byte=5e5,
    )
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mdl.compressors.general import ClassicalCoder
from mdl.compressors.registry import ANY, register_coder
from mdl.errors import MdlError

_DATA = "data"


def register_external(
    name: str,
    *,
    pack: str,
    unpack: str,
    version: str,
    cost_per_byte: float,
    modalities: tuple[str, ...] = (ANY,),
    extension: str = "",
) -> None:
    """Add a program as a coder, which is measured on whole subsets (a chunk would measure its start and its header).

    Every file that it packs is unpacked again and compared.

    Parameters
    ----------
    name
        Of the coder, in records and reports.
    pack, unpack
        Command lines without a shell; `{data}` and `{packed}` stand for the names of the two files. Each runs in a
        fresh folder that holds its input and nothing else. The options of `pack` are recorded as the settings.
    version
        Command line whose first line of output (or of error output) that has a digit is recorded.
    cost_per_byte
        See `register_coder`; packing and unpacking together.
    modalities
        Kinds of data that it is made for.
    extension
        Of the packed file's name, where the program wants one, such as ".zpaq".

    Raises
    ------
    MdlError
        For a name that is taken, or a command line that lacks one of the two files.

    Examples
    --------
    >>> register_external(
    ...     "gzip-program", pack="sh -c 'gzip -9 < {data} > {packed}'", unpack="sh -c 'gzip -d < {packed} > {data}'",
    ...     version="gzip --version", cost_per_byte=1e4,
    ... )
    """
    for what, line in (("pack", pack), ("unpack", unpack)):
        if "{data}" not in line or "{packed}" not in line:
            raise MdlError(f"coder '{name}': {what} must name {{data}} and {{packed}}; got '{line}'")
    program = shlex.split(pack)[0]
    both_ways = _Program(name=name, pack=pack, unpack=unpack, packed_name=f"packed{extension}")

    def make(_: int | None) -> ClassicalCoder:
        if shutil.which(program) is None:
            raise MdlError(f"coder '{name}': its program '{program}' is not on the PATH; install it")
        settings = " ".join(word for word in shlex.split(pack)[1:] if word.startswith("-"))
        return ClassicalCoder(
            name=name, settings=settings, version=_version(version), pack=both_ways.packed, unpack=both_ways.unpacked
        )

    found = shutil.which(program)
    register_coder(
        name,
        make,
        modalities=modalities,
        cost_per_byte=cost_per_byte,
        decoder_bytes=Path(found).stat().st_size if found else None,
        program=program,
    )


@dataclass(frozen=True, kw_only=True)
class _Program:
    """A program by its two command lines, and the name that the packed file must have."""

    name: str
    pack: str
    unpack: str
    packed_name: str

    def packed(self, data: bytes) -> bytes:
        """The packed file, which has been unpacked again; MdlError where the program fails or loses something."""
        try:
            packed = self._run(self.pack, data, _DATA, self.packed_name)
            same = self.unpacked(packed) == data
        except ValueError as error:
            raise MdlError(f"{self.name}: {error}") from None
        if not same:
            raise MdlError(f"{self.name}: of {len(data):,} bytes others come back; called so, it is no lossless coder")
        return packed

    def unpacked(self, packed: bytes) -> bytes:
        return self._run(self.unpack, packed, self.packed_name, _DATA)

    def _run(self, line: str, given: bytes, given_name: str, made_name: str) -> bytes:
        """What a command line makes of `given`, in a fresh folder; ValueError with its last words where it fails."""
        names = {"{data}": _DATA, "{packed}": self.packed_name}
        words = shlex.split(line)
        for placeholder, file in names.items():
            words = [word.replace(placeholder, file) for word in words]
        with TemporaryDirectory(prefix="mdl-coder-") as folder:
            (Path(folder) / given_name).write_bytes(given)
            done = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            made = Path(folder) / made_name
            if done.returncode or not made.is_file():
                raise ValueError(f"'{words[0]}' ended with status {done.returncode}: {_last_line(done)}")
            return made.read_bytes()


def _last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")


def _version(line: str) -> str:
    """The first line with a digit that a command says; where it says none, the program's name."""
    words = shlex.split(line)
    said = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    lines = (said.stdout + said.stderr).decode(errors="replace").splitlines()
    return next((text.strip() for text in lines if any(map(str.isdigit, text))), words[0])


# zpaq's strongest setting, on one core: the other cores have coders of their own. Both ways at .45 MB/s.
register_external(
    "zpaq",
    pack="zpaq a {packed} {data} -m5 -t1",
    unpack="zpaq x {packed} {data} -t1",
    version="zpaq",
    cost_per_byte=4.5e5,
    extension=".zpaq",
)
