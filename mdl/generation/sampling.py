"""How the next bytes are drawn from a model's probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdl.errors import MdlError

Nats = npt.NDArray[np.float64]
Predict = Callable[[bytes], Nats]  # all so far -> log-probabilities (256,) of the next byte, up to a constant
Continue = Callable[[bytes, int], bytes]  # a prompt and a number of bytes -> so many bytes that follow


@dataclass(frozen=True)
class Sampling:
    """How a symbol is drawn: from p^(1/temperature), of the likeliest that make up `top_p` of it. 0: the likeliest."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """MdlError for what is out of range."""
        if not 0 <= self.temperature < float("inf"):
            raise MdlError(f"--temperature must be at least 0 (0: always the likeliest), got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise MdlError(f"--top-p must be above 0 and at most 1, got {self.top_p}")
        if self.seed < 0:
            raise MdlError(f"--seed must be at least 0, got {self.seed}")

    def generator(self) -> np.random.Generator:
        """A new generator of random numbers, from the seed."""
        return np.random.Generator(np.random.Philox(self.seed))

    def draw(self, nats: Nats, generator: np.random.Generator) -> int:
        """One of the symbols (V,), given their log-probabilities up to a constant."""
        if self.temperature == 0:
            return int(nats.argmax())
        p = np.exp((nats - nats.max()) / self.temperature)
        p /= p.sum()
        order = np.argsort(-p, kind="stable")
        sums = np.cumsum(p[order])
        n_kept = int(np.searchsorted(sums, self.top_p * sums[-1])) + 1  # the first that reaches it is kept
        place = int(np.searchsorted(sums, generator.random() * sums[n_kept - 1], side="right"))
        return int(order[min(place, n_kept - 1)])


def sampler(predict: Predict, sampling: Sampling) -> Continue:
    """Bytes drawn one by one, the same every time."""

    def go_on(prompt: bytes, n_bytes: int) -> bytes:
        generator, content = sampling.generator(), bytearray(prompt)
        for _ in range(n_bytes):
            content.append(sampling.draw(predict(bytes(content)), generator))
        return bytes(content[len(prompt) :])

    return go_on
