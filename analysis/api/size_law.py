"""N* = k · D^γ, as notebooks have it."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy.typing as npt

from analysis.critical import PowerLaw
from analysis.formatting import format_about
from analysis.types import Floats


@dataclass(frozen=True, repr=False)
class SizeLaw:
    """N* = k · D^γ, N* in parameters and D in bytes: what `Study.size_law` is.

    Attributes
    ----------
    success
        Whether there is a law: at least two dataset sizes have a critical size.
    message
        What the law goes through, or why there is none.
    gamma
        The exponent γ, without a unit; None without a law.
    interval
        The 95 % interval of γ, (low, high); None with fewer than three dataset sizes.
    n_points
        How many dataset sizes the law goes through.
    law
        The same with every number that the fit has, `k` among them.

    Examples
    --------
    >>> law = analysis.load(RECORDS).study().size_law
    >>> law
    SizeLaw(N* = 22 K × (D / 1 MB)^0.78, 95 %: 0.69 to 0.89; 3 dataset sizes)
    >>> law.success, round(law.gamma, 2), law.n_points
    (True, 0.78, 3)
    """

    law: PowerLaw

    @property
    def success(self) -> bool:
        """Are there two bracketed dataset sizes at least?"""
        return self.law.gamma is not None

    @property
    def message(self) -> str:
        """What it goes through, or why there is none."""
        return self.law.message

    @property
    def gamma(self) -> float | None:
        """The exponent γ; None without a law."""
        return self.law.gamma

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of γ; None with fewer than three dataset sizes."""
        low, high = self.law.gamma_low, self.law.gamma_high
        return None if low is None or high is None else (low, high)

    @property
    def n_points(self) -> int:
        """Dataset sizes that it goes through."""
        return self.law.n_points

    def predict(self, subset_bytes: npt.ArrayLike) -> Floats:
        """N* at dataset sizes D; an extrapolation outside the sizes that were measured.

        Parameters
        ----------
        subset_bytes
            D, bytes, above 0: a number or an array of any shape.

        Returns
        -------
        numpy.ndarray
            N*, parameters, in the same shape.

        Raises
        ------
        AnalysisError
            Without a law.

        Examples
        --------
        >>> analysis.load(RECORDS).study().size_law.predict([1e6, 1e7]).round(-3)
        array([ 22000., 131000.])
        """
        return self.law.predict(subset_bytes)

    def __repr__(self) -> str:
        if self.gamma is None:
            return f"SizeLaw(none: {self.message})"
        at_1_mb = format_about(float(self.predict(1e6)))
        interval = f", 95 %: {self.interval[0]:.2f} to {self.interval[1]:.2f}" if self.interval else ""
        return f"SizeLaw(N* = {at_1_mb} × (D / 1 MB)^{self.gamma:.2f}{interval}; {self.n_points} dataset sizes)"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"
