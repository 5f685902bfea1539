"""How fast a pretrained model is measured, beside a plain loop over the same tokens.

    python -m benchmarks.speed_pretrained TEXT [--megabytes 20] [--size 1.4B] [--spread]

A random GPT-NeoX in bfloat16 in several files, with a tokenizer made of the text's beginning; windows of its context.
The plain loop has its tokens at hand, takes 8 windows a call and a log-softmax in float32 of all logits. `--spread`:
also over all cards, as if one had no room for it.
"""

from __future__ import annotations

import argparse
import lzma
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from benchmarks import machine
from mdl.data import ByteView
from mdl.pretrained import Pretrained, Windows, code_in_stretches, find_checkpoint, load_pretrained

SIZES = {"1.4B": (2048, 24, 16, 2048), "tiny": (64, 2, 2, 128)}  # width, depth, heads, context
_VOCABULARY = 50_304
_LOOP_WINDOWS = 8


def make(folder: Path, text: bytes, size: str) -> Path:
    """The checkpoint's folder."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

    width, depth, n_heads, context = SIZES[size]
    bpe: Any = ByteLevelBPETokenizer()
    bpe.train_from_iterator(text.decode("utf-8", "replace").splitlines(keepends=True), vocab_size=30_000)
    PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer).save_pretrained(folder)
    config = GPTNeoXConfig(
        vocab_size=_VOCABULARY,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=n_heads,
        intermediate_size=4 * width,
        max_position_embeddings=context,
    )
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(machine.device()):
        model = GPTNeoXForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder, max_shard_size="1GB")
    return folder


def plain_loop(model: Pretrained, ids: torch.Tensor) -> float:
    """Seconds of windows (n, T): tokens at hand, whole logits, float32."""
    started, total = time.perf_counter(), torch.zeros((), dtype=torch.float64, device=model.model.device)
    with torch.inference_mode():
        for i in range(0, len(ids), _LOOP_WINDOWS):
            rows = ids[i : i + _LOOP_WINDOWS].to(model.model.device)
            logits = model.model(rows, use_cache=False).logits
            total += F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="sum")
    print(f"    plain loop: {float(total) / ids.numel() / np.log(2):.4f} bits a token")
    return time.perf_counter() - started


def ours(model: Pretrained, text: bytes, windows: Windows, keep: Path) -> tuple[float, int]:
    """Seconds and tokens of `mdl evaluate`'s own way from bytes to a code length."""
    view = ByteView.whole(np.frombuffer(text, np.uint8))
    started = time.perf_counter()
    stretches = code_in_stretches(model, view, len(text), windows, keep=keep)
    seconds, n = time.perf_counter() - started, sum(s.n_tokens for s in stretches)
    print(
        f"    ours: {sum(s.token_bits for s in stretches) / n:.4f} bits a token, {len(text) / seconds / 1e6:.3g} MB/s"
    )
    return seconds, n


def main(arguments: list[str] | None = None) -> None:
    """Print seconds, tokens a second and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--size", choices=SIZES, default="1.4B")
    parser.add_argument("--spread", action="store_true")
    chosen = parser.parse_args(arguments)
    opened = lzma.open if chosen.text.suffix == ".xz" else open
    with opened(chosen.text, "rb") as file:
        text = file.read(int(chosen.megabytes * 1e6))
    print(f"pretrained models; {machine.name()}; {machine.versions()}")
    on_gpu = machine.device().type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        place = make(Path(folder) / "m", text[: 10**7], chosen.size)
        checkpoint = find_checkpoint(f"hf:{place}")
        print(f"  {len(list(place.glob('*.safetensors')))} files of weights, {checkpoint.file_bytes / 1e9:.2f} GB")
        ways: dict[str, dict[str, Any]] = {"one card" if on_gpu else "CPU": {}}
        if chosen.spread:
            room = dict.fromkeys(range(torch.cuda.device_count()), "2GiB")
            ways["all cards"] = {"device_map": "auto", "max_memory": room}
        for name, settings in ways.items():
            started = time.perf_counter()
            model = load_pretrained(checkpoint, "bfloat16", machine.device(), **settings)
            print(f"  {name}: loaded in {time.perf_counter() - started:.1f} s, head apart: {model.head is not None}")
            T = SIZES[chosen.size][3]
            ours(model, text[: 10**6], Windows(T, T), Path(folder) / f"warm-{len(name)}")
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            seconds, n = ours(model, text, Windows(T, T), Path(folder) / f"kept-{len(name)}")
            peak = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0
            tokens = np.fromiter((i for run in model.tokenizer.runs(text[: 4 * 10**6]) for i in run.ids), np.int64)
            rows = torch.from_numpy(np.resize(tokens, (n // T, T)))
            plain_loop(model, rows[: 2 * _LOOP_WINDOWS])
            of_loop = plain_loop(model, rows) * n / rows.numel()
            print(
                f"  {name}: {n:,} tokens in {seconds:.1f} s, {n / seconds:,.0f} a second; plain loop "
                f"{n / of_loop:,.0f}: {of_loop / seconds:.3f} of it; peak {peak:.1f} GB"
            )


if __name__ == "__main__":
    main()
