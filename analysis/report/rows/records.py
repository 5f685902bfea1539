"""Rows about the records: groups, corpora, the recipe, and how, where and when everything was made."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Axis = Literal["seed", "shuffle_seed"]  # what replicates differ in


class GroupRow(TypedDict):
    """What the label of a group or corpus is made of."""

    group: str  # the label, as rows name it
    corpus: str  # short name of the corpus
    parts: list[str]  # what tells it apart, such as "5 % leaked", "context 64", "vocabulary 1,024"


class FailedRow(TypedDict):
    """A cell without a result."""

    run_id: str  # of the cell
    reason: str | None  # as recorded


class _CorpusKeys(TypedDict):
    corpus: str  # short name
    source: str  # as given
    corpus_bytes: int  # of the whole
    sha256: str  # of the whole
    block_bytes: int  # the unit of the shuffle
    shuffle_seed: int  # of the shuffle
    train_bytes: int  # of the training part
    heldout_bytes: int  # of the held-out part


class CorpusRow(_CorpusKeys, total=False):
    """A corpus, its hash and its split; what is known of copies where a record knows it."""

    heldout_copied_bytes: int  # of the held-out part, those that the training part has too
    deduplicated_bytes: int  # left out as copies


class RecipeRow(TypedDict):
    """A version of the recipe and its optimizer."""

    recipe: int  # version
    optimizer: str  # name


class ShapeRow(TypedDict):
    """A shape that was trained."""

    size: str  # width x depth
    n_params: int  # model size N
    n_heads: int  # attention heads per layer
    embedding_params: int  # of n_params, those of the embedding
    learning_rate: float  # at its peak


class BudgetRow(TypedDict):
    """A length of training."""

    n_steps: int  # optimizer steps
    context_bytes: int  # window length, tokens of the model
    bytes_seen: int  # repeats counted


class PassesRow(TypedDict):
    """How often a dataset was read."""

    subset_bytes: int  # dataset size D
    n_steps: int  # of the training
    passes: float  # epochs


class Recipe(TypedDict):
    """What was trained, and how; empty lists where the records do not say."""

    recipes: list[RecipeRow]  # versions, with their optimizers
    shapes: list[ShapeRow]  # by size
    budgets: list[BudgetRow]  # by length
    passes: list[PassesRow]  # by dataset size and budget
    settings: dict[str, Any]  # what all cells share, by dotted key of the configuration


class CommitRow(TypedDict):
    """A version of this package that made records."""

    git_commit: str | None  # None: not recorded; + at its end: with uncommitted changes
    n_records: int  # made by it
    created: str  # of the newest, ISO 8601


class CommandRow(TypedDict):
    """A command that made records."""

    command: str | None  # None: not recorded
    n_records: int  # made by it
    created: str  # of the newest, ISO 8601


class ConfoundedRow(TypedDict):
    """A replicate axis along which the version changes too."""

    axis: Axis  # what the replicates differ in
    n_apart: int  # cells whose replicates are of several commits
    n_replicated: int  # cells that have replicates


class Provenance(TypedDict):
    """How, where, when and at what expense the records were made."""

    command: str | None  # of the sweep; None: not recorded
    created: str | None  # of the newest record, ISO 8601
    git_commits: list[str]  # all of them, sorted
    devices: list[str]  # names of the hardware
    hostnames: list[str]  # names of the machines
    precisions: list[str]  # arithmetic of the training
    n_threads: list[int]  # per process
    versions: list[str]  # of the libraries
    commits: list[CommitRow]  # newest first
    commands: list[CommandRow]  # newest first
    confounded: list[ConfoundedRow]  # where replicates are another version too
    n_cohorts: int  # trainings, each of several cells
    training_seconds: float  # summed over cohorts, each once
    measuring_seconds: float  # summed over cohorts
    bytes_seen: int  # in training, over all cells; what budgets share counts once
    flops: float  # of training, over all cells; what budgets share counts once
