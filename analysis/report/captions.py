"""What the figures show, in the order of the report."""

from __future__ import annotations

CLASSICAL = " Short lines on the left: the best classical coder on the same bytes."
CAPTIONS = {
    "adjusted_rate": "Adjusted rate against model size, a curve a dataset size: marks were measured, lines are "
    "interpolated. Stars mark critical sizes, arrowheads a least rate at the grid's edge. Curves leave through the top "
    "where the parameters dwarf the data.",
    "critical_size": "Critical model size against dataset size. Stars: found; arrows: at or beyond the edge of the "
    "grid.",
    "by_dataset": "Adjusted rate against dataset size, a curve a model size, named by its parameters, at every dataset "
    "size by models trained on it (compare Delétang et al., Figure 2). Grey: the least of all sizes. Circles: from "
    "there on the size named below has the least adjusted rate of those that were run.",
    "by_prefix": "The same in the form of Delétang et al.: one model a size, trained on the largest subset, codes "
    "growing prefixes of it and is paid for in full at each. It has seen all of the largest subset, not only the "
    "prefix.",
    "raw_rate": "Raw rate on the subset itself, parameters not counted: it falls as models grow, and below the rate of "
    "unseen bytes of the same kind where they memorise.",
    "heldout_rate": "Rate on bytes that no subset contains, a curve a size of the subset trained on.",
    "fit": "Held-out loss: measured cells (marks) and the fitted law (lines), one a dataset size.",
    "residuals": "What the fit leaves: measured over fitted loss, less one, against model size. The "
    "dataset sizes stand side by side.",
    "in_context": "Held-out bits a byte by position in the window, for models trained on the largest subset.",
    "online": "Online codes of the largest subset: bits a byte of all that was coded so far, a curve a model size.",
    "contamination": "Rates against the share of the largest subset that was replaced by evaluation text, a curve a "
    "model size. The first two are of that text, the third of the subset itself.",
    "context": "Rate against context length, largest subset, a curve a model size: own subset on the left, "
    "held-out bytes on the right, parameters not counted. Every context has its own models and critical sizes.",
    "precision": "Critical size against what a parameter costs, a line a dataset size: the law from float16's critical "
    "size (stars) and, as marks, what was measured at each precision; at one dataset size they are named, in bits.",
    "tokenisation": "Rates of raw bytes against the vocabulary, a curve a shape; the leftmost marks are bytes. The "
    "adjusted rate counts parameters, the embedding among them, and the tokenizer.",
    "transfer": "Bits a byte by position in the window, in bins of a quarter octave: models trained on one kind of "
    "data coding each kind, bytes as they are. Dotted: 8 bits, no compression.",
    "compute": "The size that the code pays for, and the size that makes the most of as much training compute.",
}
