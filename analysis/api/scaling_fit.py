"""The law of the loss on anyone's table, as notebooks have it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy.typing as npt

from analysis.scaling import HeldOut, ScalingLaw, fit_report_of, fit_to_text, parse_delta, read_measurements
from analysis.scaling import Report as FitReport
from analysis.types import Floats


@dataclass(frozen=True, repr=False)
class ScalingFit:
    """L = E + A·N^−α + B·D^−β, or another form of it, fitted to a table; or why there is no such law.

    Attributes
    ----------
    success
        Whether the table determines the law.
    message
        How the optimum was found, or why there is none.
    params
        E, A, B, alpha and beta as attributes, not rounded, in the table's units; None without a law.
    form
        The form of the law: "plain", "repeated" or "overfitting"; None without a law.
    interval
        95 % intervals, (low, high), by name: E, A, B, alpha, beta, log_A, log_B. It is empty where there are none.
    held_out
        How well the law foretold rows that it had not seen.
    made
        The same with every number that the report has.

    Examples
    --------
    >>> fit = analysis.fit_scaling_law(LOSSES)
    >>> fit
    ScalingFit(L = 1.69 + 406.4·N^-0.34 + 410.7·D^-0.28; 64 points)
    >>> [round(end, 3) for end in fit.interval["alpha"]]
    [0.34, 0.34]
    """

    made: FitReport

    @property
    def success(self) -> bool:
        """Does the table determine the law?"""
        return self.made.fit.success

    @property
    def message(self) -> str:
        """How the optimum was found, or why there is none."""
        return self.made.fit.message

    @property
    def params(self) -> ScalingLaw | None:
        """E, A, B, alpha, beta, not rounded, and the form with what it has beside them; None without a law."""
        return self.made.fit.params

    @property
    def form(self) -> str | None:
        """Which form of the law it is: plain, repeated or overfitting; None without a law."""
        return self.params.form if self.params else None

    @property
    def interval(self) -> dict[str, tuple[float, float]]:
        """95 % intervals by name (E, A, B, alpha, beta, log_A, log_B); empty where there are none."""
        return dict(self.made.uncertainty.ci95)

    @property
    def held_out(self) -> tuple[HeldOut, ...]:
        """How well it foretold rows that it had not seen."""
        return self.made.held_out

    def predict(self, n_params: npt.ArrayLike, data: npt.ArrayLike, epochs: npt.ArrayLike = 1.0) -> Floats:
        """The loss that the law foretells.

        Parameters
        ----------
        n_params
            Model sizes N, above 0, in the table's unit: a number or an array.
        data
            Unique data D, above 0, in the table's unit, of a shape that broadcasts with that of `n_params`.
        epochs
            How often the data are read, from 1 on, for the form "repeated"; the others do not ask.

        Returns
        -------
        numpy.ndarray
            Losses in the table's unit, of the broadcast shape.

        Raises
        ------
        AnalysisError
            Without a law.

        Examples
        --------
        >>> analysis.fit_scaling_law(LOSSES).predict([1e8, 1e9], 2e10).round(2)
        array([3.  , 2.58])
        """
        return self.made.fit.predict(n_params, data, epochs)

    def __repr__(self) -> str:
        if self.params is None:
            return f"ScalingFit(none: {self.message})"
        law = self.params
        said = f"L = {law.E:.4g} + {law.A:.4g}·N^-{law.alpha:.4g} + {law.B:.4g}·D^-{law.beta:.4g}"
        if law.more:
            said = f"{law.formula}, " + ", ".join(f"{name} = {value:.4g}" for name, value in law.parameters.items())
        return f"ScalingFit({said}; {self.made.fit.n_points} points)"

    def __str__(self) -> str:
        return fit_to_text(self.made)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def fit_scaling_law(
    table: str | Path,
    *,
    n: str = "N",
    d: str = "D",
    loss: str = "loss",
    c: str = "C",
    delta: float | str | None = None,
    holdout: Sequence[str] = (),
    cluster: Sequence[str] = (),
    group: str | None = None,
    epochs: str = "epochs",
    form: str | None = None,
) -> ScalingFit:
    """Fit L = E + A·N^−α + B·D^−β, or a form for repeated data, to anyone's table of losses.

    With intervals and a test on held-out rows.

    Parameters
    ----------
    table
        A CSV, or a sweep's run folder (held-out bits per byte over unique bytes).
    n, d, loss, c
        Its columns of model sizes N (parameters), data D, losses, and compute C (FLOPs). Where D is missing it is
        C / (6·N), where C is missing 6·N·D.
    delta
        Huber's δ; "auto": 1.345 robust scales of the residuals. None: 1e-3 (Hoffmann et al. 2022), for a sweep auto.
    holdout
        Rows to foretell without having seen them, such as "C>1e21"; none: the largest N, D and C.
    cluster
        Columns whose equal values mark rows with common noise.
    group
        Which corpus of a sweep that has several.
    epochs
        Its column of how often a model read its data, D being the unique ones; there need not be one.
    form
        "plain"; "repeated" (Muennighoff et al. 2023); "overfitting" (B grows as N^κ); "auto": of those that the table
        identifies the one that foretells held-out rows best. None: auto where `epochs` are known, else plain.

    Returns
    -------
    ScalingFit
        `.success`, `.message`, `.params`, `.interval`, `.predict(n, d)`.

    Raises
    ------
    AnalysisError
        For a table that cannot be read, naming the row; a table that does not determine the law is no error.

    Examples
    --------
    >>> fit = analysis.fit_scaling_law(LOSSES, n="N", d="D", loss="loss")
    >>> fit.success, round(fit.params.alpha, 2), round(fit.params.beta, 2)
    (True, 0.34, 0.28)
    >>> float(fit.predict(1e9, 2e10).round(3))
    2.58
    """
    columns = {"n": n, "d": d, "loss": loss, "c": c, "epochs": epochs}
    measured, usual = read_measurements(Path(table), columns, ",".join(cluster), group)
    word = None if delta is None else str(delta)
    return ScalingFit(fit_report_of(measured, parse_delta(word, usual), tuple(holdout), form))
