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
        note = "Fewer than three model sizes were run, so there is no interval. mdl suggest names more sizes."
        return {"kind": "none", "n_replicates": n_replicates, "note": note}
    kind = _kind(kinds)
    usual = _USUAL if any(estimate.row.get("shapes_are_usual") for estimate in estimates) else ""
    return {"kind": kind, "n_replicates": n_replicates, "note": f"{_SHAPES} {usual}{_NOTES[kind]}"}


def _kind(kinds: set[str]) -> str:
    """One word for those of several dataset sizes."""
    if "pooled" in kinds:
        return "pooled"
    return next(iter(kinds)) if len(kinds) == 1 else "both"


_SHAPES = (
    "The 95 % intervals allow for two things: the code length of each shape lies off a smooth law of its size, by much "
    "the same at every dataset size, and that law may bend."
)
_USUAL = (
    "With fewer than seven shapes, or one dataset size, the scatter of shapes is taken from the committed studies of "
    f"text, photographs and speech: about {100 * USUAL_SHAPE:.1f} % of the code length. "
)
_NOTES = {
    "shapes": "Every cell was trained once. What another seed, or another sample of the corpus, would change is "
    "covered only as far as it scatters the shapes.",
    "seeds": "They also cover the training seed. All models of a dataset size were trained on the same bytes, so the "
    "intervals do not cover another sample of the corpus.",
    "corpus seeds": "They also cover the sample of the corpus. Models of one corpus seed and dataset size share their "
    "bytes, so what they have in common is not noise.",
    "both": "They also cover the sample of the corpus and the training seed. Models of one corpus seed and dataset "
    "size share their bytes, so what they have in common is not noise. Each corpus counts once in an average.",
    "pooled": "They also cover what cells of one shape and dataset size differ in: the order of the corpus, the "
    "training seed, or both. Where a size was trained once, its noise is pooled from the sizes that were repeated, "
    "relative to the code length.",
}
