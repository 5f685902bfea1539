"""Bytes as tokens, and as raw bytes where a tokenizer does not give them back: invalid UTF-8, lost case, unknown signs.

The code of a piece of data is a list of runs. A run is n tokens, then m raw bytes (either may be 0, not both):

    gamma(n + 1)   n tokens, by the model   gamma(m + 1)   m bytes, 8 bits each

with Elias' gamma code (1975). The decoder reads n, then n tokens, and asks the tokenizer for their text; then m, then m
bytes; so on until it has all bytes (their number is known, as everywhere here). What is not tokens is the escape: its
bits are counted, and `write` and `read` are its code itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

Ids = Sequence[int]
Part = tuple[Ids | None, bytes]  # tokens and their bytes; None: raw

PIECE_BYTES = 1 << 16  # tokenized, and if need be searched, at a time
_LEAST_TEXT_BYTES = 4  # less than this beside raw bytes costs more in run lengths than it saves
_START_CHARACTERS = 64  # within so many, a beginning that comes back is looked for
_TRIED_CHARACTERS = 4  # tell whether it does
_INVALID = re.compile("([\udc80-\udcff]+)")  # what is no UTF-8, as Python's surrogateescape says it


@dataclass(frozen=True)
class Run:
    """Tokens, and the raw bytes after them."""

    ids: Ids
    raw: bytes

    @property
    def escape_bits(self) -> int:
        """All of its code but the tokens', bits."""
        return gamma_bits(len(self.ids) + 1) + gamma_bits(len(self.raw) + 1) + 8 * len(self.raw)


class Tokenizer:
    """Text to tokens and back, as two functions; `n_vocabulary` is the model's, which may have fewer or more tokens."""

    def __init__(self, encode: Callable[[str], list[int]], decode: Callable[[Ids], str], n_vocabulary: int) -> None:
        self._encode, self.decode, self._n_vocabulary = encode, decode, n_vocabulary
        self._lasting = cache(self._comes_back)  # of a single character; texts use few different ones

    def runs(self, piece: bytes) -> list[Run]:
        """The code of a piece. Its own parts are searched for what is lost in n log n, never n²."""
        return _joined([part for text in self._texts(piece) for part in text])

    def _texts(self, piece: bytes) -> Iterator[list[Part]]:
        texts = _INVALID.split(piece.decode("utf-8", "surrogateescape"))
        for i, text in enumerate(texts):
            content = text.encode("utf-8", "surrogateescape")
            raw = i % 2 or (len(texts) > 1 and len(content) < _LEAST_TEXT_BYTES)
            yield [(None, content)] if raw else self._parts(text)

    def _parts(self, text: str) -> list[Part]:
        """The text whole, else cut out what is lost wherever it stands, else (lost where it stands) halved."""
        ids = self._exact(text)
        if ids is not None:
            return [(ids, text.encode())]
        lost = "".join(c for c in set(text) if not self._lasting(c))
        if not lost:
            return self._halved(text)
        pieces = re.split(f"([{re.escape(lost)}]+)", text)
        return [
            part
            for i, piece in enumerate(pieces)
            if piece
            for part in ([(None, piece.encode())] if i % 2 else self._halved(piece))
        ]

    def _halved(self, text: str) -> list[Part]:
        ids = self._exact(text)
        if ids is not None:
            return [(ids, text.encode())]
        core = text if self._keeps_edges else text.strip()
        if not core or len(text) == 1:
            return [(None, text.encode())]
        if core != text:
            before, _, after = text.partition(core)
            return [(None, before.encode()), *self._halved(core), (None, after.encode())]
        start = self._start(text)
        if start:
            return [(None, text[:start].encode()), *self._halved(text[start:])]
        middle = _middle(text) if self._keeps_edges else len(text) // 2
        return self._halved(text[:middle]) + self._halved(text[middle:])

    @cached_property
    def _keeps_edges(self) -> bool:
        """Some tokenizers drop a space at an edge, and only there."""
        return self._exact(" a b ") is not None

    @cached_property
    def _starts_anywhere(self) -> bool:
        """Others put a space before a text that begins without one, and do not take it off again."""
        return self._exact("a b") is not None

    def _start(self, text: str) -> int:
        """From where on a text comes back, as far as its beginning tells; 0: as it is, or nowhere near."""
        if self._starts_anywhere:
            return 0
        few = range(min(len(text), _START_CHARACTERS))
        exact = (i for i in few if self._exact(text[i : i + _TRIED_CHARACTERS]) is not None)
        return next(exact, 0)

    def lost_in(self, piece: bytes) -> str:
        """Why some of a piece is not tokens: the first of it, and what the tokenizer makes of that; empty: all is."""
        for run in self.runs(piece):
            if run.raw:
                text = run.raw.decode("utf-8", "replace")[:_TRIED_CHARACTERS]
                if "\ufffd" in text:
                    return f"bytes such as {run.raw[:_TRIED_CHARACTERS].hex(' ')} are not UTF-8"
                return f"its tokenizer gives {text!r} back as {self.decode(self._encode(text))[:20]!r}"
        return ""

    def _comes_back(self, character: str) -> bool:
        """Alone or between others."""
        contexts = (character, f"a{character}a", f" a{character}a")
        return any(self._exact(text) is not None for text in contexts)

    def _exact(self, text: str) -> list[int] | None:
        """The tokens of a text that they give back and that the model has; None where there are none."""
        ids = self._encode(text)
        decoded = self.decode(ids)
        if decoded != text and text in decoded:  # a token of no text of ours was put before or after: not needed
            shorter = (ids[1:], ids[:-1], ids[1:-1])
            ids = next((candidate for candidate in shorter if candidate and self.decode(candidate) == text), [])
            decoded = text
        in_vocabulary = bool(ids) and min(ids) >= 0 and max(ids) < self._n_vocabulary
        return ids if in_vocabulary and decoded == text else None


def _middle(text: str) -> int:
    """Before a space near the middle, since a token is often a word with the space before it; else the middle."""
    n = len(text)
    space = text.rfind(" ", n // 4, 3 * n // 4)
    return space if space > 0 else n // 2


def _joined(parts: list[Part]) -> list[Run]:
    """Raw neighbours made one, short texts beside them raw too."""
    parts = [part for part in parts if part[1]]
    flat: list[Part] = []
    for i, (ids, content) in enumerate(parts):
        beside = parts[max(0, i - 1) : i] + parts[i + 1 : i + 2]
        short = len(content) < _LEAST_TEXT_BYTES and any(other is None for other, _ in beside)
        if (short or ids is None) and flat and flat[-1][0] is None:
            flat[-1] = (None, flat[-1][1] + content)
        else:
            flat.append((None if short else ids, content))
    runs: list[Run] = []
    for ids, content in flat:
        if ids is not None:
            runs.append(Run(ids, b""))
        elif runs and not runs[-1].raw:
            runs[-1] = Run(runs[-1].ids, content)
        else:
            runs.append(Run((), content))
    return runs


def cut(chunk: bytes) -> int:
    """Where a piece of a longer text should end: after its last line, else not within a character."""
    after_line = chunk.rfind(b"\n") + 1
    if after_line:
        return after_line
    for back in range(1, min(4, len(chunk) - 1) + 1):
        if chunk[-back] >= 0xC0:  # the first byte of a character of several
            return len(chunk) - back
        if chunk[-back] < 0x80:
            break
    return len(chunk)


def gamma_bits(n: int) -> int:
    """Length of Elias' gamma code of n ≥ 1, bits."""
    return 2 * n.bit_length() - 1


def write(runs: Sequence[Run]) -> str:
    """The escape of some runs as binary digits: all but the tokens."""
    return "".join(_gamma(len(r.ids) + 1) + _gamma(len(r.raw) + 1) + "".join(f"{b:08b}" for b in r.raw) for r in runs)


def read(digits: str, ids: Ids, decode: Callable[[Ids], str], n_bytes: int) -> bytes:
    """What `runs` was given, from the escape and all tokens one after another."""
    content, place, token = b"", 0, 0
    while len(content) < n_bytes:
        n, place = _read_gamma(digits, place)
        run = ids[token : token + n - 1]
        content, token = content + (decode(run).encode() if run else b""), token + n - 1
        m, place = _read_gamma(digits, place)
        content += bytes(int(digits[i : i + 8], 2) for i in range(place, place + 8 * (m - 1), 8))
        place += 8 * (m - 1)
    return content


def _gamma(n: int) -> str:
    return "0" * (n.bit_length() - 1) + f"{n:b}"


def _read_gamma(digits: str, place: int) -> tuple[int, int]:
    one = digits.index("1", place)
    end = 2 * one - place + 1
    return int(digits[one:end], 2), end
