"""A model's predictions mixed with what its contexts have been followed by, block after block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdl.mixing.memory import Block, Memory, constants, new_byte, new_memory
from mdl.storage import import_optional

MIN_BUCKET_BITS = 10
MAX_BUCKET_BITS = 22
_MOST_CHOSEN_BITS = 21  # 0.7 GB
_STREAM_BYTES_A_BYTE = 16  # the least chance of a bit is 2^-15

Bytes = npt.NDArray[np.uint8]
_NO_CHANCES, _NO_COUNTS = np.zeros((0, 0, 0), np.uint16), np.zeros((0, 0), np.float64)
Read = Callable[[tuple[int, int], int, npt.NDArray[np.float64]], Bytes]


def bucket_bits(n_bytes: int) -> int:
    """How much memory the encoder asks for, for a content of so many bytes: some two buckets a byte at the most."""
    return min(max(n_bytes.bit_length() - 1, MIN_BUCKET_BITS), _MOST_CHOSEN_BITS)


def require_compiler() -> None:
    """MdlError, saying what to install, where numba is not."""
    import_optional("numba", "mixing a model with contexts", "mixing")


@dataclass(frozen=True)
class _Cut:
    """A block in all that is coded, and how it is cut: into lanes, the last one what is left."""

    start: int
    n_bytes: int
    lane_bytes: int


class ContextMixer:
    """All that encoder or decoder has learned of the blocks so far.

    MdlError where numba, which compiles it, is not installed.
    """

    def __init__(self, bits: int) -> None:
        """`bits` of a bucket's number, MIN_BUCKET_BITS to MAX_BUCKET_BITS (see `memory_bytes`)."""
        require_compiler()
        from mdl.mixing import kernels

        self._kernels, self._bits, self._memory, self._fixed = kernels, bits, new_memory(bits), constants()
        self.n_bytes = 0  # in the blocks so far
        self._byte = new_byte()

    @property
    def learned(self) -> Memory:
        """What the next block hangs on beside `n_bytes`: between two blocks it can be kept, and put back."""
        return self._memory

    def encode(self, content: Bytes, chances: npt.NDArray[np.uint16]) -> bytes:
        """The next block's stream, from its bytes (n,) and the model's chances (lanes, lane_bytes, 8) of their bits."""
        n_lanes, lane_bytes = chances.shape[:2]
        symbols = np.zeros((n_lanes, lane_bytes), np.uint8)
        symbols.reshape(-1)[: content.size] = content
        block = _begun(symbols, np.zeros(_STREAM_BYTES_A_BYTE * content.size, np.uint8), 0, 0)
        self._code(block, self._next(content.size, lane_bytes), (0, n_lanes), (0, lane_bytes), chances=chances)
        low, place = int(block.coder[0]), int(block.coder[3])
        stream = block.stream[:place].tobytes() + low.to_bytes(4)
        return stream + bytes(-len(stream) % 4)

    def reader(self, stream: bytes, *, n_bytes: int, lane_bytes: int) -> Read:
        """Reads the next block: the bytes of lanes (first, end) at time t from the coder's counts (end − first, 256).

        Time by time, and at each of them lane by lane; all of it before the block after it is begun.
        """
        cut, symbols = self._next(n_bytes, lane_bytes), np.zeros((-(-n_bytes // lane_bytes), lane_bytes), np.uint8)
        begin = int.from_bytes(stream[:4].ljust(4, b"\0"))
        block = _begun(symbols, np.frombuffer(stream, np.uint8).copy(), begin, 4)

        def read(lanes: tuple[int, int], t: int, counts: npt.NDArray[np.float64]) -> Bytes:
            self._code(block, cut, lanes, (t, t + 1), counts=counts)
            found: Bytes = symbols[lanes[0] : lanes[1], t]
            return found

        return read

    def _next(self, n_bytes: int, lane_bytes: int) -> _Cut:
        start, self.n_bytes = self.n_bytes, self.n_bytes + n_bytes
        return _Cut(start, n_bytes, lane_bytes)

    def _code(
        self,
        block: Block,
        cut: _Cut,
        lanes: tuple[int, int],
        times: tuple[int, int],
        *,
        chances: npt.NDArray[np.uint16] = _NO_CHANCES,
        counts: npt.NDArray[np.float64] = _NO_COUNTS,
    ) -> None:
        what = (self._memory, self._fixed, block, self._byte, cut.start, (*lanes, cut.n_bytes), times)
        self._kernels.code_lanes(*what, chances, counts, self._bits)


def _begun(symbols: Bytes, stream: Bytes, value: int, place: int) -> Block:
    matched, lengths, words = (np.zeros(symbols.shape[0], np.int64) for _ in range(3))
    coder = np.array([0, 2**32 - 1, value, place], np.int64)
    return Block(symbols=symbols, matched=matched, lengths=lengths, words=words, coder=coder, stream=stream)
