"""Tables of what `benchmarks.recipe_probe` measured: means over seeds, differences from the plain member."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]


def print_tables(folder: Path) -> None:
    """Every job's members, seeds together."""
    for path in sorted(folder.glob("*.json")):
        told = json.loads(path.read_text())
        seconds = told["seconds"]["steps"]
        ms = seconds / told["job"]["steps"] * 1e3
        print(f"\n{path.stem}: {ms:.2f} ms a step, {seconds:.1f} s of steps, {told['device']}")
        print(_table(told["members"]))
        print(_quadratics(told["members"]))


def _key(row: Row) -> tuple[Any, ...]:
    return row["name"], row["subset_bytes"], row["matrix_rate"] if row["muon"] else 0.0, row["rest_scale"]


def _table(rows: list[Row]) -> str:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[_key(row)].append(row)
    plain = {(r["seed"], r["subset_bytes"]): r for r in rows if r["name"] == "plain"}
    lines = ["name | D | matrix rate | rest x | N | own (of seeds) | held-out (of seeds) | over plain, % (se), own, %"]
    for (name, size, rate, rest), members in groups.items():
        own, held = (_mean([m[k] for m in members]) for k in ("own", "heldout"))
        line = f"{name} | {size / 1e6:g} MB | {rate:.4g} | {rest:.4g} | {members[0]['n_params']} | {own} | {held}"
        beside = [(m, plain[key]) for m in members if (key := (m["seed"], m["subset_bytes"])) in plain]
        if len(beside) == len(members):
            changes = [100 * math.log(m["heldout"] / p["heldout"]) for m, p in beside]
            owns = [100 * math.log(m["own"] / p["own"]) for m, p in beside]
            error = np.std(changes, ddof=1) / math.sqrt(len(changes)) if len(changes) > 1 else math.nan
            line += f" | {np.mean(changes):+.2f} ({error:.2f}), {np.mean(owns):+.2f}"
        lines.append(line)
    return "\n".join(lines)


def _mean(rates: list[float]) -> str:
    """Of the seeds, with the least and the greatest."""
    several = f" ({min(rates):.2f} to {max(rates):.2f})" if len(rates) > 1 else ""
    return f"{np.mean(rates):.3f}{several}"


def _quadratics(rows: list[Row]) -> str:
    """Of members that differ in one factor on both rates: the best, and what the tried, 1, 1.5 and 2 lose to it, %.

    Factors are those on Muon's .02.
    """
    lines = []
    for size in sorted({row["subset_bytes"] for row in rows}):
        swept = [row for row in rows if row["name"] == "rates" and row["subset_bytes"] == size]
        for kind in ("own", "heldout") if swept else ():
            x = np.log2([row["matrix_rate"] / 0.02 for row in swept])
            y = 100 * np.log([row[kind] for row in swept])
            curve = np.polyfit(x, y, 2)
            if curve[0] <= 0:
                lines.append(f"{size / 1e6:g} MB, {kind}: no minimum within the noise")
                continue
            best = -curve[1] / (2 * curve[0])
            factors = sorted({1.0, 1.5, 2.0, *(round(float(2**each), 3) for each in x)})
            losses = [np.polyval(curve, math.log2(f)) - np.polyval(curve, best) for f in factors]
            spread = math.sqrt(np.sum((y - np.polyval(curve, x)) ** 2) / (len(y) - 3))
            told = ", ".join(f"{f:g} loses {loss:.2f}" for f, loss in zip(factors, losses, strict=True))
            lines.append(f"{size / 1e6:g} MB, {kind}: best factor {2**best:.2f} on .02; {told}; sd {spread:.2f}")
    return "\n".join(lines)
