"""Damaged and forged archives: each must give one clear line or the exact bytes.

    python benchmarks/fuzz_archive.py [seed] [count]

Half of the mutations are of the bytes as they are, and should be caught by the hash of the whole. The other half have
that hash computed anew, as a forger would, so that every later check is met too. Anything but the exact content or an
MdlError is a failure; so is a single mutation that takes over 20 seconds, or memory that grows by over 1 GiB.
"""

from __future__ import annotations

import hashlib
import io
import json
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mdl.archives import Archive
from mdl.archives import header as header_file
from mdl.compressors import ExactModel, compress_stream, load_model
from mdl.compressors.byte_model import decompress_stream, load_coded, load_embedded
from mdl.errors import MdlError
from mdl.mixing import MIN_BUCKET_BITS
from mdl.models import Shape, StackedTransformer
from mdl.models.weights_file import save_weights
from mdl.quantization import coded_models
from mdl.quantization.weight_codec import FULL_BITS

SHAPE = Shape(4, 1, 1, context_tokens=16)
LIMIT_SECONDS, LIMIT_BYTES = 20.0, 1 << 30


@dataclass(frozen=True)
class Sample:
    """A right archive, its content and its model."""

    archive: bytes
    content: bytes
    model: ExactModel


def samples(folder: Path) -> list[Sample]:
    """Empty, one block or many, overlapping windows, contexts, weights inside, coded ones; each takes milliseconds."""
    weights = folder / "tiny.safetensors"
    save_weights(weights, SHAPE, StackedTransformer(SHAPE, [0]).member(0))
    model = load_model(weights, torch.device("cpu"))
    made, usual = [], header_file._BLOCK_BYTES
    for content, block_bytes, embed, stride in (
        (b"", usual, False, None), (b"to be, or not to be" * 4, usual, False, None),
        (bytes(range(250)), 64, False, None), (b"embedded, embedded", usual, True, None), (b"", usual, True, None),
        (b"to be, or not to be" * 4, usual, False, 5), (b"embedded, embedded", usual, True, 1),
    ):  # fmt: skip
        header_file._BLOCK_BYTES = block_bytes
        target = io.BytesIO()
        compress_stream(io.BytesIO(content), target, model, embed=embed, stride_bytes=stride)
        made.append(Sample(target.getvalue(), content, model))
    header_file._BLOCK_BYTES = usual
    target = io.BytesIO()
    compress_stream(io.BytesIO(b"to be, or not to be" * 4), target, model, bucket_bits=MIN_BUCKET_BITS)
    made.append(Sample(target.getvalue(), b"to be, or not to be" * 4, model))
    for bits in (3, FULL_BITS):
        calibration = np.frombuffer(b"coded, and coded", np.uint8)[None]
        coded = coded_models(SHAPE, StackedTransformer(SHAPE, [1]).member(0), calibration, [bits])[0]
        model, target = load_coded(SHAPE, coded.content, torch.device("cpu")), io.BytesIO()
        compress_stream(io.BytesIO(b"coded, coded, coded"), target, model)
        made.append(Sample(target.getvalue(), b"coded, coded, coded", model))
    return made


def rehashed(archive: bytes) -> bytes:
    """With the right SHA-256 at its end."""
    return archive[:-32] + hashlib.sha256(archive[:-32]).digest()


def mutate(sample: Sample, rng: np.random.Generator) -> bytes:
    """One random mutation, small or large, of the bytes or of what they mean."""
    if not rng.integers(8):
        return rng.bytes(int(rng.integers(400)))  # foreign
    kinds: list[Callable[[bytes, np.random.Generator], bytes]] = [
        _bytes,
        _bytes,
        _cut,
        _splice,
        _header,
        _end,
        _weights,
    ]
    damaged = kinds[rng.integers(len(kinds))](sample.archive, rng)
    return rehashed(damaged) if rng.integers(2) and len(damaged) > 32 else damaged


def _bytes(archive: bytes, rng: np.random.Generator) -> bytes:
    damaged = np.frombuffer(archive, np.uint8).copy()
    for _ in range(rng.integers(1, 4)):
        at = rng.integers(damaged.size)
        damaged[at] = damaged[at] ^ (1 << rng.integers(8)) if rng.integers(2) else rng.choice([0, 255, 127, 1])
    return damaged.tobytes()


def _cut(archive: bytes, rng: np.random.Generator) -> bytes:
    return archive[: rng.integers(len(archive))]


def _splice(archive: bytes, rng: np.random.Generator) -> bytes:
    a, b = sorted(rng.integers(len(archive) + 1, size=2).tolist())
    middle = [b"", rng.bytes(int(rng.integers(40))), archive[a:b] * 2, b"\xff" * (b - a)][rng.integers(4)]
    return archive[:a] + middle + archive[b:]


_ODD = [
    0,
    1,
    -1,
    2,
    3,
    16,
    4096,
    4097,
    2**16,
    2**20,
    2**31,
    2**63,
    2**64,
    10**400,
    0.5,
    1e308,
    True,
    None,
    "",
    "x",
    [],
    {},
]


def _header(archive: bytes, rng: np.random.Generator) -> bytes:
    length = struct.unpack("<I", archive[10:14])[0]
    header = json.loads(archive[14 : 14 + length])
    where = header["model"] if rng.integers(2) else header
    key = list(where)[rng.integers(len(where))]
    if rng.integers(5):
        where[key] = _ODD[rng.integers(len(_ODD))]
    else:
        del where[key]
    raw = [json.dumps(header, separators=(",", ":")).encode(), b"[" * 60_000, b"null"][
        rng.choice(3, p=[0.9, 0.05, 0.05])
    ]
    return archive[:10] + struct.pack("<I", len(raw)) + raw + archive[14 + length :]


def _end(archive: bytes, rng: np.random.Generator) -> bytes:
    """Another length, or other lengths in the table."""
    number = int(rng.choice([0, 1, 15, 16, 17, 64, 1000, 2**20, 2**31, 2**32 - 1]))
    if rng.integers(2):
        return archive[:-72] + struct.pack("<Q", int(rng.choice([number, number << 31]))) + archive[-64:]
    at = len(archive) - 72 - 4 * int(rng.integers(1, 7))
    return archive[:at] + struct.pack("<I", number) + archive[at + 4 :]


def _weights(archive: bytes, rng: np.random.Generator) -> bytes:
    """Forged weights under their own right hash; where there are none, some other damage."""
    length = struct.unpack("<I", archive[10:14])[0]
    header = json.loads(archive[14 : 14 + length])
    if not header["embedded_bytes"]:
        return _bytes(archive, rng)
    begin, end = 14 + length, 14 + length + header["embedded_bytes"]
    stored = archive[begin:end]
    if rng.integers(2):
        context = str(rng.choice([1, 2**16, 2**20, 2**40])).encode()
        stored = stored.replace(b'context_bytes\\": 16', b'context_bytes\\": ' + context)
        header["model"]["context_bytes"] = int(context)
        header["windows_per_block"] = 1
    stored = _bytes(stored, rng)
    header["embedded_bytes"], header["model"]["sha256"] = len(stored), hashlib.sha256(stored).hexdigest()
    raw = json.dumps(header, separators=(",", ":")).encode()
    return archive[:10] + struct.pack("<I", len(raw)) + raw + stored + archive[end:]


def outcome(damaged: bytes, sample: Sample) -> str:
    """'exact' or the error's line; AssertionError for wrong bytes, a long wait or a message of several lines."""
    started, target = time.monotonic(), io.BytesIO()
    try:
        archive = Archive(io.BytesIO(damaged))
        embedded = archive.header.embedded_bytes
        exact = load_embedded(archive, torch.device("cpu")) if embedded else sample.model
        decompress_stream(archive, target, exact)
        # Forged weights code other bytes, but then none that have the checksums of the original.
        assert target.getvalue() == sample.content, f"wrong bytes: {damaged.hex()}"
        line = "exact"
    except MdlError as error:
        line = str(error)
        assert len(line.strip()) > 20, line
    assert time.monotonic() - started < LIMIT_SECONDS, f"a hang: {damaged.hex()}"
    return line


def fuzz(seed: int, count: int) -> Counter[str]:
    """How often each outcome came of `count` mutations."""
    rng = np.random.default_rng(seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        all_samples = samples(Path(folder))
        for i in range(count):
            sample = all_samples[i % len(all_samples)]
            outcomes[outcome(mutate(sample, rng), sample)[:60]] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    assert grown < LIMIT_BYTES, f"memory grew by {grown:,} bytes"
    return outcomes


def main() -> None:
    torch.set_num_threads(1)
    seed, count = (int(given) for given in (*sys.argv[1:3], *("0", "20000")[len(sys.argv) - 1 :]))
    started = time.monotonic()
    outcomes = fuzz(seed, count)
    for line, n in outcomes.most_common():
        print(f"{n:7,}  {line}")
    print(f"{count:,} mutations with seed {seed} in {time.monotonic() - started:.0f} s: exact bytes or one clear line")


if __name__ == "__main__":
    main()
