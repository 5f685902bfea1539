"""What the intervals of critical sizes are about, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from analysis.critical.estimates import Estimate
from analysis.critical.shape_effects import USUAL_SHAPE


class Intervals(TypedDict):
    """What the intervals of critical sizes cover."""

    kind: str  # what varies beside the shapes: seeds, corpus seeds, both, pooled; shapes alone, or none
    n_replicates: int  # draws of each
    note: str  # the same in sentences


def describe(estimates: Sequence[Estimate], n_replicates: int) -> Intervals:
    """What the intervals of these critical sizes cover."""
    kinds = {str(estimate.row["interval"]) for estimate in estimates} - {"none"}
    if not kinds:
        note = "Fewer than three model sizes were run, so there is no interval; mdl suggest names more."
        return {"kind": "none", "n_replicates": n_replicates, "note": note}
    kind = "pooled" if "pooled" in kinds else kinds.pop() if len(kinds) == 1 else "both"
    usual = any(estimate.row.get("shapes_are_usual") for estimate in estimates)
    return {"kind": kind, "n_replicates": n_replicates, "note": f"{_SHAPES} {_USUAL * usual}{_NOTES[kind]}"}


_SHAPES = (
    "The 95 % intervals are of the shapes that were run: what the code length of each is off a smooth law of its size, "
    "much the same at every dataset size, and what that law may bend."
)
_USUAL = (
    "With fewer than seven shapes, or one dataset size, the scatter of shapes is that of the committed studies of "
    f"text, photographs and speech, about {100 * USUAL_SHAPE:.1f} % of the code length. "
)
_NOTES = {
    "shapes": "Every cell was trained once: what another seed, or another draw of the corpus, would give is in them "
    "only as far as it scatters the shapes.",
    "seeds": "Beside that the training seed varies; all models of a dataset size saw the same bytes, so the intervals "
    "do not cover another draw of the corpus.",
    "corpus seeds": "Beside that the draw of the corpus varies: models of one corpus seed and dataset size share their "
    "bytes, so what they have in common is not noise.",
    "both": "Beside that the draw of the corpus and the training seed vary: models of one corpus seed and dataset size "
    "share their bytes, so what they have in common is not noise; each corpus counts once in an average.",
    "pooled": "Beside that the seed varies; where a size was trained once its noise is pooled from the sizes that were "
    "repeated, relative to the code length.",
}
