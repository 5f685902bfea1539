"""Symbols a second of the entropy coder, from logits and from tables, and of the mixer with contexts.

python -m benchmarks.speed_coder [--symbols 200000]

The floor is constriction alone, with tables of 256 that are ready; what our integers cost stands beside it.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks import machine
from mdl.entropy import StreamDecoder, StreamEncoder, counts, to_grid
from mdl.entropy.range_coder import code_bits
from mdl.mixing import MIN_BUCKET_BITS, ContextMixer, bucket_bits, chances_of

_LANE_BYTES = 1 << 12


def main(arguments: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=200_000)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    logits = generator.normal(scale=3, size=(chosen.symbols, 256))
    tables = counts(to_grid(logits))
    symbols = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1).astype(np.uint8)  # as the logits foretell

    def encoded() -> bytes:
        encoder = StreamEncoder()
        encoder.write(tables, symbols)
        return encoder.finish()

    stream = encoded()
    assert np.array_equal(StreamDecoder(stream).read(tables), symbols)
    chances = chances_of(torch.from_numpy(to_grid(logits)), torch.from_numpy(symbols.astype(np.int64)))
    lanes = symbols.size // _LANE_BYTES
    n_mixed = lanes * _LANE_BYTES
    in_lanes = chances[:n_mixed].view(lanes, _LANE_BYTES, 8).numpy().astype(np.uint16)
    ContextMixer(MIN_BUCKET_BITS).encode(symbols[:_LANE_BYTES], in_lanes[:1])  # compiled
    mixer = ContextMixer(bucket_bits(n_mixed))
    over = 8 * len(stream) / code_bits(tables, symbols) - 1
    print(
        f"coder, {chosen.symbols:,} symbols of 256; {machine.name()}; {machine.versions()}; {over:.1e} over the ideal\n"
    )
    print("| what | symbols a second |\n|---|---|")
    for what, work in (
        ("logits to tables", lambda: counts(to_grid(logits))),
        ("encode tables", encoded),
        ("decode tables", lambda: StreamDecoder(stream).read(tables)),
        ("mix with contexts", lambda: mixer.encode(symbols[:n_mixed], in_lanes)),
    ):
        print(f"| {what} | {chosen.symbols / machine.seconds_of(work, 2):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
