"""The table of Hugging Face families: each is built tiny with random weights, measured, compressed and decompressed.

python -m benchmarks.hugging_face_families docs/reference/hugging_face_families.md      # some minutes on a core
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import transformers

from mdl.errors import MdlError
from mdl.storage import write_atomically
from tests.families import FAMILIES, LONG, SOURCE, by_hand, coder_of

CONTEXTS = (8, 65, 2048)
_LONGEST_FILE = 300  # bytes at 2,048 tokens, where several windows take minutes
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Tried:
    """What came of a family: how far its bits are off an independent count, and why it writes no files, if so."""

    name: str
    difference: float
    refused: str | None
    longest_windows: float
    """How many windows of the longest context its longest file had."""


def tried(name: str, contexts: Sequence[int] = CONTEXTS) -> Tried:
    """A family at all contexts. AssertionError where a file does not come back, or bits are others."""
    worst, refused, windows = 0.0, None, 0.0
    for context in contexts:
        with tempfile.TemporaryDirectory() as folder:
            coder = coder_of(name, context, Path(folder))
            data = SOURCE[: 3 * context]
            worst = max(worst, abs(coder.code_bits(data) / by_hand(coder, data) - 1))
            whole = context < CONTEXTS[-1] or name in LONG
            sizes = (0, 1, context, 2 * context + context // 2) if whole else (0, 1, _LONGEST_FILE)
            try:
                for n_bytes in sizes:
                    if coder.decompress(coder.compress(SOURCE[:n_bytes])) != SOURCE[:n_bytes]:
                        raise AssertionError(f"{name}: {n_bytes} bytes at a context of {context} do not come back")
            except MdlError as error:
                refused = str(error).removeprefix(f"{coder._measuring.checkpoint.spec} ")
                continue
            windows = sizes[-1] / context
    if worst > _TOLERANCE:
        raise AssertionError(f"{name}: bits are off an independent count by {worst:.1e}")
    return Tried(name, worst, refused, windows)


PAGE = """# Hugging Face families

Any causal language model that transformers reads from a folder can be named `hf:FOLDER`. This page says what was tried,
with tiny models of random weights, one token a byte, by transformers {version}: {n} families, of which {n_files} also
write files. Write it again with `python -m benchmarks.hugging_face_families`.

- *evaluate*: the bits of three windows of text, at contexts of {contexts} tokens, against a count by a loop of our own
  over the model's logits. The number is the largest relative difference.
- *compress, decompress*: files of 0 bytes, 1 byte, one window, and two and a half windows came back byte for byte. At
  the longest context files of up to {longest} bytes did; where it says "long", two and a half such windows did too.

Some configurations have a sliding window of 6 tokens (such as `mistral`, `gemma2` and `cohere2`), others experts or a
state. In the table a family is called by its `model_type`.

| family | evaluate | compress, decompress |
|---|---|---|
{rows}

## What says no

These are measured. For a file they end with one line, and nothing is written:

{refused}

Nothing is measured, in one line too, of a model that is not causal (such as `bert` without `is_decoder`), of weights
other than safetensors, and of code that comes with a model. A family that is not in the table is tried before a file is
promised: its logits in one call and step by step must agree in float64.
"""


def page(found: Sequence[Tried]) -> str:
    """In Markdown."""
    return PAGE.format(
        version=transformers.__version__,
        n=len(found),
        n_files=sum(one.refused is None for one in found),
        contexts=", ".join(f"{T:,}" for T in CONTEXTS),
        longest=_LONGEST_FILE,
        rows="\n".join(f"| `{one.name}` | yes, {one.difference:.0e} | {_files(one)} |" for one in found),
        refused="\n".join(f"- `{one.name}`: {one.refused}." for one in found if one.refused),
    )


def _files(one: Tried) -> str:
    return "no" if one.refused else f"yes{', long' * (one.longest_windows > 1)}"


def main(arguments: list[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="the Markdown file to write")
    parser.add_argument("--only", nargs="*", choices=list(FAMILIES), help="families; default: all")
    chosen = parser.parse_args(arguments)
    found = []
    for name in chosen.only or FAMILIES:
        found.append(tried(name))
        print(found[-1], flush=True)
    write_atomically(chosen.page, page(found).encode())


if __name__ == "__main__":
    main()
