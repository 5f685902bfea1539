"""Pretrained causal language models: what they make of bytes, over the full vocabulary, in windows of tokens.

A window of T tokens is coded by itself, as everywhere here: each token from those before it in the window, and from the
beginning-of-text token where tokenizer or configuration has one; else the window's first token costs log2 V bits. With
a stride S < T a window begins every S tokens and only its last S are new, so each has at least T − S before it: a
shorter code for T / S times the work. Log-probabilities are a log-softmax in float32 of all V logits.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdl.errors import MdlError
from mdl.pretrained import byte_fallback
from mdl.pretrained.checkpoint import Checkpoint
from mdl.pretrained.head import Head, separate_head
from mdl.storage import import_optional

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16", "float64")
USUAL_CONTEXT_TOKENS = 2048  # the most that is taken unasked: a window's logits are T × V numbers
_LIMITS = ("max_position_embeddings", "max_seq_len")  # of the context, as configurations call it (MPT the other)
_AFTER_PADDING = ("roberta", "camembert", "xmod", "data2vec-text")  # what positions are counted from, in these
_SHARE_OF_A_CARD = 0.8  # of its free memory, for weights
_CAUSAL_TOLERANCE = 1e-4  # of the largest logit, or four roundings of a coarser dtype; looking ahead moves far more


@dataclass(frozen=True)
class Windows:
    """How a long text is cut: T tokens a window, a new one every S ≤ T tokens, `batch` a call (None: by memory)."""

    context_tokens: int
    stride_tokens: int
    batch: int | None = None


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A model ready to code."""

    checkpoint: Checkpoint
    model: Any  # of transformers
    tokenizer: byte_fallback.Tokenizer
    n_vocabulary: int  # of the logits: V
    start: int | None  # the beginning-of-text token
    head: Head | None  # its output layer, where it stands by itself
    n_params: int  # a tied head counts once
    n_params_by_group: dict[str, int]

    def setting(self, name: str) -> int:
        """A size of the configuration (hidden_size, num_hidden_layers …); 0 where this kind of model has none."""
        value = getattr(self.model.config.get_text_config(), name, 0)
        return value if isinstance(value, int) else 0


def windows_of(checkpoint: Checkpoint, context: int | None, stride: int | None, batch: int | None = None) -> Windows:
    """What was asked for, or the model's own context (at most 2,048 tokens) without overlap; MdlError if it cannot."""
    config = _config(checkpoint).get_text_config()
    limits = (getattr(config, name, None) for name in _LIMITS)
    limit = next((own for own in limits if isinstance(own, int) and own > 1), None)
    if limit and any(name in config.model_type for name in _AFTER_PADDING):
        limit -= 1 + (config.pad_token_id or 0)
    context, stride = cut_of(
        context, stride, limit, said=("--context", "--stride"), unit="tokens", spec=checkpoint.spec
    )
    return Windows(context, stride, batch)


def cut_of(
    context: int | None, stride: int | None, limit: int | None, *, said: tuple[str, str], unit: str, spec: str
) -> tuple[int, int]:
    """Context and stride as asked for, by default the model's own `limit`, at most 2,048, without overlap.

    MdlError for what cannot be, in the words `said` of context and stride.
    """
    context = min(limit or USUAL_CONTEXT_TOKENS, USUAL_CONTEXT_TOKENS) if context is None else context
    stride = context if stride is None else stride
    if context < 2 or (limit and context > limit):
        raise MdlError(f"{said[0]} must be 2 to {limit or 'any number of'} {unit} for {spec}, got {context}")
    if not 1 <= stride <= context:
        raise MdlError(f"{said[1]} must be 1 to the context, {context} {unit}, got {stride}")
    return context, stride


def load_pretrained(
    checkpoint: Checkpoint, dtype: str = "float32", device: torch.device | str = "cpu", **settings: Any
) -> Pretrained:
    """The model of a checkpoint; MdlError where a file is missing, or where the model also looks ahead.

    `settings` are for transformers' from_pretrained.
    """
    import torch

    if dtype not in DTYPES:
        raise MdlError(f"unknown dtype '{dtype}' (there are {', '.join(DTYPES)})")
    tokenizer = _tokenizer(checkpoint)
    settings |= _over_devices(checkpoint, dtype, str(device)) | settings
    settings |= {"dtype": getattr(torch, dtype), "use_safetensors": True, "output_loading_info": True}
    model, loading_info = _read(checkpoint, "AutoModelForCausalLM", **settings)
    absent = sorted(
        {*loading_info.get("missing_keys", ()), *(key[0] for key in loading_info.get("mismatched_keys", ()))}
    )
    if absent:
        raise MdlError(f"{checkpoint.spec}: the weights lack {absent[0]} ({len(absent)} in all); download them again")
    if "device_map" not in settings:
        model = model.to(device)
    model = model.eval()
    n_vocabulary, head = _check_causal(checkpoint, model)
    starts = (tokenizer.bos_token_id, getattr(model.config.get_text_config(), "bos_token_id", None))
    start = next((i for i in starts if isinstance(i, int) and 0 <= i < n_vocabulary), None)
    coder = _both_ways(tokenizer, n_vocabulary)
    groups = _n_params(model)
    return Pretrained(
        checkpoint=checkpoint,
        model=model,
        tokenizer=coder,
        n_vocabulary=n_vocabulary,
        start=start,
        head=head,
        n_params=sum(groups.values()),
        n_params_by_group=groups,
    )


def _over_devices(checkpoint: Checkpoint, dtype: str, device: str) -> dict[str, Any]:
    """Settings that put a model which one card does not hold onto all of them; none where it does, or there is one."""
    import torch

    if not device.startswith("cuda") or torch.cuda.device_count() < 2:
        return {}
    bytes_of = {"float64": 8, "float32": 4}
    n_bytes = checkpoint.file_bytes * bytes_of.get(dtype, 2) // bytes_of.get(checkpoint.weights_dtype, 2)
    if n_bytes < _SHARE_OF_A_CARD * torch.cuda.mem_get_info(device)[0]:
        return {}
    import_optional("accelerate", "a model over several GPUs", extra="pretrained")
    return {"device_map": "auto"}


def open_tokenizer(checkpoint: Checkpoint) -> byte_fallback.Tokenizer:
    """The tokenizer of a checkpoint alone, without the seconds and the memory that the model takes."""
    tokenizer = _tokenizer(checkpoint)
    return _both_ways(tokenizer, len(tokenizer))


def _both_ways(tokenizer: Any, n_vocabulary: int) -> byte_fallback.Tokenizer:
    return byte_fallback.Tokenizer(
        lambda text: list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]),
        lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)),
        n_vocabulary,
    )


def _library() -> Any:
    return import_optional("transformers", "a pretrained model", extra="pretrained")


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Within, transformers says only what went wrong, and draws no bar."""
    level, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bars:
            logging.enable_progress_bar()


def _read(checkpoint: Checkpoint, kind: str, **settings: Any) -> Any:
    library = _library()
    reader = getattr(library, kind)
    try:
        with _quiet(library.logging):
            return reader.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True, **settings)
    except Exception as error:  # transformers raises dozens of kinds; the user needs the first line
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise MdlError(f"{checkpoint.spec} cannot be read by transformers: {reason}") from None


def _config(checkpoint: Checkpoint) -> Any:
    return _read(checkpoint, "AutoConfig")


def _tokenizer(checkpoint: Checkpoint) -> Any:
    tokenizer = _read(checkpoint, "AutoTokenizer")
    if not len(tokenizer):
        raise MdlError(
            f"{checkpoint.spec} has a tokenizer without a vocabulary; copy tokenizer.json beside the weights"
        )
    return tokenizer


def _n_params(model: Any) -> dict[str, int]:
    """Every number once, however many names it has."""
    sizes = {id(p): p.numel() for p in model.parameters()}
    embedding, head = (
        part and {id(p) for p in part.parameters()}
        for part in (model.get_input_embeddings(), model.get_output_embeddings())
    )
    embedding, head = embedding or set(), (head or set()) - (embedding or set())
    rest = sizes.keys() - embedding - head
    return {
        name: sum(sizes[i] for i in ids) for name, ids in (("embedding", embedding), ("head", head), ("rest", rest))
    }


def _check_causal(checkpoint: Checkpoint, model: Any) -> tuple[int, Head | None]:
    """The number of logits, and the head; MdlError where what comes later changes them: such a model codes nothing."""
    import torch

    ids = torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0]]) % max(1, model.config.get_text_config().vocab_size)
    ids = ids.to(model.device)
    with running(checkpoint), torch.inference_mode():
        logits = model(ids, use_cache=False).logits
        one, other = logits[:, :3].float()
        apart, most = float((one - other).abs().max()), float(logits[:, :3].float().abs().max())
    if apart > max(_CAUSAL_TOLERANCE, 4 * torch.finfo(model.dtype).eps) * most:
        raise MdlError(f"{checkpoint.spec} is not a causal model: its prediction depends on later tokens")
    return int(logits.shape[-1]), separate_head(model, ids, logits)


def cache_name(model: Any) -> str | None:
    """Under which name a model takes and gives what it keeps between tokens: keys and values, or a state."""
    taken = inspect.signature(model.forward).parameters
    return next((name for name in ("past_key_values", "cache_params", "state") if name in taken), None)


@contextmanager
def running(checkpoint: Checkpoint, how: str = "cannot be run {reason}") -> Iterator[None]:
    """Whatever goes wrong within a model is one line."""
    try:
        yield
    except MdlError:
        raise
    except Exception as error:  # transformers raises dozens of kinds; the user needs the first line
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise MdlError(f"{checkpoint.spec} {how.format(reason=f'({reason})')}") from None
