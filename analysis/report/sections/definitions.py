"""The words that the report uses: what each means, its formula, and where it comes from."""

from __future__ import annotations

from analysis.report.elements import Block, Grid, Heading
from analysis.report.section import WideSection, register_section

_DEFINITIONS = {
    "model size N": "the number of parameters of a model, embeddings and output layer included, each weight once.",
    "dataset size D": "the first D bytes of the corpus after its blocks were shuffled; smaller subsets are prefixes of "
    "larger ones. Units are decimal: 1 KB = 1000 bytes.",
    "code length": "Σ −log₂ p over the bytes, in bits; p is the probability that the model gives to the byte that "
    "comes (Shannon 1948). An arithmetic coder reaches it within a fraction of a per cent.",
    "raw rate": "code length / (8·D), on the subset that the model was trained on; parameters are not counted "
    "(Delétang et al. 2024, section 2).",
    "adjusted rate": "(code length + parameters) / raw size = raw rate + c·N / (8·D), with c bits a parameter; "
    "Delétang et al. 2024, Table 1, with c = 16. The decoder's program is left out. Of the final and the best snapshot "
    "the one with the shorter code counts. Of a model that reads tokens the tokenizer's bytes are added, whatever a "
    "parameter costs.",
    "two-part code": "first the model, then the data given the model: T(N) = c·N + D·L(N, D), with L in bits a byte "
    "(Rissanen 1978; Grünwald 2007). The adjusted rate is T / (8·D).",
    "critical model size N*": "the N at which the adjusted rate is least for a dataset size; beyond it parameters cost "
    "more than they save (Delétang et al. 2024, section 3). Found as the least of a smooth law of the code length, "
    "E + A·N^−a, through the seven or more shapes about it, of the depth usual at each size, with the parameters' bits "
    "added exactly.",
    "local estimator": "a second one: the measured code length is interpolated, never rising with N, between the best "
    "size and its neighbours.",
    "not bracketed": "the least adjusted rate is at the smallest or the largest size that was run; the critical size "
    "may lie beyond it.",
    "closed form": "N* = (α·A·D/c)^(1/(1+α)), what L = E + A·N^−α makes of dT/dN = 0; E drops out.",
    "shape effect": "what the code length of a shape is off the smooth law, for its depth, its learning rate or by "
    "chance; much the same at every dataset size, so that more seeds do not average it away.",
    "crossing": "the D at which the next larger model begins to pay: D·(l₁(D) − l₂(D)) = c·(N₂ − N₁), with l the bits "
    "a byte of the two sizes.",
    "law of the critical size": "N* = k·D^γ, least squares in logarithms through the bracketed sizes. By the closed "
    "form γ = 1/(1+α), with α of all shapes at the largest dataset size: a test of the theory. Its interval is of the "
    "shapes, the replicates and what the sizes scatter about the line beyond their noise.",
    "least of all": "the dataset sizes at which a model size has the least adjusted rate of all sizes that were run; "
    "between dataset sizes the bits a byte are linear in log D and the parameters' bits exact.",
    "unconverged": "the 95 % interval of the critical size over that after half of the training leaves out 1.",
    "interval": "from where the total falls to where it rises with 95 % certainty. Noise: of a shape, common to all "
    "dataset sizes; of replicates, by dataset size; and a drift of the law's exponent. How great they are is "
    "weighed by restricted maximum likelihood over all dataset sizes of a corpus, and averaged over. Its coverage is "
    "simulated in benchmarks/coverage_of_critical.py. It is about these, one corpus and one recipe, and nothing else.",
    "pooled": "a size that was run once has no spread of its own; that of the sizes run several times is used for it.",
    "held-out rate": "rate on bytes of the corpus that no subset contains, by the snapshot that did best on a sample "
    "of them: selected there, so slightly favourable.",
    "scaling law": "L(N, D) = E + A·N^−α + B·D^−β, of the held-out loss in bits a byte; Huber loss of log-residuals "
    "(Hoffmann et al. 2022, approach 3; Besiroglu et al. 2024). E: what no model of this kind removes. "
    "Where data were read more than once also forms for that: repeated (Muennighoff et al. 2023), and overfitting, in "
    "which the cost of few data grows with the model.",
    "held-out test of the law": "the law fitted without the largest runs, and its mean relative error on them, beside "
    "two guesses that fit nothing: the last value seen, and the nearest run.",
    "compute-optimal size": "the N with the least held-out loss for a number of training FLOPs (Hoffmann et al. 2022). "
    "Its question is another: it spends compute, the two-part code spends bits.",
    "cost of a parameter": "float32: 4 bytes. float16: 2, as in the paper. logn: ½·log₂ n bits, n = D bytes: the "
    "precision that n samples tell (Rissanen 1978). coded: the actual size of the quantised, entropy-coded weights, "
    "scales and shapes included, at the precision that is shortest for the dataset size; the data are coded by the "
    "weights as they decode. coded4: the same with every weight at 4 bits, at a price b + k/√N fitted to that "
    "of the sizes. capacity: 3.6 bits, about what a GPT-like model can store (Morris et al. 2025): a bound, "
    "not a code. file: the bytes of the weights as they lie on disk, where a record knows them. "
    "All leave out the decoder's program and the hyper-parameters.",
    "law of the price": "N* ∝ c^(−1/(1+α)), by the closed form. Where c is measured it is what one more parameter "
    "costs at N*: between sizes that were run the bits of all parameters are a power law of N.",
    "prequential code": "each block coded by a model trained on the blocks before it (Dawid 1984; Blier & Ollivier "
    "2018): the decoder learns the parameters itself, so they cost nothing. It must repeat the training exactly, and "
    "may choose only by what it has decoded; any other choice is announced, in log₂ of the number of candidates.",
    "block-prequential": "blocks end at the dataset sizes of the grid; a sum of recorded segments, which "
    "measure.reach_ratio of 3 or more records for sizes of 1, 3, 10 … KB. The first block, by "
    "8 bits a byte or the best classical coder, is counted. Coarse blocks make it longer than a code whose models are "
    "trained anew after every byte: an upper bound.",
    "online prequential": "one pass in which each window is coded, then learned from (Bornschein et al. 2022). "
    "Σ(L_i − L_end), the area above the loss at the end, is what learning cost: the estimate of epiplexity.",
    "leaked": "a share of every subset's blocks replaced by blocks of the held-out part, one after another and over "
    "again; D stays the same.",
}


def definitions() -> list[Block]:
    """A page of them."""
    return [Heading("Definitions", new_page=True), Grid(("", ""), tuple(_DEFINITIONS.items()), "lw")]


register_section(WideSection(name="definitions", write=lambda _: definitions()))
