"""Byte-pair encoding: tokens of bytes, learned from the bytes that they are to code (Sennrich et al. 2016).

Any bytes can be coded: the alphabet is the 256 bytes, and nothing is normalised. Merges stay within words of letters
(bytes over 127 among them, so that every script has words), numbers, marks and white space, as GPT-2's do.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError
from mdl.storage import import_optional
from mdl.units import VOCABULARY

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = npt.NDArray[np.uint16]

_LETTER = "A-Za-z\u0080-\u00ff"  # the library sees a byte as the character of its number
_WORDS = rf" ?[{_LETTER}]+| ?[0-9]+| ?[^\x00-\x20{_LETTER}0-9]+|[\x00-\x20]+(?![^\x00-\x20])|[\x00-\x20]+"
_LEAST_PAIRS = 2  # what occurs once saves nothing


@dataclass(frozen=True)
class BytePairs:
    """Merges in the order in which they apply, each of two tokens; tokens 0 … 255 are bytes, then as they come."""

    merges: tuple[tuple[int, int], ...]

    @cached_property
    def strings(self) -> list[bytes]:
        """What every token stands for."""
        ids = {bytes([b]): b for b in range(VOCABULARY)}
        by_id = list(ids)
        for left, right in self.merges:
            joined = by_id[left] + by_id[right]
            if ids.setdefault(joined, len(by_id)) == len(by_id):
                by_id.append(joined)
        return by_id

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of every token (V,)."""
        return np.array([len(string) for string in self.strings], np.int64)

    @cached_property
    def content(self) -> bytes:
        """The tokenizer as a decoder needs it, and as it is counted: the merges, compressed with xz."""
        return lzma.compress(_planes(self.merges), check=lzma.CHECK_NONE, preset=9 | lzma.PRESET_EXTREME)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer
        from tokenizers.models import BPE

        names = [string.decode("latin-1") for string in self.strings]
        merges = [(names[left], names[right]) for left, right in self.merges]
        tokenizer = Tokenizer(BPE({name: i for i, name in enumerate(names)}, merges))
        tokenizer.pre_tokenizer = _words()
        return tokenizer

    def encode(self, pieces: Sequence[bytes]) -> list[Ids]:
        """Tokens (n,) of each piece by itself."""
        encodings = self._tokenizer.encode_batch_fast([piece.decode("latin-1") for piece in pieces])
        return [np.array(encoding.ids, np.uint16) for encoding in encodings]

    def decode(self, ids: Ids) -> bytes:
        """The bytes of tokens."""
        return b"".join(map(self.strings.__getitem__, ids.tolist()))


def learn(pieces: Iterable[bytes], vocabulary: int) -> BytePairs:
    """Byte pairs of at most `vocabulary` tokens, fewer where the pieces have no more pairs that occur twice."""
    _require_library()
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = _words()
    alphabet = [chr(b) for b in range(VOCABULARY)]
    trainer = BpeTrainer(
        vocab_size=vocabulary, min_frequency=_LEAST_PAIRS, show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator((piece.decode("latin-1") for piece in pieces), trainer)
    return _pairs(json.loads(tokenizer.to_str())["model"]["merges"])


def _pairs(merges: Sequence[Sequence[str]]) -> BytePairs:
    """Merges of strings by number."""
    ids = {chr(b): b for b in range(VOCABULARY)}
    numbered = []
    for left, right in merges:
        numbered.append((ids[left], ids[right]))
        ids.setdefault(left + right, len(ids))
    return BytePairs(tuple(numbered))


def _planes(merges: Sequence[tuple[int, int]]) -> bytes:
    """Low bytes of the left tokens, of the right ones, then the high bytes: a tenth less than plain pairs."""
    pairs = np.array(merges, np.uint16).reshape(-1, 2)
    return np.concatenate([(pairs & 255).T, (pairs >> 8).T]).astype(np.uint8).tobytes()


def from_content(content: bytes) -> BytePairs:
    """`BytePairs.content` read back; MdlError for anything else."""
    try:
        low_left, low_right, high_left, high_right = np.frombuffer(lzma.decompress(content), np.uint8).reshape(4, -1)
        left, right = low_left + 256 * high_left.astype(int), low_right + 256 * high_right.astype(int)
    except (lzma.LZMAError, ValueError) as error:
        raise MdlError(f"this is not a tokenizer that mdl wrote ({error})") from None
    merges = tuple(zip(left.tolist(), right.tolist(), strict=True))
    if any(max(pair) >= VOCABULARY + i for i, pair in enumerate(merges)):
        raise MdlError("this is not a tokenizer that mdl wrote (a merge of tokens that are not yet known)")
    return BytePairs(merges)


def _words() -> Any:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    return Split(Regex(_WORDS), "isolated")


def _require_library() -> None:
    import_optional("tokenizers", "model.vocabulary over 256", extra="tokens")
