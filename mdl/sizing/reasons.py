"""Why a number of the answer is not known, for each that is not."""

from __future__ import annotations

from mdl.sizing.answer import Answer
from mdl.sizing.answer_text import why_no_size

_NO_MODELS = "too few models have been trained; give it a longer --budget"
_NO_INTERVAL = "too few shapes and seeds have been trained for one; give it a longer --budget"
_NO_LIMIT = (
    "too few shapes have been trained twice as long as others for what more training would change; give it a longer "
    "--budget"
)


def unknown(answer: Answer) -> dict[str, str]:
    """A reason in words per name of what is None: n_params, low, high, at_this_training, limit, is_converged …"""
    if answer.row is None:
        names = ("n_params", "low", "high", "at_this_training", "limit", "subset_bytes", "is_converged")
        return dict.fromkeys(names, _NO_MODELS)
    found: dict[str, str] = {}
    if answer.n_params is None:
        found |= dict.fromkeys(("n_params", "low", "high", "at_this_training"), why_no_size(answer, answer.row))
    elif answer.interval is None:
        found |= dict.fromkeys(("low", "high"), _NO_INTERVAL)
    if answer.limit is None:
        found |= dict.fromkeys(("limit", "is_converged"), _NO_LIMIT)
    return found
