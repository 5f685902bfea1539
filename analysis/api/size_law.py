"""N* = k · D^γ, as notebooks have it."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy.typing as npt

from analysis.critical import PowerLaw
from analysis.formatting import format_count
from analysis.types import Floats


@dataclass(frozen=True, repr=False)
class SizeLaw:
    """N* = k · D^γ, N* in parameters and D in bytes. `success` says whether there is one, `message` why or why not."""

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
        """N*, parameters, at dataset sizes D, bytes, of any shape; AnalysisError without a law.

        Outside the dataset sizes that were measured it is an extrapolation.
        """
        return self.law.predict(subset_bytes)

    def __repr__(self) -> str:
        if self.gamma is None:
            return f"SizeLaw(none: {self.message})"
        at_1_mb = format_count(float(self.predict(1e6)))
        interval = f", 95 %: {self.interval[0]:.2f} to {self.interval[1]:.2f}" if self.interval else ""
        return f"SizeLaw(N* = {at_1_mb} × (D / 1 MB)^{self.gamma:.2f}{interval}; {self.n_points} dataset sizes)"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"
