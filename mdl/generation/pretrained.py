"""A pretrained model as a generator: tokens drawn one by one, as its tokenizer writes them in bytes.

The prompt's tokens are those of its text; bytes that are no UTF-8, or that the tokenizer does not give back, are no
tokens and are left out, as the model cannot see them. Where the context is full it begins anew with the last half.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdl.errors import MdlError
from mdl.generation.sampling import Continue, Nats, Sampling
from mdl.pretrained import Pretrained, cache_name

_IDLE_TOKENS = 64  # that add no text, one after another, at the most


def open_pretrained(spec: str, sampling: Sampling, device: str = "auto") -> Continue:
    """Of hf:FOLDER or hf:OWNER/NAME, in float32; MdlError where it cannot be read or gets no token of the prompt."""
    from mdl.device import choose_device
    from mdl.pretrained import find_checkpoint, load_pretrained, windows_of

    checkpoint = find_checkpoint(spec)
    context_tokens = windows_of(checkpoint, None, None).context_tokens
    return sampler(load_pretrained(checkpoint, "float32", choose_device(device)), context_tokens, sampling)


def sampler(model: Pretrained, context_tokens: int, sampling: Sampling) -> Continue:
    """Whole tokens until there are enough bytes; the last is cut."""

    def go_on(prompt: bytes, n_bytes: int) -> bytes:
        ids = [i for run in model.tokenizer.runs(prompt) for i in run.ids]
        if not ids and model.start is None:
            raise MdlError(f"{model.checkpoint.spec}: the prompt has no tokens to begin with; give a text")
        generator, step, n_prompt = sampling.generator(), _Steps(model, context_tokens), len(ids)
        content, n_idle = b"", 0
        while len(content) < n_bytes:
            ids.append(sampling.draw(step.nats(ids), generator))
            # Not the new token alone: a character may be of several, and a first space may be dropped.
            written = _written(model, ids, n_prompt)
            content, n_idle = written, 0 if len(written) > len(content) else n_idle + 1
            if n_idle > _IDLE_TOKENS:
                raise MdlError(f"{model.checkpoint.spec} writes tokens without text; give another prompt or --seed")
        return content[:n_bytes]

    return go_on


def _written(model: Pretrained, ids: list[int], n_prompt: int) -> bytes:
    """What the tokens after the prompt's stand for, with a token of the prompt before them."""
    before = ids[max(0, n_prompt - 1) : n_prompt]
    text = model.tokenizer.decode([*before, *ids[n_prompt:]])
    return text.removeprefix(model.tokenizer.decode(before) if before else "").encode("utf-8", "replace")


class _Steps:
    """Log-probabilities of the next token, with the model's own cache of keys and values."""

    def __init__(self, model: Pretrained, context_tokens: int) -> None:
        self._model, self._context_tokens = model, context_tokens
        self._cache: Any = None
        self._cache_name = cache_name(model.model)
        self._first = 0  # of the tokens that the cache holds

    def nats(self, ids: list[int]) -> Nats:
        """Of all V (V,), after `ids`, which grows by a token from call to call."""
        import torch

        start = [] if self._model.start is None else [self._model.start]
        if len(start) + len(ids) - self._first > self._context_tokens:
            self._first, self._cache = len(ids) - self._context_tokens // 2, None
        new = start + ids[self._first :] if self._cache is None else ids[-1:]
        kept = {self._cache_name: self._cache} if self._cache_name else {}
        with torch.inference_mode():
            output = self._model.model(
                torch.tensor([new], device=self._model.model.device), use_cache=self._cache_name is not None, **kept
            )
        self._cache = getattr(output, self._cache_name or "", None)
        logits: Nats = output.logits[0, -1].double().cpu().numpy()
        if not np.isfinite(logits).all():
            raise MdlError(f"{self._model.checkpoint.spec} gives no finite logits after {len(ids):,} tokens")
        return logits
