"""What a generator goes on from: a file's bytes, or the first half of a chunk of any corpus, whose rest is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdl.data import SOURCES, UNIT_BYTES, CorpusSpec, open_corpus
from mdl.errors import MdlError
from mdl.storage import Progress

USUAL_BYTES = 512  # that follow a file


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Bytes to go on from, and where known what really follows. `modality`: text, image, audio, bytes."""

    name: str
    modality: str
    content: bytes
    truth: bytes = b""


def open_prompt(spec: str, chunk: int = 0, prompt_bytes: int | None = None, progress: Progress | None = None) -> Prompt:
    """A file; or image:PATH, audio:PATH, file:PATH, stdlib …: chunk `chunk` of 2048 bytes of its held-out part.

    Of that its first `prompt_bytes` (default: half) are the prompt; of a file the first `prompt_bytes` (default: all).
    MdlError where there is no such file or chunk.
    """
    if prompt_bytes is not None and prompt_bytes < 0:
        raise MdlError(f"--prompt-bytes must be at least 0, got {prompt_bytes}")
    if spec.partition(":")[0] in SOURCES and not Path(spec).exists():
        return _of_corpus(spec, chunk, UNIT_BYTES // 2 if prompt_bytes is None else prompt_bytes, progress)
    path = Path(spec)
    if not path.is_file():
        raise MdlError(f"no prompt at {spec}; give a file, or a corpus such as image:FOLDER, audio:FILE, file:TEXT")
    content = path.read_bytes()
    prompt = content[:prompt_bytes]
    return Prompt(
        name=spec, modality="bytes" if b"\0" in content[:8192] else "text", content=prompt, truth=content[len(prompt) :]
    )


def _of_corpus(spec: str, chunk: int, prompt_bytes: int, progress: Progress | None) -> Prompt:
    corpus = open_corpus(CorpusSpec(spec), progress=progress)
    view = corpus.heldout  # what no model trained on this corpus has seen
    n_chunks = len(view) // UNIT_BYTES
    if not 0 <= chunk < n_chunks:
        raise MdlError(f"--chunk must be 0 to {n_chunks - 1:,} for {spec}, got {chunk}")
    if prompt_bytes >= UNIT_BYTES:
        raise MdlError(f"--prompt-bytes must be less than the chunk, {UNIT_BYTES} bytes, got {prompt_bytes}")
    content = view.read(chunk * UNIT_BYTES, (chunk + 1) * UNIT_BYTES).tobytes()
    return Prompt(
        name=spec, modality=corpus.info.modality, content=content[:prompt_bytes], truth=content[prompt_bytes:]
    )
