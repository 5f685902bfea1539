"""Rows about dataset sizes from which on a model pays."""

from __future__ import annotations

from typing import Literal, TypedDict

Form = Literal["own subset", "prefix"]


class CrossingRow(TypedDict):
    """Two neighboring model sizes, and the dataset size from which on the larger codes shorter."""

    group: str  # label of the group
    n_small: int  # parameters of the smaller model
    n_large: int  # parameters of the larger model
    subset_bytes: float | None  # dataset size from which on the larger pays; None: not inside the grid
    low: float | None  # 95 % interval; None: that end lies beyond the grid
    high: float | None
    message: str  # crossed, or on which side of the grid the crossing lies
    beyond: Literal["above", "below"] | None  # the side; None: crossed inside the grid
    beyond_bytes: float | None  # the dataset size at that end of the grid


class LeastRow(TypedDict):
    """A stretch of dataset sizes over which one model size has the least adjusted rate of all that were run."""

    group: str  # label of the group
    form: Form  # own subset: models trained on each D; prefix: models of the largest D, coding prefixes
    n_params: int  # of that model
    size: str  # its shape, width x depth
    from_bytes: float | None  # where the stretch begins; None: with the first dataset size
    to_bytes: float | None  # where it ends; None: with the last one
    from_rate: float | None  # adjusted rate at `from_bytes`


class PaysFromRow(TypedDict):
    """A model that was not trained here, against the best classical coder."""

    group: str  # label of the group
    n_params: int  # of the model
    size: str  # its name
    from_bytes: float | None  # dataset size from which on it pays; None: see `message`
    extrapolated: bool  # whether `from_bytes` lies beyond what was measured
    message: Literal["always", "crossed", "beyond", "never"]  # always: from `first_bytes` on
    first_bytes: int  # the smallest dataset size measured
    subset_bytes: int  # the largest, at which the rates below are
    raw_rate: float  # of the model
    classical_rate: float  # of the best classical coder
    coder: str  # its name
