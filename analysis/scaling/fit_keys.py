"""A fit as JSON, key by key: what `mdl fit --json` prints and a report's summary holds."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

Column = Literal["N", "D", "C", "loss"]
Operator = Literal[">", ">=", "<", "<="]


class Parameters(TypedDict):
    """The law's parameters, None without a law; those of the other forms where the law is of such a form."""

    E: float | None  # the loss that no model of this kind removes
    A: float | None  # factor of N^−α
    B: float | None  # factor of D^−β
    alpha: float | None  # α
    beta: float | None  # β
    kappa: NotRequired[float]  # κ of the form overfitting
    passes_star: NotRequired[float]  # R*_D of the form repeated
    sizes_star: NotRequired[float]  # R*_N of the form repeated


class KeptFit(Parameters):
    """A law fitted without the rows held out."""

    objective: float | None  # sum of Huber's function over the rows; None without a law
    n_points: int  # rows


class DroppedRows(TypedDict):
    """Rows of a table that were left out for one reason."""

    reason: str  # in words
    n_rows: int  # how many
    lines: list[int]  # the first few, counted from 1 without the header
    readings: list[str]  # what stands in each of these, and what it was tried as


class TriedForm(TypedDict):
    """A form of the law that was tried."""

    form: str  # plain, repeated or overfitting
    identified: bool  # whether the data determine its parameters
    held_out_error: float | None  # mean error on rows held out, a fraction
    objective: float | None  # sum of Huber's function; None without a law
    message: str  # how its interval was made, or why there is none


class FitInterval(TypedDict):
    """What the interval of the parameters covers."""

    n_replicates: int  # bootstrap replicates; 0: none
    varies: str  # what was resampled
    message: str  # how it was made, or why there is none


class CutKeys(TypedDict):
    """A condition on one column of the rows."""

    column: Column  # parameters N, data D, FLOPs C, or the loss
    operator: Operator  # how rows held out compare with the bound
    bound: float  # in the column's unit


class HeldOutTest(TypedDict):
    """The law fitted without some rows, and its error on them."""

    held_out: str  # the condition, as it was written
    n_kept: int  # rows
    n_held_out: int  # rows
    error: float | None  # mean of |predicted / measured − 1|; None without a law
    largest_error: float | None  # the largest of them
    last_value_error: float | None  # of predicting the loss of the kept row of most compute
    nearest_error: float | None  # of predicting the loss of the nearest kept row
    fit: KeptFit | None  # of the kept rows; None: the split kept or held out no row
    message: str  # how the optimum was found, or why there is none
    cut: CutKeys | None  # the condition in parts; None: the largest N or D


class FitContent(Parameters):
    """A scaling law, its uncertainty and its held-out test."""

    objective: float | None  # sum of Huber's function over the rows; None without a law
    delta: float  # Huber's δ
    n_points: int  # rows
    success: bool  # whether there is a law
    message: str  # how the optimum was found, or why there is none
    dropped: list[DroppedRows]  # rows left out
    notes: list[str]  # what to know about the rows
    form: str | None  # of the law
    formula: str | None  # of the law
    forms: list[TriedForm]  # all that were tried
    se: dict[str, float]  # standard errors by parameter; empty: none
    ci95: dict[str, list[float]]  # ends of the 95 % intervals by parameter; empty: none
    interval: FitInterval  # what they cover
    held_out: list[HeldOutTest]  # one per split


class FittedRow(TypedDict):
    """A cell beside the law."""

    n_params: float  # N
    subset_bytes: float  # D
    epochs: float  # how often D was read
    loss: float  # measured, bits per byte
    fitted: float | None  # by the law; None without one


class OwnFit(FitContent):
    """The scaling law of a sweep's own records."""

    group: str  # label of the group that was fitted: the one with most cells
    unit: Literal["held-out bits a byte"]  # of the loss
    residuals: list[FittedRow]  # one per cell
