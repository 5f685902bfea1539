"""A model of a user's own as a generator: the row of the byte to come, drawn from byte by byte."""

from __future__ import annotations

import numpy as np

from mdl.errors import MdlError
from mdl.generation.sampling import Continue, Nats, Predict, Sampling, sampler
from mdl.pretrained import OwnModel, Windows, byte_windows, check_model

_TRIED_BYTES = 256  # of a window in which it is tried: what is misaligned draws nonsense


def open_own(spec: str, sampling: Sampling, device: str = "auto") -> Continue:
    """Of py:NAME; MdlError where no plugin registers it, or where it returns no distributions."""
    from mdl.device import choose_device
    from mdl.pretrained import open_own_model

    model = open_own_model(spec, choose_device(device))
    context_bytes = byte_windows(model, None, None).context_tokens
    tried = min(context_bytes, _TRIED_BYTES)
    check_model(model, Windows(tried, tried, 1))
    return sampler(by_rows(model, context_bytes), sampling)


def by_rows(model: OwnModel, context_bytes: int) -> Predict:
    """The distribution of the byte after all so far; where the window is full it begins anew with its last half."""
    first = 0

    def predict(content: bytes) -> Nats:
        nonlocal first
        if not first <= len(content) < first + context_bytes:
            first = max(0, len(content) - context_bytes // 2)
        n = len(content) - first
        # Zeros stand for what is to come. Few lengths: what compiles for a shape would compile at every byte.
        window = np.zeros(min(context_bytes, 1 << n.bit_length()), np.int64)
        window[:n] = np.frombuffer(content, np.uint8)[first:]
        try:
            return np.asarray(model.predictor.nats(window[None])[0, n])
        except MdlError as error:
            raise MdlError(f"{model.spec}: {error}") from error.__cause__

    return predict
