"""What recipe 1 trains, it trains for ever: a sweep file of its time gives its names and, on the CPU, its bits."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mdl.config import Cell, Cohort
from mdl.data import WindowOrder, open_corpus
from mdl.models import StackedTransformer, load_weights
from mdl.records import RunPaths
from mdl.sweeps.grid import cells_of, cohorts_of
from mdl.sweeps.sweep_file import load_sweep
from mdl.training import run_cohort
from tests.conftest import markov_text

SWEEP = """
name: first
parameters:
  corpus.source: {value: "file:text.txt"}
  corpus.heldout_bytes: {value: 20KB}
  subset_bytes: {values: [10KB, 50KB]}
  size: {values: [8x1, 16x2]}
  context_bytes: {value: 64}
  steps: {value: 40}
  warmup_steps: {value: 10}
  lr_scale: {values: [1, 0.5]}
  reach_ratio: {value: 1}
  stream_bytes: {value: 0}
  heldout_sample_bytes: {value: 2048}
"""
# Of the final weights' files, made before there was another recipe, where products are rounded as `_rounding` says.
ROUNDING = "0e9f29b7ad35904d"
FINAL_SHA256 = {
    "8x1-10KB-s0-1173b0c6": "806fa884745ada39cd09a92b16122f201816aeaf9f306f35cab4b3a12d31cef8",
    "8x1-10KB-s0-ad7aece0": "e2ef7e5145ad5691117458a7d698593abdd136a4c8f8fbefb0b1f143414c8fad",
    "8x1-50KB-s0-9fe62017": "bc9324dcc5ebe660777be0e162809e2daaa2846dc5e8a963cfb6dca11e546b4a",
    "8x1-50KB-s0-f327cbc0": "2977a5483957e4fc81e910e7bdcd1be7f6024271770889732da8b2ba8ea64b4f",
    "16x2-10KB-s0-486a035e": "49a5b8a1f873397045a24410ee4dd251d4b262a7887f04bd28d7704ac9b677bc",
    "16x2-10KB-s0-9bba7e62": "510a058e37dcb83fe447387d5e0dec6154ef531ced76e21aa35a60a87bfba446",
    "16x2-50KB-s0-4b875a17": "b70171fe49335a8727c24607528a5b53a64d960362a5710221ed3a38daed9037",
    "16x2-50KB-s0-962a6b92": "95f3b0f9131ab6dd06f65c893b555322b4270726af64cbc385455ebaeeb7be55",
}


def _rounding() -> str:
    """A digest of some products and sums: processors of other instructions round otherwise."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, n, m, generator=generator, requires_grad=True) for n, m in ((256, 16), (16, 64)))
    y = torch.nn.functional.gelu(torch.bmm(a, b)).view(3, 4, 64, 64)
    y = torch.nn.functional.scaled_dot_product_attention(y, y, y, is_causal=True)
    torch.nn.functional.cross_entropy(y.reshape(-1, 64), torch.arange(768) % 64).backward()  # type: ignore[no-untyped-call]
    parts = (y, a.grad, b.grad)
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in parts if p is not None)).hexdigest()[:16]


@pytest.fixture
def cohorts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Cohort]:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("text.txt").write_bytes(markov_text(200_000))
    Path("first.yaml").write_text(SWEEP)
    return cohorts_of(cells_of(load_sweep(Path("first.yaml"))))


def test_an_old_sweep_file_gives_its_names_and_bits(cohorts: list[Cohort]) -> None:
    """The bits where the processor rounds as that of the golden ones; on all others the next test holds them."""
    records = [record for group in cohorts for record in run_cohort(group, "first", RunPaths(Path("runs")))]
    found = {record.run_id: record.snapshots[0].weights_sha256 for record in records}
    assert set(found) == set(FINAL_SHA256)
    if _rounding() == ROUNDING:
        assert found == FINAL_SHA256


def _by_plain_loop(cell: Cell) -> dict[str, torch.Tensor]:
    """One member's final weights by torch's AdamW alone, with nothing of what trains cohorts."""
    config, recipe = cell.resolved, cell.resolved.recipe
    model = StackedTransformer(config.shape, [config.seed])
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim == 3], "weight_decay": 0.01},
        {"params": [w for w in weights if w.ndim < 3], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.lr_factor)
    T, view = config.shape.context_tokens, open_corpus(config.corpus).train
    order = WindowOrder(config.seed, config.subset_bytes, T, recipe.batch_windows)
    for step in range(recipe.steps):
        windows = torch.from_numpy(view.gather(np.asarray(order.starts(step)), T))[None]
        optimizer.zero_grad()
        model.nats(windows).flatten(1).mean(dim=1).sum().backward()  # type: ignore[no-untyped-call]
        gradients = [w.grad for w in weights if w.grad is not None]
        norm = sum((g.flatten(1).square().sum(dim=1) for g in gradients), torch.zeros(1)).sqrt()
        for gradient in gradients:
            gradient.mul_((1.0 / (norm + 1e-6)).clamp(max=1.0).view(-1, *[1] * (gradient.ndim - 1)))
        before = [w.detach().clone() for w in weights]
        optimizer.step()
        schedule.step()
        if config.lr_scale != 1:
            with torch.no_grad():
                for weight, old in zip(weights, before, strict=True):
                    weight.copy_(old + config.lr_scale * (weight - old))
    return model.member(0)


@pytest.mark.slow
def test_recipe_1_is_torchs_adamw_in_a_plain_loop_to_the_bit(cohorts: list[Cohort]) -> None:
    """Members with another rate's factor too, which lies between the old weights and the new."""
    for group in cohorts:
        for record, cell in zip(run_cohort(group, "first", RunPaths(Path("runs"))), group.cells, strict=True):
            _, trained = load_weights(Path("runs") / cell.run_id / record.snapshots[0].weights_file)
            for name, weight in _by_plain_loop(cell).items():
                assert torch.equal(trained[name], weight), (cell.run_id, name)
