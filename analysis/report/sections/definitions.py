"""The words that the report uses: what each means, its formula, and where it comes from."""

from __future__ import annotations

from analysis.critical import MARGIN
from analysis.report.elements import Block, Grid, Heading
from analysis.report.section import WideSection, register_section

_DEFINITIONS = {
    "model size N": "The number of parameters of a model. The embedding and the output layer are included, and each "
    "weight counts once.",
    "dataset size D": "The first D bytes of the corpus after its blocks were shuffled. Smaller subsets are prefixes of "
    "larger ones. Units are decimal: 1 KB = 1000 bytes.",
    "cell": "One model shape, trained on one dataset size with one seed, and measured after one length of training. "
    "Cells that differ only in seeds, of the training or of the corpus's order, are averaged in tables and figures.",
    "code length": "Σ −log₂ p over the bytes, in bits, where p is the probability that the model gives to the byte "
    "that comes next (Shannon 1948). An arithmetic coder comes within a fraction of a percent of it.",
    "raw rate": "Code length / (8·D), on the subset that the model was trained on. Parameters are not counted "
    "(Delétang et al. 2024, section 2).",
    "adjusted rate": "(Code length + parameters) / raw size = raw rate + c·N / (8·D), with c bits per parameter "
    "(Delétang et al. 2024, Table 1, with c = 16). The decoder's program is left out. Of the final and the best "
    "snapshot, the one with the shorter code counts. For a model that reads tokens, the tokenizer's bytes are added, "
    "whatever a parameter costs.",
    "two-part code": "First the model, then the data given the model: T(N) = c·N + D·L(N, D), with L in bits per byte "
    "(Rissanen 1978; Grünwald 2007). The adjusted rate is T / (8·D).",
    "critical model size N*": "The N with the least adjusted rate for a dataset size. Beyond it, parameters cost more "
    "than they save (Delétang et al. 2024, section 3). It is the minimum of a smooth law of the code length, "
    "E + A·N^−a, plus the parameters' bits, which are exact. The law is fitted to the shapes about the minimum, "
    "seven or more where so many were run, and holds for shapes of the depth that is usual at each size.",
    "local estimator": "A second estimator of N*. It interpolates the measured code length between the best size and "
    "its neighbors, so that it never rises with N.",
    "not bracketed": "The least adjusted rate was measured at the smallest or the largest size that was run. The "
    "critical size may lie beyond it.",
    "closed form": "N* = (a·A·D/c)^(1/(1+a)). It follows from dT/dN = 0 with L = E + A·N^−a; E drops out.",
    "shape effect": "How far the code length of a shape lies from the smooth law, because of its depth, its learning "
    "rate or chance. It is much the same at every dataset size, so more seeds do not average it away.",
    "crossing": "The D from which on the next larger model pays: D·(l₁(D) − l₂(D)) = c·(N₂ − N₁), where l₁ and l₂ are "
    "the bits per byte of the two sizes.",
    "law of the critical size": "N* = k·D^γ, by least squares in logarithms through the bracketed sizes. The closed "
    "form predicts γ = 1/(1+a), with the a of all shapes at the largest dataset size; this tests the theory. The "
    "interval of γ covers the shapes, the replicates, and the scatter of the sizes about the line beyond their noise. "
    "A drift of the code's exponent bends the line, so that scatter has it in.",
    "least of all": "The dataset sizes at which a model size has the least adjusted rate of all sizes that were run. "
    "Between dataset sizes, the bits per byte are linear in log D and the parameters' bits are exact.",
    "unconverged": "The ratio of the critical size after all of the training to that after half of it has a 95 % "
    f"interval that does not contain 1 and reaches beyond a factor of {MARGIN:g}.",
    "interval": "It reaches from where the total falls to where it rises, with 95 % certainty. Three kinds of noise "
    "are in it: that of the shapes, which all dataset sizes share; that of the replicates; and a drift of the law's "
    "exponent. Restricted maximum likelihood over all dataset sizes of a corpus says how large each is, and the "
    "interval averages over that. benchmarks/coverage_of_critical.py simulates its coverage. It holds for one corpus "
    "and one recipe. It does not cover a law that breaks at one size, where the slope of the code length jumps: shapes "
    "hide that. The sizes within 1 % of the minimum covered it in simulations.",
    "pooled": "A size that was run once has no spread of its own. The spread of the sizes that were run several times "
    "is used for it.",
    "held-out rate": "Rate on bytes of the corpus that no subset contains, by the snapshot that did best on a sample "
    "of them. That selection makes it slightly too good.",
    "scaling law": "L(N, D) = E + A·N^−α + B·D^−β, of the held-out loss in bits per byte, fitted by the Huber loss of "
    "log-residuals (Hoffmann et al. 2022, approach 3; Besiroglu et al. 2024). E is the loss that no model of this kind "
    "removes. Where data were read more than once, two more forms are tried: repeated (Muennighoff et al. 2023), and "
    "overfitting, in which the cost of few data grows with the model.",
    "held-out test of the law": "The law is fitted without the largest runs. Its mean relative error on them stands "
    "beside that of two guesses that fit nothing: the last value seen, and the nearest run.",
    "compute-optimal size": "The N with the least held-out loss for a number of training FLOPs (Hoffmann et al. 2022). "
    "It answers another question: it spends compute, while the two-part code spends bits.",
    "cost of a parameter": "float32: 4 bytes. float16: 2 bytes, as in the paper. logn: ½·log₂ n bits with n = D "
    "bytes, the precision that n samples determine (Rissanen 1978). coded: the actual size of the quantized, entropy-"
    "coded weights, scales and shapes included, at the precision whose smooth law is the shortest of the dataset "
    "size, for which the interval holds; the data are coded by the weights as they decode. coded4: the same with "
    "every weight at 4 bits, at a price b + k/√N fitted to the prices of the sizes. capacity: 3.6 bits, about what a "
    "GPT-like model can store (Morris et al. 2025); this is a bound, not a code. file: the bytes of the weights file "
    "on disk, where a record has them. rows in use: embedding rows of byte values that do not occur in the subset "
    "cost nothing. All leave out the decoder's program and the hyperparameters.",
    "law of the price": "N* ∝ c^(−1/(1+a)), by the closed form. Where c is measured, it is what one more parameter "
    "costs at N*. Between sizes that were run, the bits of all parameters are taken as a power law of N.",
    "prequential code": "Each block is coded by a model that was trained on the blocks before it (Dawid 1984; Blier & "
    "Ollivier 2018). The decoder learns the parameters itself, so they cost nothing. It must repeat the training "
    "exactly. It may choose only by what it has decoded; any other choice is announced, which costs log₂ of the number "
    "of candidates.",
    "block-prequential": "Blocks end at the dataset sizes of the grid. The code is a sum of recorded segments; a "
    "measure.reach_ratio of 3 or more records them for sizes of 1, 3, 10 … KB. The first block is coded at 8 bits per "
    "byte or by the best classical coder, and is counted. Coarse blocks make the code longer than one whose models are "
    "trained anew after every byte, so it is an upper bound.",
    "online prequential": "One epoch, in which each window is coded and then learned from (Bornschein et al. 2022). "
    "The area between the losses and the loss at the end is what learning cost. It estimates epiplexity.",
    "leaked": "A share of every subset's blocks was replaced by blocks of the held-out part, in turn and repeatedly. D "
    "stays the same.",
}


def definitions() -> list[Block]:
    """A page of them."""
    return [Heading("Definitions"), Grid(("", ""), tuple(_DEFINITIONS.items()), "lw")]


register_section(WideSection(name="definitions", write=lambda _: definitions()))
