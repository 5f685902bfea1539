"""What the answer rests on, in tables: all cells, failures, classical coders, provenance."""

from __future__ import annotations

from typing import Any

from analysis.formatting import format_bytes, format_flops, format_percent, format_seconds, join
from analysis.report.elements import Block, Grid, Heading, Text, named_grid
from analysis.report.sections import provenance_page
from analysis.types import Json


def measured(summary: Json) -> list[Block]:
    """Every (dataset size, model size), averaged over seeds."""
    if not summary["rates"]:
        return []
    header = ("dataset", "shape", "parameters", "seeds", "code, bytes", "raw", "adjusted", "held out")
    rows = [_measured_row(row) for row in summary["rates"]]
    return [
        Heading("All cells"),
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
    whole = (
        "Whole: the subset as the models see it (shuffled), and as many bytes from the beginning of the source in "
        "their original order: other bytes than the models', which may be easier or harder."
    )
    if not summary["n_cells"]:
        whole = "Whole: the first bytes of the source in its original order."
    text = f"{whole} In chunks, on a sample of the first: true size, and the header counted once (Delétang et al.)."
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
    p, unit = summary["provenance"], "cell" if summary["n_cells"] else "record"
    spent = f"{format_seconds(p['measuring_seconds'])} measuring"
    work = []
    if p["n_cohorts"]:
        spent = f"{format_seconds(p['training_seconds'])} training and {spent}, summed over {p['n_cohorts']} cohorts"
        work = [("work", f"{format_bytes(p['bytes_seen'])} seen in training, {format_flops(p['flops'])} FLOPs")]
    rows = [
        *provenance_page.commands(p, unit),
        *(("corpus", text) for text in _corpora(summary["corpora"], as_it_is=not summary["n_cells"])),
        provenance_page.commits(p, unit),
        ("hardware", f"{join(p['devices']) or 'not recorded'}; host {join(p['hostnames']) or 'not recorded'}"),
        ("arithmetic", f"{join(p['precisions']) or 'not recorded'}; threads a process: {join(p['n_threads']) or '–'}"),
        ("time", f"{spent}; newest record {p['created'] or 'not dated'}"),
        *work,
        ("versions", ", ".join(p["versions"]) or "not recorded"),
    ]
    return [Heading("Provenance"), Grid(("", ""), tuple(rows), "lw"), *provenance_page.confounded(p)]


def _corpora(corpora: list[Json], *, as_it_is: bool) -> list[str]:
    """One text a corpus, all its shuffles together; `as_it_is`: nothing was shuffled."""
    seeds: dict[tuple[Any, ...], list[int]] = {}
    for corpus in corpora:
        key = tuple(corpus[name] for name in _CORPUS)
        if corpus["corpus_bytes"]:
            seeds.setdefault(key, []).append(corpus["shuffle_seed"])
    named = [(dict(zip(_CORPUS, key, strict=True)), own) for key, own in seeds.items()]
    return [_in_order(corpus) if as_it_is else _corpus(corpus, own) for corpus, own in named]


_CORPUS = ("source", "corpus_bytes", "sha256", "block_bytes", "train_bytes", "heldout_bytes")


def _in_order(corpus: Json) -> str:
    return (
        f"{corpus['source']}, {corpus['corpus_bytes']:,} bytes, sha256 {corpus['sha256']}; in its own order, "
        f"{corpus['heldout_bytes']:,} bytes held out"
    )


def _corpus(corpus: Json, seeds: list[int]) -> str:
    return (
        f"{corpus['source']}, {corpus['corpus_bytes']:,} bytes, sha256 {corpus['sha256']}; blocks of "
        f"{corpus['block_bytes']:,} bytes shuffled with seed{'s' * (len(seeds) > 1)} {join(seeds)}; "
        f"{corpus['train_bytes']:,} bytes to train on, {corpus['heldout_bytes']:,} held out"
    )
