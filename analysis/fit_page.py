"""What the law is good for, in words: its held-out test beside a guess that fits nothing, and what compute buys."""

from __future__ import annotations

from typing import Any

from analysis import findings
from analysis.blocks import Block, Text
from analysis.units import join

Json = dict[str, Any]


def held_out(summary: Json) -> list[Block]:
    """The test's table, and under it where the nearest run predicts the runs left out better than the law does."""
    splits = (summary["fit"] or {}).get("held_out") or []
    beaten = [s for s in splits if s["error"] is not None and s["nearest_error"] < s["error"]]
    if not beaten:
        return findings.held_out(summary)
    tested = sum(s["error"] is not None for s in splits)
    where = join(f"{100 * s['nearest_error']:.2f} % against {100 * s['error']:.2f} % ({_name(s)})" for s in beaten)
    text = (
        f"In {len(beaten)} of {tested} tests the nearest run, a guess that fits nothing, is closer than the law: "
        f"{where}. There the law has not shown that it predicts."
    )
    return [*findings.held_out(summary), Text(text)]


def compute(summary: Json) -> list[Block]:
    """What the training compute would rather buy, or one line on why that cannot be asked."""
    reason = summary.get("compute_not_asked")
    return [Text(reason, "small")] if reason else findings.compute(summary)


def _name(split: Json) -> str:
    """`largest N` as it is; a cut such as C>7.9e14 is too long for a sentence."""
    return "most compute" if split["held_out"].startswith("C>") else str(split["held_out"])
