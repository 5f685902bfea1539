"""What makes cells comparable, and what such a group is called in a table, a figure and a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

# With these and the leak equal, and copies left out in both or neither, D bytes are the same D bytes.
_KEY = ["source", "sha256", "block_bytes", "heldout_bytes"]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells of one corpus, whose sizes can be compared; None: the same in the whole table, and not part of its name."""

    corpus: str  # short, and distinct in its table
    leak: str = ""  # percent of the held-out part that was trained on
    context: str | None = None  # tokens
    vocabulary: str | None = None
    architecture: str | None = None
    recipe: str | None = None

    @property
    def label(self) -> str:
        """The corpus and `parts`, numbers with blanks in front: then labels sort as their numbers do."""
        return ", ".join([self.corpus, *_parts(self, self.leak, self.context, self.vocabulary)])

    @property
    def parts(self) -> list[str]:
        """What tells it apart from other groups of the corpus: 5 % leaked, mingru, recipe 2, context 64 or another."""
        numbers = (self.leak, self.context, self.vocabulary)
        return _parts(self, *(None if number is None else number.strip() for number in numbers))

    @property
    def name(self) -> str:
        """The corpus and `parts`, as people read them."""
        return ", ".join([self.corpus, *self.parts])


def _parts(group: Group, leak: str | None, context: str | None, vocabulary: str | None) -> list[str]:
    parts = [f"{leak} % leaked"] if leak else []
    parts += [group.architecture] if group.architecture else []
    parts += [f"recipe {group.recipe}"] if group.recipe else []
    parts += [f"context {context}"] if context is not None else []
    return parts + ([f"vocabulary {vocabulary}"] if vocabulary is not None else [])


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Of every run: its group, the same without the vocabulary, without the leak, and without the architecture."""

    group: list[Group]
    byte_group: list[Group]
    clean_group: list[Group]
    peer_group: list[Group]


def groups_of(runs: pd.DataFrame, corpora: list[str]) -> Groups:
    """`runs` with leak_fraction, context_bytes, vocabulary and architecture; `corpora`: each one's name without a leak.

    An architecture is told where there are several, and a recipe: another recipe has another N*.
    """
    leaks, architectures = leak_texts(runs["leak_fraction"]), runs["architecture"]
    several = architectures.nunique() > 1
    recipes = [str(int(recipe)) for recipe in runs["recipe"].fillna(1)]
    columns = {
        "corpus": corpora,
        "leak": leaks,
        "context": _told_apart(runs["context_bytes"]),
        "vocabulary": _told_apart(runs["vocabulary"]),
        "architecture": [name if several and isinstance(name, str) else None for name in architectures],
        "recipe": [recipe if len(set(recipes)) > 1 else None for recipe in recipes],
    }
    groups = [Group(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    return Groups(
        group=groups,
        byte_group=[replace(group, vocabulary=None) for group in groups],
        clean_group=[replace(group, leak="") for group in groups],
        peer_group=[replace(group, architecture=None) for group in groups],
    )


def corpus_names(frames: Iterable[pd.DataFrame]) -> dict[tuple[object, ...], str]:
    """Short, distinct names by `_KEY`: the source, and what tells apart two corpora of one source."""
    distinct = pd.concat([frame[_KEY] for frame in frames]).drop_duplicates()
    short = distinct["source"].map(short_source)
    names: dict[tuple[object, ...], str] = {}
    keys = [tuple(row) for row in distinct.itertuples(index=False)]
    for key, name, crowded in zip(keys, short, short.duplicated(keep=False), strict=True):
        source, sha256, block_bytes, heldout_bytes = key
        full = f"{source} ({sha256[:8]}, blocks of {block_bytes}, held out {heldout_bytes})"
        names[key] = full if crowded else str(name)
    return names


def named(frame: pd.DataFrame, names: dict[tuple[object, ...], str]) -> list[str]:
    """What the corpus of each row is called, without its leak."""
    copies = [", without copies" if known else "" for known in frame["deduplicated_bytes"].notna()]
    keys = [tuple(row) for row in frame[_KEY].itertuples(index=False)]
    return [names[key] + text for key, text in zip(keys, copies, strict=True)]


def leak_texts(fractions: Iterable[float]) -> list[str]:
    """Percent, as long as one another before the point; nothing where nothing leaks."""
    known = list(fractions)
    percent = [f"{100 * fraction:.3g}" for fraction in known]
    width = max((len(text.partition(".")[0]) for text in percent), default=0)
    padded = [" " * (width - len(text.partition(".")[0])) + text for text in percent]
    return [text if fraction else "" for text, fraction in zip(padded, known, strict=True)]


def _told_apart(numbers: pd.Series[int]) -> list[str | None]:
    """Numbers as long as one another; None where all are the same."""
    if numbers.nunique() < 2:
        return [None] * len(numbers)
    width = len(f"{numbers.max():,}")
    return [f"{n:>{width},}" for n in numbers]


def short_source(source: str) -> str:
    """A path by its last name."""
    kind, _, path = source.partition(":")
    return f"{kind}:{Path(path).name}" if kind in ("file", "image", "audio") else source
