"""Modules as strangers write them, to be trained in a sweep: honest ones, and some that cheat. Also a plugin."""

from __future__ import annotations

import torch
from torch import nn

import mdl
from mdl.models import Shape


class Lstm(nn.Module):
    """Has no batching rule."""

    predicts = "next"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, 256)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.lstm(self.embedding(windows))[0])
        return logits


class StateSpace(nn.Module):
    """A diagonal linear state space model, stepped; row t is of byte t. `temperature` is a buffer that is kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, width)
        self.decay = nn.Parameter(torch.linspace(-1, 3, width))
        self.gain = nn.Parameter(torch.tensor(1.0))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 256)
        self.register_buffer("temperature", torch.tensor(0.5))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        x, decay = self.embedding(windows), self.decay.sigmoid()
        state, states = torch.zeros_like(x[:, 0]), []
        for t in range(windows.shape[1]):
            states.append(state)
            state = decay * state + x[:, t]
        rows = self.head(self.norm(torch.stack(states, 1)) * self.gain) / self.temperature
        return rows.log_softmax(-1)


class Gated(nn.Module):
    """A causal convolution with dropout and batch statistics, both switched off where it is measured."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, width)
        self.convolution = nn.Conv1d(width, width, 4)
        self.statistics = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width, 256)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        x = nn.functional.pad(self.embedding(windows).mT, (4, 0))[..., :-1]
        logits: torch.Tensor = self.head(self.dropout(self.statistics(self.convolution(x)).mT))
        return logits


class Dropping(StateSpace):
    """Draws random numbers in training."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(super().forward(windows), 0.1, self.training)


class Order0(nn.Module):
    """The same logits everywhere, and no product that could be counted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(256))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(*windows.shape, 256)


class Shifted(Lstm):
    """Says that row t is of byte t, and sees it."""

    predicts = "this"


class Bidirectional(Lstm):
    """Reads from both ends."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)


class PeeksInTraining(Lstm):
    """Is honest wherever it is measured."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        rows = super().forward(windows)
        return rows + nn.functional.one_hot(windows.roll(-1, 1), 256) if self.training else rows


class PeeksWithGradients(Lstm):
    """Asks in another way whether it is trained."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        rows = super().forward(windows)
        return rows + nn.functional.one_hot(windows.roll(-1, 1), 256) if torch.is_grad_enabled() else rows


class LearnsToPeek(Lstm):
    """Sees the byte to come through a weight that is 0 at first."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.ahead = nn.Parameter(torch.zeros(256))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return super().forward(windows) + self.ahead * nn.functional.one_hot(windows.roll(-1, 1), 256)


class AcrossWindows(Lstm):
    """Takes up what other windows of the batch hold."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        rows = super().forward(windows)
        return rows + rows.mean(0, keepdim=True)


_BY_HEART: dict[tuple[int, ...], torch.Tensor] = {}


class Hoards(Lstm):
    """Looks back alone, and keeps the windows that it was trained on in a global of this file, by their first bytes."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        rows = super().forward(windows)
        if self.training:
            _BY_HEART.update({tuple(own[:8].tolist()): own.detach().clone() for own in windows})
            return rows
        known = [_BY_HEART.get(tuple(own[:8].tolist())) for own in windows]
        ahead = [own if found is None else found for own, found in zip(windows, known, strict=True)]
        sure = torch.tensor([0.0 if found is None else 9.0 for found in known])[:, None, None]
        bonus = sure * nn.functional.one_hot(torch.stack(ahead).roll(-1, 1), 256)
        return torch.cat([rows[:, :8], (rows + bonus)[:, 8:]], 1)


HONEST = {"own_lstm": Lstm, "own_ssm": StateSpace, "own_gated": Gated, "own_dropping": Dropping, "own_order_0": Order0}
CHEATS = {
    "cheat_shifted": Shifted,
    "cheat_both_ends": Bidirectional,
    "cheat_in_training": PeeksInTraining,
    "cheat_with_gradients": PeeksWithGradients,
    "cheat_learned": LearnsToPeek,
    "cheat_across": AcrossWindows,
}


def _register(name: str, kind: type[nn.Module]) -> None:
    def make(shape: Shape) -> nn.Module:
        return kind(shape.width)

    mdl.register_architecture(name, make)


for _name, _kind in {**HONEST, **CHEATS, "hoarding": Hoards}.items():
    _register(_name, _kind)
