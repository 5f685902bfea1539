"""What the committed studies foretell of a critical size, to begin the search near it. It is no part of the answer.

N* = k · D^γ at 2 bytes per parameter, of the reference study's laws (reports/study-text, study-images, study-speech).
A benchmark compares this table with their summaries.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SizeForecast:
    """A law of the critical size: N* parameters of D bytes."""

    k: float
    gamma: float

    def n_params(self, subset_bytes: float, bytes_per_param: float = 2.0) -> float:
        """N* of a dataset; a cheaper parameter pays for more of them, by c^-γ (the closed form's γ = 1/(1+a))."""
        return float(self.k * subset_bytes**self.gamma * (2.0 / bytes_per_param) ** self.gamma)


_BY_MODALITY = {
    "text": SizeForecast(0.473, 0.778),
    "image": SizeForecast(1.02, 0.667),
    "audio": SizeForecast(1.29, 0.634),
}


def forecast_of(modality: str) -> SizeForecast:
    """Of other bytes than text, pictures and sound as of text."""
    return _BY_MODALITY.get(modality, _BY_MODALITY["text"])
