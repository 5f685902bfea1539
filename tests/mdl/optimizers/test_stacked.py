"""Claims about the stacked optimizer: orthogonal updates, members independent to the bit, torch's AdamW on the rest."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mdl.optimizers import StackedMuon, orthogonal

WIDTHS_AND_DEPTHS = [(2, 1), (4, 1), (6, 2), (8, 1), (10, 1), (12, 2), (16, 2), (32, 2), (64, 1)]


class Weights(nn.Module):
    """The weights of M models of width C; a member's initial ones depend on its seed alone."""

    def __init__(self, width: int, depth: int, seeds: list[int]) -> None:
        super().__init__()
        C = width
        sizes: dict[str, tuple[int, ...]] = {"embedding": (256, C), "start": (C,)}
        for k in range(depth):
            sizes |= {f"qkv_{k}": (C, 3 * C), f"out_{k}": (C, C), f"up_{k}": (C, 4 * C), f"down_{k}": (4 * C, C)}
            sizes |= {f"gain_{k}": (C,)}
        drawn = [{name: _normal(size, seed, i) for i, (name, size) in enumerate(sizes.items())} for seed in seeds]
        for name in sizes:
            self.register_parameter(name, nn.Parameter(torch.stack([own[name] for own in drawn])))

    def groups(self) -> list[dict[str, Any]]:
        """Queries, keys and values side by side; other matrices; the rest."""
        named = dict(self.named_parameters())
        qkv = [w for n, w in named.items() if n.startswith("qkv")]
        single = [w for n, w in named.items() if n.startswith(("out", "up", "down"))]
        rest = [w for n, w in named.items() if n.startswith(("embedding", "start", "gain"))]
        muon = {"lr": 0.02, "weight_decay": 0.1}
        return [{"params": qkv, "parts": 3, **muon}, {"params": single, "parts": 1, **muon}, {"params": rest}]

    def set_gradients(self, seeds: list[int], step: int) -> None:
        """Random ones, a function of (seed, step, weight)."""
        for i, weight in enumerate(self.parameters()):
            drawn = [_normal(tuple(weight.shape[1:]), 1000 * seed + step, i) for seed in seeds]
            weight.grad = torch.stack(drawn).to(weight.device)


def _normal(size: tuple[int, ...], seed: int, which: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(100 * seed + which))


def trained(width: int, depth: int, seeds: list[int], scales: list[float] | None = None, n_steps: int = 3) -> Weights:
    """After some steps."""
    weights = Weights(width, depth, seeds)
    optimizer = StackedMuon(weights.groups(), lr=0.01, lr_scale=None if scales is None else torch.tensor(scales))
    for step in range(n_steps):
        weights.set_gradients(seeds, step)
        optimizer.step()
    return weights


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (16, 64), (64, 64), (128, 512)])
def test_every_update_is_nearly_orthogonal(rows: int, columns: int) -> None:
    """Singular values of what Newton-Schulz gives lie between .3 and 1.3, most between .65 and 1.2; directions stay."""
    drawn = _normal((6, rows, columns), 0, 0)
    U, _, Vh = torch.linalg.svd(drawn, full_matrices=False)
    made = orthogonal(drawn)
    values = torch.diagonal(U.mT @ made @ Vh.mT, dim1=1, dim2=2)
    assert values.max() < 1.3
    assert values.min() > 0.3 or rows == columns  # a square matrix of numbers may be singular
    assert values.median() > 0.65
    off = U.mT @ made @ Vh.mT - torch.diag_embed(values)
    assert off.abs().max() < 1e-3


def test_a_matrix_of_zeros_has_no_update() -> None:
    """And nothing becomes NaN."""
    assert orthogonal(torch.zeros(2, 8, 8)).abs().max() == 0


@pytest.mark.parametrize(
    ("width", "depth", "n_threads"),
    [
        *((*shape, 1) for shape in WIDTHS_AND_DEPTHS),
        (16, 2, 2),
        *(pytest.param(*shape, 2, marks=pytest.mark.slow) for shape in WIDTHS_AND_DEPTHS if shape != (16, 2)),
    ],
)
def test_a_member_alone_and_in_company_are_equal_to_the_bit(width: int, depth: int, n_threads: int) -> None:
    """Of any number of members, at any place among them, with rate factors or without."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        for scale in (None, 1.0, 0.5):
            alone = trained(width, depth, [7], None if scale is None else [scale])
            for company in ([7, 1], [3, 7, 5], [1, 2, 3, 4, 5, 6, 7]):
                scales = None if scale is None else [scale if s == 7 else 2.0 for s in company]
                together = trained(width, depth, company, scales)
                for (name, own), among in zip(alone.named_parameters(), together.parameters(), strict=True):
                    assert torch.equal(own[0], among[company.index(7)]), (name, company, scale)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_all_that_is_no_matrix_moves_as_by_torchs_adamw(decay: float) -> None:
    """Within float32's rounding; its state has the same form."""
    seeds = [1, 2]
    weights, twin = (Weights(12, 2, seeds) for _ in range(2))
    optimizer = StackedMuon([{"weight_decay": decay, **g} for g in weights.groups()], lr=0.01)
    rest = twin.groups()[2]["params"]
    plain = torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95), weight_decay=decay, fused=True)
    for step in range(20):
        for each in (weights, twin):
            each.set_gradients(seeds, step)
        optimizer.step()
        plain.step()
    for own, other in zip(weights.groups()[2]["params"], rest, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
        assert optimizer.state[own].keys() == plain.state[other].keys()
        torch.testing.assert_close(optimizer.state[own]["exp_avg_sq"], plain.state[other]["exp_avg_sq"])


def test_a_factor_of_half_moves_half_as_far() -> None:
    """At the first step, without decay: both algorithms are linear in the rate."""
    for factor in (0.5, 2.0):
        moved = []
        for scale in (1.0, factor):
            weights = Weights(8, 1, [3, 4])
            before = copy.deepcopy(weights)
            groups = [{**group, "weight_decay": 0.0} for group in weights.groups()]
            optimizer = StackedMuon(groups, lr=0.01, lr_scale=torch.tensor([1.0, scale]))
            weights.set_gradients([3, 4], 0)
            optimizer.step()
            moved.append([b - a for a, b in zip(before.parameters(), weights.parameters(), strict=True)])
        for one, other in zip(*moved, strict=True):
            assert torch.equal(one[0], other[0])
            torch.testing.assert_close(other[1], factor * one[1], rtol=1e-3, atol=1e-6)


def test_an_update_of_a_square_matrix_has_the_size_of_its_rate() -> None:
    """Queries, keys and values are orthogonal each by itself; one that widens moves by √(columns/rows) more."""
    weights = Weights(32, 1, [1])
    before = copy.deepcopy(weights)
    groups = [{**group, "weight_decay": 0.0} for group in weights.groups()]
    optimizer = StackedMuon(groups, lr=0.01)
    weights.set_gradients([1], 0)
    optimizer.step()
    for name, n_parts, gain in (("qkv_0", 3, 1.0), ("out_0", 1, 1.0), ("up_0", 1, 2.0), ("down_0", 1, 1.0)):
        change = (getattr(weights, name) - getattr(before, name))[0] / 0.02
        for part in change.chunk(n_parts, dim=1):
            values = torch.linalg.svdvals(part)
            assert 0.65 * gain < values.median() < 1.2 * gain, name
            assert values.max() < 1.3 * gain, name


def test_a_state_saved_and_loaded_goes_on_to_the_bit() -> None:
    """Into a fresh optimizer, through a file's bytes, in the middle of a training with a schedule."""

    def run(weights: Weights, optimizer: StackedMuon, schedule: Any, steps: range) -> None:
        for step in steps:
            weights.set_gradients([1, 2], step)
            optimizer.step()
            schedule.step()

    def made() -> tuple[Weights, StackedMuon, Any]:
        weights = Weights(16, 1, [1, 2])
        optimizer = StackedMuon(weights.groups(), lr=0.01, lr_scale=torch.tensor([1.0, 0.5]))
        return weights, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))

    whole = made()
    run(*whole, range(6))
    first = made()
    run(*first, range(3))
    file = io.BytesIO()
    torch.save({"weights": first[0].state_dict(), "optimizer": first[1].state_dict(), "s": first[2].state_dict()}, file)
    file.seek(0)
    stored = torch.load(file)
    second = made()
    second[0].load_state_dict(stored["weights"])
    second[1].load_state_dict(stored["optimizer"])
    second[2].load_state_dict(stored["s"])
    run(*second, range(3, 6))
    for (name, weight), other in zip(whole[0].named_parameters(), second[0].parameters(), strict=True):
        assert torch.equal(weight, other), name


def test_parts_that_do_not_divide_are_refused() -> None:
    """With what was got."""
    with pytest.raises(ValueError, match=r"2, 8, 10"):
        StackedMuon([{"params": [nn.Parameter(torch.zeros(2, 8, 10))], "parts": 3}], lr=0.1)
    with pytest.raises(ValueError, match="above 0"):
        StackedMuon([{"params": [nn.Parameter(torch.zeros(2, 8))]}], lr=0.0)


def test_muon_learns_a_linear_map_that_its_gradients_tell() -> None:
    """The loss of every member falls a hundredfold; no member is left behind by its companions."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(3, 16, 16, generator=generator)
    weight = nn.Parameter(torch.zeros(3, 16, 16))
    optimizer = StackedMuon([{"params": [weight], "parts": 1}], lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 200)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = (weight - target).square().flatten(1).mean(dim=1)
        torch.autograd.backward(loss.sum())
        losses.append(loss.detach())
        optimizer.step()
        schedule.step()
    assert (losses[-1] < losses[0] / 100).all()
