"""What `mdl generate` does: continuations as files, and all of them as one JSON that a figure is drawn from."""

from __future__ import annotations

import base64
import io
import json
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdl.cli.options import console
from mdl.errors import MdlError
from mdl.generation import USUAL_BYTES, Prompt, Sampling, open_coder, open_prompt
from mdl.records import RecordError, read_json, require_kind
from mdl.storage import Progress, require_writable, write_atomically
from mdl.sweeps import Download, say

SCHEMA_VERSION = 1
FIGURES = (".pdf", ".png")
_MEDIA = ("image:", "audio:")


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `coders` are names, or comma-separated names, one a prompt; `chunks` one for all or each."""

    coders: Sequence[str]
    prompts: Sequence[str]
    _: KW_ONLY
    chunks: Sequence[int] = (0,)
    n_bytes: int | None = None  # None: the rest of the chunk, or 512
    prompt_bytes: int | None = None
    context_bytes: int = 2048
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one coder made of one prompt."""

    coder: str
    prompt: Prompt
    content: bytes
    seconds: float


def samples(wanted: Wanted, how: Sampling, progress: Progress | None = None) -> Iterator[Sample]:
    """Prompt by prompt, each coder's; MdlError before anything is made where a name is wrong."""
    if wanted.n_bytes is not None and wanted.n_bytes < 1:
        raise MdlError(f"--length must be at least 1, got {wanted.n_bytes}")
    chunks = _one_each(list(wanted.chunks), len(wanted.prompts), "--chunk")
    prompts = [open_prompt(p, c, wanted.prompt_bytes, progress) for p, c in zip(wanted.prompts, chunks, strict=True)]
    columns = [_one_each(c.split(","), len(prompts), f"--coder {c}") for c in wanted.coders]
    jobs = [(column[i], prompt) for i, prompt in enumerate(prompts) for column in columns]
    coders = {name: open_coder(name, how, wanted.context_bytes, wanted.device) for name, _ in jobs}
    for name, prompt in jobs:
        n_bytes = wanted.n_bytes or (len(prompt.truth) if _is_media(prompt) else 0) or USUAL_BYTES
        started = time.monotonic()
        content = coders[name](prompt.content, n_bytes)
        yield Sample(coder=name, prompt=prompt, content=content, seconds=time.monotonic() - started)


def _is_media(prompt: Prompt) -> bool:
    return prompt.modality in _WRITERS


def _one_each(given: list[Any], n: int, option: str) -> list[Any]:
    if len(given) not in (1, n):
        raise MdlError(f"{option}: {len(given)} given for {n} prompts; give one for all, or one for each")
    return given * n if len(given) == 1 else given


def run(wanted: Wanted, how: Sampling, out: Path | None, figure: Path | None) -> tuple[list[Path], str | None]:
    """Make what is asked for; the files written, for a figure the .json that it is drawn from; text if nothing was."""
    if figure is None and (several := len(wanted.coders) * len(wanted.prompts)) > 1:
        raise MdlError(f"{several} continuations go into one --figure FILE.pdf; for -o give one --coder and --prompt")
    if figure is not None and (out is not None or figure.suffix not in FIGURES):
        raise MdlError(f"give --figure a file ending in {', '.join(FIGURES)}, and no -o beside it")
    if figure is None and out is None and wanted.prompts[0].startswith(_MEDIA):
        raise MdlError(f"{wanted.prompts[0]} is not text that can be printed; name the output with -o")
    if (target := figure or out) is not None:
        require_writable(target)
    if figure is not None:
        _require_ours(figure.with_suffix(".json"))
    shown, made = console(), []
    for sample in samples(wanted, how, Download(shown)):
        made.append(sample)
        speed = f"{1000 * sample.seconds / len(sample.content):.0f} ms per byte"
        say(shown, f"{sample.prompt.name}: {len(sample.content):,} bytes by {sample.coder}, {speed}")
    if figure is not None:
        record = figure.with_suffix(".json")
        write_atomically(record, to_json(made, wanted, how))
        return [record], None
    if out is None:
        return [], made[0].content.decode("utf-8", "replace")
    return write(made[0], out), None


def _require_ours(record: Path) -> None:
    """MdlError where the name that the program makes up is that of another file."""
    if record.is_symlink() or record.exists():
        try:
            require_kind(record, read_json(record), "continuations")
        except RecordError:
            raise MdlError(
                f"{record} was not written by mdl generate and is left as it is; give --figure another name"
            ) from None


def write(sample: Sample, out: Path) -> list[Path]:
    """The continuation alone, and beside it an image's or a sound's as a picture or a WAV with the prompt before it."""
    if not _is_media(sample.prompt):
        write_atomically(out, sample.content)
        return [out]
    suffix, encode = _WRITERS[sample.prompt.modality]
    beside = out.with_name(out.name + suffix)
    if beside.exists() or beside.is_symlink():  # a name made up by the program must not cost the user a file
        raise MdlError(f"{beside} is there already; remove it, or name the output with -o")
    write_atomically(out, sample.content)
    write_atomically(beside, encode(sample.prompt.content + sample.content))
    return [out, beside]


def as_png(pixels: bytes) -> bytes:
    """Grey, 64 pixels a row as in the paper's patches; what is missing of the last row is black."""
    from PIL import Image

    from mdl.compressors import N_COLUMNS

    rows = np.frombuffer(pixels + bytes(-len(pixels) % N_COLUMNS), np.uint8).reshape(-1, N_COLUMNS)
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "png")
    return file.getvalue()


def as_wav(samples_u8: bytes) -> bytes:
    """One channel, 16 kHz, 8 bit."""
    from mdl.data import RATE_HZ

    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(RATE_HZ)
        sound.writeframes(samples_u8)
    return file.getvalue()


_WRITERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {"image": (".png", as_png), "audio": (".wav", as_wav)}


def to_json(made: Sequence[Sample], wanted: Wanted, how: Sampling) -> bytes:
    """All that the figure shows and how it came about; bytes in base 64."""
    content = {
        "kind": "continuations",
        "schema_version": SCHEMA_VERSION,
        "sampling": {"temperature": how.temperature, "top_p": how.top_p, "seed": how.seed},
        "context_bytes": wanted.context_bytes,
        "samples": [
            {
                "coder": sample.coder,
                "prompt": sample.prompt.name,
                "modality": sample.prompt.modality,
                "prompt_base64": _text(sample.prompt.content),
                "truth_base64": _text(sample.prompt.truth[: len(sample.content)]),
                "content_base64": _text(sample.content),
                "seconds": round(sample.seconds, 3),
            }
            for sample in made
        ],
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
