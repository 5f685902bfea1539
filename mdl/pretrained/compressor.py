"""A pretrained language model as a compressor: archives that any machine decodes exactly (see `pretrained.float64`)."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdl.data import ByteView
from mdl.entropy import Grid
from mdl.errors import MdlError
from mdl.pretrained import block_codec, byte_fallback
from mdl.pretrained.archive_format import MOST_BLOCK_TOKENS, MOST_WINDOWS, PretrainedArchive, parse_archive
from mdl.pretrained.checkpoint import Checkpoint
from mdl.pretrained.float64 import load_exact
from mdl.pretrained.model import Pretrained, Windows, load_pretrained, windows_of
from mdl.pretrained.token_code import Ids, Progress

_CACHE_BYTES = 2**30  # keys and values of a block while it is decoded
_TABLE_BYTES = 2**28  # its logits and tables at one time
_TABLES = 6  # arrays of V numbers a window


@dataclass(frozen=True)
class PretrainedCoder:
    """A peer of the classical coders; the weights are not in its files. Measured in float32, coded in float64."""

    checkpoint: Checkpoint
    windows: Windows
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Its registry name, such as hf:/models/pythia-70m."""
        return self.checkpoint.spec

    @property
    def settings(self) -> str:
        """The windows, and the hash of the weights."""
        windows = self.windows
        return f"context {windows.context_tokens} stride {windows.stride_tokens} {self.checkpoint.sha256[:12]}"

    @property
    def version(self) -> str:
        """Of the library that runs it."""
        from importlib.metadata import version

        return f"transformers {version('transformers')}"

    @cached_property
    def _measuring(self) -> Pretrained:
        return load_pretrained(self.checkpoint, device=self.device)

    @cached_property
    def exact(self) -> Pretrained:
        """The model in float64, which writes and reads files."""
        return load_exact(self.checkpoint, self.device)

    def code_bits(self, data: bytes) -> float:
        """Length of the code of `data`, bits, the escape included."""
        from mdl.pretrained.code_length import code_in_stretches

        if not data:
            return 0.0
        stretches = code_in_stretches(self._measuring, _view(data), len(data), self.windows)
        return sum(stretch.token_bits + stretch.escape_bits for stretch in stretches)

    def compress(self, data: bytes, progress: Progress | None = None) -> bytes:
        """An archive of `data`; `progress` is told of the bytes coded, as tokens go by."""
        model, T = self.exact, self.windows.context_tokens
        if self.windows.stride_tokens != T:
            raise MdlError(f"files are coded in windows without overlap, got a stride of {self.windows.stride_tokens}")
        ids, digits = _tokens(model, data)
        w = _windows_per_block(model, T)
        grid, by_steps = block_codec.probe(model, ids, T) if ids.size else (Grid(0, 0), False)
        tell = _in_bytes(progress, len(data), ids.size)
        codec = self._codec(grid, T, by_steps=by_steps)
        blocks = [codec.encode(ids[i : i + w * T], tell) for i in range(0, ids.size, w * T)]
        return PretrainedArchive(
            step_bits=grid.step_bits,
            epsilon_bits=grid.epsilon_bits,
            windows_per_block=w,
            context_tokens=T,
            n_vocabulary=model.n_vocabulary,
            n_bytes=len(data),
            n_tokens=ids.size,
            model_sha256=self.checkpoint.sha256,
            fingerprint=self.checkpoint.fingerprint,
            content_sha256=hashlib.sha256(data).digest(),
            about=f"{self.checkpoint.name}, {self.version}",
            escape=_packed(digits),
            blocks=tuple(blocks),
        ).to_bytes()

    def _codec(self, grid: Grid, context_tokens: int, *, by_steps: bool = False) -> block_codec.BlockCodec:
        return block_codec.BlockCodec(
            model=self.exact,
            context_tokens=context_tokens,
            grid=grid,
            windows_at_once=self.windows.batch,
            by_steps=by_steps,
        )

    def decompress(self, data: bytes) -> bytes:
        """What `compress` was given; MdlError for damaged data or another model."""
        return self.read(parse_archive(data))

    def read(self, archive: PretrainedArchive, progress: Progress | None = None) -> bytes:
        """Its content, as `decompress`; `progress` is told of the bytes decoded, as tokens go by."""
        codec = self._codec(self._check(archive), archive.context_tokens)
        tell = _in_bytes(progress, archive.n_bytes, archive.n_tokens)
        ids: list[int] = []
        for block in archive.blocks:
            ids += codec.decode(block, tell).tolist()
        content = _text(self.exact, archive, ids)
        if hashlib.sha256(content).digest() != archive.content_sha256:
            raise MdlError("the decoded content does not have the SHA-256 of the original: the archive is forged")
        return content

    def _check(self, archive: PretrainedArchive) -> Grid:
        """Its grid; MdlError where the model is another one, or a field is none that a writer makes."""
        checkpoint = self.checkpoint
        if archive.model_sha256 != checkpoint.sha256:
            raise MdlError(
                f"the archive was made with the pretrained model {archive.model_sha256} ({archive.about}), "
                f"{checkpoint.spec} is {checkpoint.sha256}; give the right one"
            )
        if archive.fingerprint != checkpoint.fingerprint:
            raise MdlError(
                f"the archive was made with a model of fingerprint {archive.fingerprint} ({archive.about}), "
                f"{checkpoint.spec} has these weights, but with its configuration or tokenizer is "
                f"{checkpoint.fingerprint}; restore them"
            )
        if not archive.n_tokens:
            return Grid(0, 0)
        windows_of(checkpoint, archive.context_tokens, None)
        if archive.n_vocabulary != self.exact.n_vocabulary:
            raise MdlError("the archive is damaged or forged: its vocabulary is not the model's")
        if archive.windows_per_block > _windows_per_block(self.exact, archive.context_tokens):
            raise MdlError("the archive is damaged or forged: its blocks take more memory to decode than is allowed")
        return Grid.checked(archive.step_bits, archive.epsilon_bits)


def _in_bytes(progress: Progress | None, n_bytes: int, n_tokens: int) -> Progress:
    """Called with numbers of tokens, tells as many bytes on average."""
    done = 0

    def tell(n_new: int) -> None:
        nonlocal done
        if progress:
            progress((done + n_new) * n_bytes // n_tokens - done * n_bytes // n_tokens)
        done += n_new

    return tell


def _view(data: bytes) -> ByteView:
    return ByteView.whole(np.frombuffer(data, np.uint8))


def _tokens(model: Pretrained, data: bytes) -> tuple[Ids, str]:
    """All tokens of `data`, and the escape as binary digits."""
    from mdl.pretrained.code_length import pieces

    ids, digits = array("i"), []
    for piece in pieces(_view(data), 0, len(data)):
        runs = model.tokenizer.runs(piece)
        for run in runs:
            ids.extend(run.ids)
        digits.append(byte_fallback.write(runs))
    return np.array(ids, np.int32), "".join(digits)


def _packed(digits: str) -> bytes:
    n_bytes = -(-len(digits) // 8)
    return int(digits.ljust(8 * n_bytes, "0") or "0", 2).to_bytes(n_bytes, "big")


def _text(model: Pretrained, archive: PretrainedArchive, ids: list[int]) -> bytes:
    digits = f"{int.from_bytes(archive.escape, 'big'):0{8 * len(archive.escape)}b}"
    try:
        return byte_fallback.read(digits, ids, model.tokenizer.decode, archive.n_bytes)
    except Exception:  # whatever a tokenizer makes of tokens that it never wrote
        raise MdlError("the archive is damaged or forged: its tokens and its escape do not fit together") from None


def _windows_per_block(model: Pretrained, context_tokens: int) -> int:
    """As many in lockstep as keep keys and values, and the tables of one time, in some memory."""
    token_bytes = 2 * 8 * model.setting("num_hidden_layers") * model.setting("hidden_size")
    by_cache = _CACHE_BYTES // max(1, token_bytes * context_tokens)
    by_tables = _TABLE_BYTES // (_TABLES * 8 * model.n_vocabulary)
    return max(1, min(MOST_WINDOWS, MOST_BLOCK_TOKENS // context_tokens, by_cache, by_tables))


def open_pretrained(name: str, device: str = "auto") -> PretrainedCoder:
    """hf:FOLDER or hf:NAME, in windows of its own context; MdlError where there is none."""
    from mdl.device import choose_device
    from mdl.pretrained.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(name)
    return PretrainedCoder(checkpoint, windows_of(checkpoint, None, None), str(choose_device(device)))
