"""Any compressor as a generator: p(b | x) ∝ 2^(len(x) − len(xb)), b one of the 256 bytes (Delétang et al. 2024).

Here len is the true size of the file that a coder writes, in bits. Every file is a whole number of bytes (an .xz file
even of four), so the lengths of the 256 continuations take few values: those of the least are equally likely, and each
byte more makes a continuation 256 times less likely. What a coder expects shows only where it moves the size past a
byte's boundary: gzip goes on with a noise of bytes that it has seen, and pieces of words. The paper draws from the same
formula, 100 bytes of text from 1948 and 250 pixels from 250; ties are not broken by a look further ahead, since that
would be another coder.

A coder sees the last `context_bytes` bytes, 2048 as in the paper, and every continuation of them is really compressed;
gzip alone goes on from a copy of its state. A model of mdl's own steps through its window (`float64_stepwise`);
where that is full it begins a new one with the last half.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdl.compressors import REGISTRY
from mdl.compressors import get as get_compressor
from mdl.errors import MdlError, nearest
from mdl.generation.sampling import Continue, Nats, Predict, Sampling, sampler
from mdl.pretrained import OWN_PREFIX, PREFIX

if TYPE_CHECKING:
    from mdl.compressors import ExactModel

CONTEXT_BYTES = 2048


def open_coder(name: str, sampling: Sampling, context_bytes: int = CONTEXT_BYTES, device: str = "auto") -> Continue:
    """Of a coder's registry name, a run's folder, a .safetensors file, hf:MODEL or py:NAME; MdlError for others."""
    if context_bytes < 1:
        raise MdlError(f"--context-bytes must be at least 1 byte, got {context_bytes}")
    if name in REGISTRY:
        return sampler(by_length(name, context_bytes), sampling)
    if name.startswith(PREFIX):
        from mdl.generation.pretrained import open_pretrained

        return open_pretrained(name, sampling, device)
    if name.startswith(OWN_PREFIX):
        from mdl.generation.own_models import open_own

        return open_own(name, sampling, device)
    path = name.removeprefix("model:")
    if not Path(path).exists():
        names = ", ".join([*REGISTRY, "runs/<sweep>/<run id>", "hf:MODEL", "py:NAME"])
        raise MdlError(f"unknown coder '{name}'{nearest(name, REGISTRY)} (there are {names}; --plugin FILE adds yours)")
    from mdl.compressors import choose_model, load_model
    from mdl.device import choose_device

    return sampler(by_model(load_model(choose_model(path).weights, choose_device(device))), sampling)


def by_length(name: str, context_bytes: int = CONTEXT_BYTES) -> Predict:
    """The distribution that a coder's lengths imply."""
    if name == "gzip":
        lengths = gzip_lengths
    else:
        coder = get_compressor(name, context_bytes)

        def lengths(context: bytes) -> list[int]:
            return [len(coder.compress(context + bytes([b]))) for b in range(256)]

    def predict(content: bytes) -> Nats:
        # The byte to come is within the context, as a coder's longest input is.
        context = content[max(0, len(content) - context_bytes + 1) :]
        nats: Nats = -8 * np.log(2) * np.asarray(lengths(context), np.float64)
        return nats

    return predict


def gzip_lengths(context: bytes) -> list[int]:
    """Sizes of the gzip files of the context and each byte, from copies of the state that has read the context."""
    base = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    n_written = len(base.compress(context))
    sizes = []
    for b in range(256):
        copy = base.copy()
        sizes.append(n_written + len(copy.compress(bytes([b]))) + len(copy.flush()))
    return sizes


def by_model(exact: ExactModel) -> Predict:
    """A model's own distribution, in float64, of content that grows by a byte from call to call."""
    from mdl.models import require_exact

    T = exact.shape.context_tokens
    stepper = require_exact(exact.shape, "texts drawn by a trained model").stepwise(exact.model, 1, T)
    window = b""  # what has been stepped through; the stepper has one more place for the byte to come
    logits: Nats = np.empty(0)

    def predict(content: bytes) -> Nats:
        nonlocal window, logits
        grown = len(window) < T - 1 and logits.size and content.endswith(window + content[-1:])
        if grown:
            to_come = content[-1:]
        else:  # the first call, or a full window
            to_come = content if len(content) < T else content[-(T // 2) :]
            window = b""
            stepper.restart()
            logits = stepper.logits(None)[0].cpu().numpy()
        for b in to_come:
            logits = stepper.logits(np.array([b], np.uint8))[0].cpu().numpy()
        window += to_come
        return logits

    return predict
