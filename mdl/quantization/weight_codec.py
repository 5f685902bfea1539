"""A model's weights as bits: whole numbers times a scale for each row, entropy-coded; an exact inverse.

A coded model is made of these bytes (what it is a model of, the shape, stands elsewhere: in an archive's header):

    size  what
    1     precision in bits: 2 … 30 (a weight's aim), or 32: float32 as it is
    1     coder, an index into CODERS
    ...   coder "density": weights trained for their total, as `density_codec` has them, 2 to 8 bits
          32 bits: all weights in the order of `model.weight_shapes`, float32, coded
          else: one int16 a matrix, the middle of its scales; then, coded, its scales less that middle and the numbers

A *row* is what one output of a matrix multiplies (a column of W in y = x·W), or a byte's vector of the embedding. Its
scale is `2^(k/2)` with a whole k, and a weight is its number times that scale in float32, rounded once: the same on
every machine. Quantised, the gain of a norm is part of the matrix that follows it, and stands as ones. What the block
of version 2 has beside matrices, or another architecture, is one more of them, `vectors` (see `vector_names`).
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdl.entropy import integer_codec
from mdl.errors import MdlError
from mdl.models import Shape, count_params, require_coded
from mdl.quantization import density_codec
from mdl.quantization.density_codec import DensityForm
from mdl.units import VOCABULARY

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

VECTORS = "vectors"
CODERS = ("adaptive", "xz", "zstd", "raw", "density")
FULL_BITS = 32
MOST_NUMBER = 2**24  # every smaller whole number is a float32
MOST_SCALE = 200  # scales are within 2^±100
_SQRT2 = np.float32(1.41421353816986083984375)
_FREE_PARAMS, _PARAMS_A_BYTE = 1 << 20, 48  # no more than these are decoded: a forged shape may name any size
_QUICK, _THOROUGH = 3, 19  # levels of zstd
_SMALL = 1 << 16  # bytes that every coder tries in no time; of more a quick one says first whether it is worth it


@dataclass(frozen=True)
class Quantised:
    """A matrix W (in, out) as `numbers` (in, out) · 2^(`scales` (out,) / 2)."""

    numbers: Ints
    scales: Ints

    def dequantised(self) -> Floats:
        """W in float32, every weight rounded once."""
        steps = np.ldexp(np.where(self.scales % 2, _SQRT2, np.float32(1)), self.scales // 2).astype(np.float32)
        with np.errstate(over="ignore"):
            weights: Floats = self.numbers.astype(np.float32) * steps
        if not np.all(np.isfinite(weights)):
            raise MdlError("the coded weights are damaged: one is out of float32's range")
        return weights


@dataclass(frozen=True)
class CodedModel:
    """All weights of a model as bytes, at a precision, by the coder that made the fewest."""

    bits: int
    coder: str
    content: bytes


def matrix_shapes(shape: Shape) -> dict[str, tuple[int, int]]:
    """(in, out) of every matrix that is quantised; the embedding's last column is the start vector."""
    C, coded = shape.width, require_coded(shape)
    shapes = {"embedding": (C, VOCABULARY + 1)}
    if sizes := coded.vectors(shape):
        shapes[VECTORS] = (C, -(-sum(sizes.values()) // C))
    for k in range(shape.depth):
        shapes |= {f"{matrix.name}_{k}": (matrix.rows * C, matrix.columns * C) for matrix in coded.layer}
    return shapes


def to_matrices(shape: Shape, weights: Mapping[str, Floats]) -> dict[str, npt.NDArray[np.float64]]:
    """The matrices of `matrix_shapes` in float64, gains multiplied into what follows them."""
    matrices = {"embedding": np.concatenate([weights["embedding"], weights["start"][None]]).T.astype(np.float64)}
    for k in range(shape.depth):
        for of in require_coded(shape).layer:
            matrix = weights[f"{of.name}_{k}"].astype(np.float64)
            gain = weights[f"{of.gain}_{k}"].astype(np.float64)[:, None] if of.gain else None
            matrices[f"{of.name}_{k}"] = matrix if gain is None else matrix * gain
    if sizes := vector_names(shape):
        joined = np.concatenate([weights[name].reshape(-1) for name in sizes]).astype(np.float64)
        n_in, n_out = matrix_shapes(shape)[VECTORS]
        matrices[VECTORS] = np.pad(joined, (0, n_in * n_out - joined.size)).reshape(n_out, n_in).T
    return matrices


def vector_names(shape: Shape) -> dict[str, int]:
    """Names and sizes of the weights that are rows of `vectors`, one after another; zeros end the last row."""
    return require_coded(shape).vectors(shape)


def from_matrices(shape: Shape, matrices: Mapping[str, Floats]) -> dict[str, Floats]:
    """The weights of a model that computes with these matrices, all its gains 1."""
    embedding = matrices["embedding"].T
    weights = {"embedding": np.ascontiguousarray(embedding[:-1]), "start": embedding[-1].copy()}
    for k in range(shape.depth):
        for of in require_coded(shape).layer:
            weights |= {f"{of.gain}_{k}": np.ones(shape.width, np.float32)} if of.gain else {}
            weights[f"{of.name}_{k}"] = matrices[f"{of.name}_{k}"]
    start, names = 0, vector_names(shape)
    for name, size in names.items():
        weights[name] = matrices[VECTORS].T.reshape(-1)[start : start + size]
        start += size
    return weights


def encode_quantised(shape: Shape, bits: int, matrices: Mapping[str, Quantised]) -> CodedModel:
    """The matrices of `matrix_shapes`; MdlError for numbers or scales that the format does not have."""
    if not 2 <= bits < FULL_BITS - 1:
        raise MdlError(f"weights are quantised to 2 to {FULL_BITS - 2} bits, got {bits}")
    ordered = [matrices[name] for name in matrix_shapes(shape)]
    for matrix in ordered:
        if np.abs(matrix.numbers).max() > MOST_NUMBER or np.abs(matrix.scales).max() > MOST_SCALE:
            raise MdlError("a row of weights spans more than its scale can tell; the model's weights are out of range")
    middles = np.array([np.sort(matrix.scales)[matrix.scales.size // 2] for matrix in ordered], np.int64)
    lines = [matrix.scales[None] - middle for matrix, middle in zip(ordered, middles, strict=True)]
    numbers = [*lines, *(matrix.numbers for matrix in ordered)]
    plain, adaptive = _plain(numbers), integer_codec.encode(numbers)
    forms = {0: adaptive}
    if len(plain) <= _SMALL or len(_zstd(plain, _QUICK)) < len(adaptive):  # they win where numbers repeat one another
        forms |= {1: lzma.compress(plain, preset=9), 2: _zstd(plain, _THOROUGH)}
    return _shortest(bits, middles.astype("<i2").tobytes(), forms)


def encode_density(shape: Shape, matrices: Mapping[str, DensityForm]) -> CodedModel:
    """The matrices of `matrix_shapes`, trained for their total; the precision is that of the largest number."""
    form = density_codec.encode([matrices[name] for name in matrix_shapes(shape)])
    bits = density_codec.bits_of([matrix.numbers for matrix in matrices.values()])
    return CodedModel(bits, "density", bytes([bits, CODERS.index("density")]) + form)


def encode_full(shape: Shape, weights: Mapping[str, Floats]) -> CodedModel:
    """All weights as they are, float32."""
    from mdl.models import weight_shapes  # deferred: torch

    joined = np.concatenate([weights[name].reshape(-1) for name in weight_shapes(shape)]).astype("<f4")
    if not np.all(np.isfinite(joined)):
        raise MdlError("a weight is not finite; a failed training run cannot be coded")
    planes = joined.view(np.uint8).reshape(-1, 4).T.tobytes()  # all lowest bytes first: exponents are alike
    if len(planes) > _SMALL:  # the thorough ones take a second of a million weights, and off these next to nothing
        return _shortest(FULL_BITS, b"", {2: _zstd(planes, _QUICK), 3: planes})
    return _shortest(FULL_BITS, b"", {1: lzma.compress(planes, preset=9), 2: _zstd(planes, _THOROUGH), 3: planes})


def _shortest(bits: int, head: bytes, forms: Mapping[int, bytes]) -> CodedModel:
    coder = min(forms, key=lambda index: len(forms[index]))
    return CodedModel(bits, CODERS[coder], bytes([bits, coder]) + head + forms[coder])


def decode_weights(shape: Shape, content: bytes) -> dict[str, Floats]:
    """The weights, bit for bit the same everywhere; MdlError for anything but a coded model of this shape."""
    n_params = count_params(shape)["total"]
    if len(content) < 2 or content[1] >= len(CODERS):
        raise MdlError("the coded weights are damaged")
    if n_params > _FREE_PARAMS + _PARAMS_A_BYTE * len(content):
        raise MdlError(f"the coded weights are damaged: {len(content):,} bytes for {n_params:,} parameters")
    bits, coder = content[0], CODERS[content[1]]
    if bits == FULL_BITS and coder != "density":
        return _decode_full(shape, coder, content[2:])
    if coder == "density":
        return from_matrices(shape, density_codec.decode(bits, content[2:], matrix_shapes(shape)))
    return from_matrices(shape, _decode_quantised(shape, coder, content[2:]))


def _decode_full(shape: Shape, coder: str, form: bytes) -> dict[str, Floats]:
    from mdl.models import weight_shapes

    shapes = weight_shapes(shape)
    planes = _unpacked(coder, form, 4 * count_params(shape)["total"])
    joined = np.frombuffer(planes, np.uint8).reshape(4, -1).T.copy().view("<f4").reshape(-1).astype(np.float32)
    weights, start = {}, 0
    for name, dimensions in shapes.items():
        size = int(np.prod(dimensions))
        weights[name] = joined[start : start + size].reshape(dimensions)
        start += size
    if not np.all(np.isfinite(joined)):
        raise MdlError("the coded weights are damaged: one is not a number")
    return weights


def _decode_quantised(shape: Shape, coder: str, form: bytes) -> dict[str, Floats]:
    shapes = matrix_shapes(shape)
    n = len(shapes)
    if len(form) < 2 * n:
        raise MdlError("the coded weights are damaged")
    middles = np.frombuffer(form, "<i2", count=n).astype(np.int64)
    wanted = [*((1, units) for _, units in shapes.values()), *shapes.values()]
    if coder == "adaptive":
        matrices = integer_codec.decode(form[2 * n :], wanted)
    else:
        matrices = _from_plain(coder, form[2 * n :], wanted)
    scales = [line[0] + middle for line, middle in zip(matrices[:n], middles, strict=True)]
    if any(np.abs(row).max() > MOST_SCALE for row in scales):
        raise MdlError("the coded weights are damaged: a scale is out of range")
    if any(np.abs(row).max() > MOST_NUMBER for row in matrices[n:]):
        raise MdlError("the coded weights are damaged: a number is out of range")
    return {
        name: Quantised(numbers, row).dequantised()
        for name, numbers, row in zip(shapes, matrices[n:], scales, strict=True)
    }


def _plain(numbers: Sequence[Ints]) -> bytes:
    """One byte that tells the size of a number, 1, 2 or 4 bytes, and all numbers, lowest bytes first."""
    joined = np.concatenate([matrix.reshape(-1) for matrix in numbers])
    size = next(size for size in (1, 2, 4) if np.abs(joined).max() < 1 << 8 * size - 1)
    return bytes([size]) + joined.astype(f"<i{size}").view(np.uint8).reshape(-1, size).T.tobytes()


def _from_plain(coder: str, form: bytes, shapes: Sequence[tuple[int, int]]) -> list[Ints]:
    n_numbers = sum(lines * units for lines, units in shapes)
    size = _unpacked(coder, form, 1, whole=False)[0]
    if size not in (1, 2, 4):
        raise MdlError("the coded weights are damaged")
    planes = np.frombuffer(_unpacked(coder, form, 1 + size * n_numbers), np.uint8, offset=1)
    joined = planes.reshape(size, -1).T.copy().view(f"<i{size}").reshape(-1).astype(np.int64)
    ends = np.cumsum([lines * units for lines, units in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(joined, ends), shapes, strict=True)]


def _zstd(plain: bytes, level: int) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_checksum=False).compress(plain)


def _unpacked(coder: str, form: bytes, n_bytes: int, *, whole: bool = True) -> bytes:
    """The first `n_bytes` of what was packed, which must be all of it where `whole`; no more than that in memory."""
    import zstandard

    try:
        if coder == "xz":
            plain = lzma.LZMADecompressor(memlimit=1 << 30).decompress(form, max_length=n_bytes + 1)
        elif coder == "zstd":
            plain = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(form).read(n_bytes + 1)
        else:
            plain = form if coder == "raw" else b""
    except (lzma.LZMAError, zstandard.ZstdError):
        raise MdlError("the coded weights are damaged") from None
    if len(plain) < n_bytes or (whole and len(plain) > n_bytes):
        raise MdlError("the coded weights are damaged")
    return plain[:n_bytes]
