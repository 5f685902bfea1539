"""The sections that set codes side by side: codes without parameters, leaks, and who wins."""

from __future__ import annotations

from typing import Any

from analysis.formatting import format_bytes, format_count, format_percent, join
from analysis.report.elements import Block, Text, named_grid
from analysis.types import Json


def who_wins(summary: Json) -> list[Block]:
    """One row a dataset size and kind of code; the shortest of each dataset size marked."""
    rows = summary["who_wins"]
    if not rows:
        return []
    places = list(dict.fromkeys((row["group"], row["subset_bytes"]) for row in rows))
    codes = list(dict.fromkeys(sorted((row["code"] for row in rows), key=_KINDS.index)))
    found = {(row["group"], row["subset_bytes"], row["code"]): row for row in rows}
    cells = [(format_bytes(d), *(_won(found.get((group, d, code))) for code in codes)) for group, d in places]
    missing = [code for code in _KINDS if code not in codes]
    text = (
        "Rate of everything that is sent, and the model size or coder that sends it; of sizes that were run. * marks "
        "the shortest that was measured of a dataset size. Prequential codes hold their first block, the choice of "
        "size and, for best snapshots, the sample that chose them. No decoder's program is counted, neither a model's "
        "nor a classical coder's; nor is the time. Prequential codes are ideal ones: their decoder has to repeat the "
        "training to the bit, which a GPU's, adding in no fixed order, does not allow."
    )
    coders = dict.fromkeys(row["detail"].split(",")[0] for row in rows if row["code"] == _KINDS[-1])
    sizes = [f"{coder} {format_bytes(_DECODER_BYTES[coder])}" for coder in coders if coder in _DECODER_BYTES]
    if sizes:
        text += (
            f" The compiled library that decodes (x86-64 Linux): {join(sizes)}; a model's is this package and torch."
        )
    if missing:
        text += f" Not measured: {join(missing)}."
    grid = named_grid(("dataset", *codes), cells, "l" + "r" * len(codes), [group for group, _ in places])
    return [Text(text), grid]


# Of zlib 1.2.13, libbz2 1.0.8, liblzma 5.4.1 and pyppmd 1.3.1 as installed, encoder and all.
_DECODER_BYTES = {"gzip": 121_280, "bzip2": 74_688, "xz": 190_456, "ppmd": 357_016, "ppmd-o6": 357_016}
_KINDS = ("float16 two-part", "coded two-part", "prequential block", "prequential online", "best classical coder")


def _won(row: Json | None) -> str:
    if row is None:
        return "–"
    who = format_count(row["n_params"]) if row["n_params"] else row["detail"].split(",")[0]
    return f"{format_percent(row['rate'])}, {who}{' *' if row['shortest'] else ''}"


def prequential(summary: Json) -> list[Block]:
    """Block-prequential codes and online ones."""
    blocks = _blocks(summary["prequential"])
    return [*blocks, *(_not_reached(summary) if blocks else []), *_online(summary["online"])]


def _not_reached(summary: Json) -> list[Block]:
    """Dataset sizes that no chain of blocks leads up to."""
    data: dict[str, set[int]] = {}
    for row in summary["rates"]:
        data.setdefault(row["group"], set()).add(row["subset_bytes"])
    coded = {(row["group"], row["subset_bytes"]) for row in summary["prequential"]}
    later = {(group, d) for group, sizes in data.items() for d in sizes - {min(sizes)}}
    missing = sorted({d for _, d in later - coded})
    if not missing:
        return []
    text = (
        f"No block-prequential code of {join(map(format_bytes, missing))}: the block up to there was not evaluated "
        "from where it begins. Dataset sizes of 1, 3, 10, 30 … KB and a measure.reach_ratio of 3 allow it."
    )
    return [Text(text, "small")]


def _shorter_snapshots(rows: list[Json]) -> list[Json]:
    """Of the final and the best snapshots those with the shorter code, for every dataset size and code."""
    least: dict[tuple[str, int, str], Json] = {}
    for row in sorted(rows, key=lambda row: float(row["code_bits"])):
        least.setdefault((row["group"], row["subset_bytes"], row["code"]), row)
    return [row for row in rows if row in least.values()]


def _blocks(every: list[Json]) -> list[Block]:
    rows = _shorter_snapshots(every)
    if not rows:
        return []
    cells = [
        (format_bytes(r["subset_bytes"]), f"{r['code']}, {r['snapshot']}",
         "–" if r["n_params"] is None else format_count(r["n_params"]), f"{r['code_bits'] / r['subset_bytes']:.3f}",
         *(_share(r[name], r) for name in ("first_bits", "validation_bits", "excess_bits")), f"{r['choice_bits']:.3g}")
        for r in rows
    ]  # fmt: skip
    first = rows[0]
    text = (
        f"Block-prequential: the first {format_bytes(first['first_bytes'])} by {_coder(first['first_coder'])}, every "
        "block after by models trained on what came before it. Fixed: one size throughout. Leader: the size that coded "
        "the block before best. Switching: the best size of each block, announced. Best snapshots were chosen on a "
        "sample that is sent first, at 8 bits a byte; of best and final ones the shorter code is shown. Shares are of "
        "the code. Coarseness: what models trained anew after every byte could save at most, by the rates on unseen "
        "bytes."
    )
    header = ("dataset", "code", "size", "bits a byte", "first block", "sample", "coarseness", "choices, bits")
    return [Text(text), named_grid(header, cells, "llrrrrrr", [row["group"] for row in rows])]


def _coder(name: str) -> str:
    return "8 bits a byte" if name == "uniform" else name


def _share(bits: float | None, row: Json) -> str:
    return "–" if not bits else format_percent(bits / row["code_bits"])


def _online(rows: list[Json]) -> list[Block]:
    if not rows:
        return []
    cells = [
        (format_bytes(r["subset_bytes"]), r["size"], f"{r['n_params']:,}", str(r["n_seeds"]),
         f"{r['code_bits'] / r['subset_bytes']:.3f}", f"{r['final_bits_per_byte']:.3f}",
         format_bytes(r["area_bits"] / 8) if r["area_bits"] > 0 else "none")
        for r in rows
    ]  # fmt: skip
    text = (
        "Online: each window coded once, before it is learned from; the recipe's other steps replay windows that were "
        "coded already (Bornschein et al. 2022). At the end: the mean of the last tenth of the bytes. Learning: "
        "Σ(L_i − L_end), what was paid beyond the loss at the end while the model learned; it estimates the structure "
        "that it took from the data (epiplexity, arXiv 2601.03220)."
    )
    header = ("dataset", "shape", "parameters", "seeds", "bits a byte", "at the end", "learning")
    return [Text(text), named_grid(header, cells, "llrrrrr", [row["group"] for row in rows])]


_LEAK_RATES = ("raw_rate", "adjusted_rate", "two_part_rate")


def contamination(summary: Json) -> list[Block]:
    """Rates by leak fraction."""
    rows = summary["contamination"]
    if not rows:
        return []
    cells = [
        (format_bytes(r["subset_bytes"]), r["size"], format_percent(r["leak_fraction"]),
         format_bytes(r["leaked_bytes"]), *(format_percent(r[name]) for name in _LEAK_RATES))
        for r in rows
    ]  # fmt: skip
    sizes = join(sorted({format_bytes(row["evaluation_bytes"]) for row in rows}))
    text = (
        f"A share of every subset was replaced by blocks of the evaluation text, {sizes} long; the dataset size is the "
        "same. Raw: that text by the final model, parameters not counted. Adjusted: the same with the parameters, over "
        "the text's own size. Two-part: the subset that was trained on, what leaked included, with the parameters. "
        f"{_fooled(rows)}"
    )
    header = ("dataset", "shape", "leaked", "leaked text", "raw", "adjusted", "two-part")
    return [Text(text), named_grid(header, cells, "llrrrrr", [row["group"] for row in rows])]


def _fooled(rows: list[Json]) -> str:
    """As measured, from the least to the largest leak of each model."""
    models: dict[tuple[Any, ...], list[Json]] = {}
    for row in rows:
        models.setdefault((row["group"], row["subset_bytes"], row["n_params"]), []).append(row)
    ends = [(own[0], own[-1]) for own in models.values() if len(own) > 1]
    if not ends:
        return ""
    said = []
    for name, what in (("raw_rate", "raw"), ("adjusted_rate", "adjusted"), ("two_part_rate", "two-part")):
        fell = sum(last[name] < first[name] for first, last in ends)
        said.append(f"the {what} rate falls for {fell} of {len(ends)} models")
    best = [min(end[i]["adjusted_rate"] for end in ends) for i in (0, 1)]
    return (
        f"From the least leak to the largest {join(said)}; the least adjusted rate goes from {format_percent(best[0])} "
        f"to {format_percent(best[1])}."
    )
