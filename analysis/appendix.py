"""What the answer rests on, in tables: all cells, failures, classical coders, provenance, definitions."""

from __future__ import annotations

from typing import Any

from analysis.blocks import Block, Grid, Heading, Text, named_grid
from analysis.units import format_bytes, format_percent, format_seconds, join

Json = dict[str, Any]


def measured(summary: Json) -> list[Block]:
    """Every (dataset size, model size), averaged over seeds."""
    if not summary["rates"]:
        return []
    header = ("dataset", "shape", "parameters", "seeds", "code, bytes", "raw", "adjusted", "held out")
    rows = [_measured_row(row) for row in summary["rates"]]
    return [
        Heading("All cells", new_page=True),
        named_grid(header, rows, "llrrrrrr", _names(summary["rates"], "group")),
    ]


def _measured_row(row: Json) -> tuple[str, ...]:
    return (
        format_bytes(row["subset_bytes"]),
        row["size"],
        f"{row['n_params']:,}",
        str(row["n_seeds"]),
        f"{row['code_bits'] / 8:,.0f}",
        *(_rate(row[name]) for name in ("raw_rate", "adjusted_rate", "heldout_rate")),
    )


def _names(rows: list[Json], key: str) -> list[str]:
    return [row[key] for row in rows]


def _rate(rate: float | None) -> str:
    return "–" if rate is None else format_percent(rate)


def failed(summary: Json) -> list[Block]:
    """Cells without a result, and cells whose result does not cover their own subset."""
    blocks: list[Block] = []
    if summary["failed"]:
        rows = tuple((cell["run_id"], cell["reason"] or "no reason recorded") for cell in summary["failed"])
        blocks += [Heading("Failed cells"), Grid(("cell", "reason"), rows, "lw")]
    if summary["not_evaluated"]:
        cells = ", ".join(summary["not_evaluated"])
        blocks += [Heading("Cells left out"), Text(f"Their own subset was not coded in full: {cells}.")]
    return blocks


def classical(summary: Json) -> list[Block]:
    """Every classical coder on every dataset size."""
    if not summary["classical"]:
        return []
    header = ("dataset", "coder", "settings", "shuffled", "original", "chunks", "in chunks", "header once")
    rows = [_classical_row(row) for row in summary["classical"]]
    text = (
        "Whole: the subset as the models see it (shuffled), and as many bytes of the source in its original order. In "
        "chunks of the context, on a sample: true size, and with the header counted once, as Delétang et al. do."
    )
    grid = named_grid(header, rows, "lllrrrrr", _names(summary["classical"], "corpus"))
    return [Heading("Classical coders"), Text(text), grid]


def _classical_row(row: Json) -> tuple[str, ...]:
    return (
        format_bytes(row["subset_bytes"]),
        row["coder"],
        row["settings"],
        _rate(row["shuffled_rate"]),
        _rate(row["contiguous_rate"]),
        "–" if row["chunk_bytes"] is None else f"{row['chunk_bytes']:.0f} B",
        _rate(row["chunked_rate"]),
        _rate(row["chunked_rate_header_once"]),
    )


def provenance(summary: Json) -> list[Block]:
    """How, where, when and at what expense the records were made."""
    p = summary["provenance"]
    spent = f"{format_seconds(p['training_seconds'])} training and {format_seconds(p['measuring_seconds'])} measuring"
    rows = [
        ("command", p["command"] or "not recorded"),
        *(("corpus", _corpus(corpus)) for corpus in summary["corpora"] if corpus["corpus_bytes"]),
        ("commit", join(p["git_commits"]) or "not recorded"),
        ("hardware", f"{join(p['devices']) or 'not recorded'}; host {join(p['hostnames']) or 'not recorded'}"),
        ("arithmetic", f"{join(p['precisions']) or 'not recorded'}; threads a process: {join(p['n_threads']) or '–'}"),
        ("time", f"{spent}, summed over {p['n_cohorts']} cohorts; newest record {p['created'] or 'not dated'}"),
        ("work", f"{format_bytes(p['bytes_seen'])} seen in training, {p['flops']:.3g} FLOPs"),
        ("versions", ", ".join(p["versions"]) or "not recorded"),
    ]
    return [Heading("Provenance"), Grid(("", ""), tuple(rows), "lw")]


def _corpus(corpus: Json) -> str:
    return (
        f"{corpus['source']}, {corpus['corpus_bytes']:,} bytes, sha256 {corpus['sha256']}; blocks of "
        f"{corpus['block_bytes']:,} bytes shuffled with seed {corpus['shuffle_seed']}; {corpus['train_bytes']:,} bytes "
        f"to train on, {corpus['heldout_bytes']:,} held out"
    )


_DEFINITIONS = {
    "raw rate": "code length / raw size, on the subset that the model was trained on. A code length is the sum of "
    "−log₂ p over the bytes, p the probability that the model gives the byte; parameters are not counted.",
    "adjusted rate": "(code length + parameters) / raw size, a two-part code (Delétang et al., Language Modeling Is "
    "Compression, ICLR 2024, who count 2 bytes a parameter). The decoder's program is left out. Of the final and the "
    "best snapshot the one with the shorter code counts.",
    "critical model size N*": "the number of parameters at which the adjusted rate is least for a dataset size.",
    "dataset size D": "the first D bytes of the corpus after its blocks were shuffled; smaller subsets are prefixes of "
    "larger ones. Units are decimal: 1 KB = 1000 bytes.",
    "held-out rate": "rate on bytes of the corpus that no subset contains, by the snapshot that did best on a sample "
    "of them: selected there, so slightly favourable.",
    "not bracketed": "the least adjusted rate is at the smallest or the largest size that was run; the critical size "
    "may lie beyond it.",
}


def definitions() -> list[Block]:
    """The words that the report uses."""
    return [Heading("Definitions"), Grid(("", ""), tuple(_DEFINITIONS.items()), "lw")]
