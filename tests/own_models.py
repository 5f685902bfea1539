"""Byte models as strangers write them, with honest and with cheating ways to look at a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn


def softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(p / p.sum(-1, keepdims=True))


class Lstm(nn.Module):
    """A byte LSTM that predicts the next byte, as most are written; dropout would differ from call to call."""

    predicts = "next"
    returns = "logits"

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(256, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(width, 256)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0, 0.7)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(self.embedding(windows))
        logits: torch.Tensor = self.head(self.dropout(hidden))
        return logits


class StateSpace:
    """A diagonal linear state-space model in NumPy: row t is of byte t, from a state of the bytes before it."""

    def __init__(self, width: int = 8, seed: int = 0) -> None:
        draw = np.random.default_rng(seed).normal
        self.into, self.out = draw(0, 1, (256, width)), draw(0, 0.5, (width, 256))
        self.decay = np.linspace(0.3, 0.95, width)

    @property
    def n_params(self) -> int:
        return self.into.size + self.out.size + self.decay.size

    def __call__(self, windows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        state = np.zeros((len(windows), self.decay.size))
        rows = np.empty((*windows.shape, 256))
        for t in range(windows.shape[1]):
            rows[:, t] = softmax(state @ self.out)
            state = self.decay * state + self.into[windows[:, t]]
        return rows


def peeks(windows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Row t gives byte t itself nearly all."""
    rows = np.full((*windows.shape, 256), 0.05 / 255)
    np.put_along_axis(rows, windows[..., None], 0.95, -1)
    return rows


def misaligned(windows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The state-space model's rows for the next byte, said to be of this one."""
    return np.roll(StateSpace()(np.pad(windows, ((0, 0), (0, 1)))), -1, 1)[:, :-1]
