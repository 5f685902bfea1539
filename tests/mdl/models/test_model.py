from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from mdl.errors import MdlError
from mdl.models import (
    Shape,
    StackedTransformer,
    count_params,
    count_weights,
    forward_flops_per_byte,
    load_weights,
    parse_size,
    stack,
    weight_shapes,
    weights_bytes,
)
from mdl.models.block_2 import slow_channels
from mdl.models.weights_file import save_weights

# Delétang et al. name three sizes by their parameters; the other totals are the reference recipe's.
TOTALS = {
    "8x1": 2_840, "16x1": 7_216, "16x2": 10_320, "32x2": 32_928,
    "64x2": 115_008, "64x4": 213_568, "128x4": 820_352, "256x4": 3_213_568,
}  # fmt: skip


@pytest.mark.parametrize(("size", "total"), TOTALS.items())
def test_count_params_counts_what_the_model_has(size: str, total: int) -> None:
    shape = Shape(*parse_size(size), context_tokens=64)
    counted = count_params(shape)
    assert counted["total"] == total == sum(v for k, v in counted.items() if k != "total")
    model = StackedTransformer(shape, [0])
    assert sum(weight.numel() for weight in model.parameters()) == total


@pytest.mark.parametrize(("preset", "nominal"), [("paper-200k", 2e5), ("paper-800k", 8e5), ("paper-3.2m", 3.2e6)])
def test_the_papers_sizes_are_presets(preset: str, nominal: float) -> None:
    shape = Shape(*parse_size(preset), context_tokens=2048)
    assert count_params(shape)["total"] == pytest.approx(nominal, rel=0.08)
    assert shape.depth == 4


@pytest.mark.parametrize("bad", ["16", "x2", "0x1", "6x1h2", "ax2", "16x2x2", "paper-200m"])
def test_a_size_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(MdlError):
        Shape(*parse_size(bad), context_tokens=64)


BLOCK = pytest.mark.parametrize("block", [1, 2])


@pytest.mark.parametrize("size", ["4x1", "16x2", "64x4"])
def test_the_second_block_adds_two_vectors_and_a_number(size: str) -> None:
    """C for the smear, C a layer for the query gains, and a number for every layer but the first."""
    shape = Shape(*parse_size(size), context_tokens=64)
    later, C, L = replace(shape, block=2), shape.width, shape.depth
    added = count_params(later)["total"] - count_params(shape)["total"]
    assert added == C + C * L + L - 1
    model = StackedTransformer(later, [0])
    assert sum(weight.numel() for weight in model.parameters()) == count_params(later)["total"]
    assert len(list(model.parameters())) == count_weights(later)
    assert len(list(StackedTransformer(shape, [0]).parameters())) == count_weights(shape)


def test_the_second_block_is_the_first_where_nothing_is_taken_from_the_neighbor() -> None:
    """Both begin at the same matrices, and a head whose pairs are one has no slow pair: its key is its own byte's."""
    shape = Shape(8, 2, 4, context_tokens=16)
    first, second = StackedTransformer(shape, [3]), StackedTransformer(replace(shape, block=2), [3])
    weights = dict(second.named_parameters())
    assert all(torch.equal(weight, weights[name]) for name, weight in first.named_parameters())
    assert not slow_channels(2, torch.device("cpu")).any()
    assert slow_channels(8, torch.device("cpu")).tolist() == [False, False, True, True] * 2
    assert slow_channels(6, torch.device("cpu")).tolist() == [False, False, True] * 2


def test_the_second_block_by_hand() -> None:
    """One head's layer computed position by position in plain NumPy, from the four changes as they are described."""
    shape = Shape(8, 2, 1, context_tokens=6, block=2)
    model = StackedTransformer(shape, [1])
    with torch.no_grad():
        model.weight("smear").uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
        model.weight("query_gain_1").uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
    model = model.double()
    x = windows(1, 1, 6)
    w = {name: weight[0].detach().numpy() for name, weight in model.named_parameters()}
    symbols = x[0, 0].numpy()
    embedded = np.stack([w["start"], *w["embedding"][symbols[:-1]]])
    stream = embedded + w["smear"] * np.concatenate([np.zeros((1, 8)), embedded[:-1]])
    first_values = None
    for k in range(2):
        stream, first_values = _layer_by_hand(stream, first_values, w, k, model.cos.numpy(), model.sin.numpy())
    logits = _unit(stream) @ w["embedding"].T
    assert np.allclose(logits, model(x)[0, 0].detach().numpy(), atol=1e-12)


def _unit(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
    return unit


def _layer_by_hand(x: Any, first_values: Any, w: Any, k: int, cos: Any, sin: Any) -> tuple[Any, Any]:
    q, key, v = np.split((_unit(x) * w[f"attention_gain_{k}"]) @ w[f"qkv_{k}"], 3, axis=1)
    for t in reversed(range(len(x))):  # pairs 2 and 3 of the four turn slowly
        for c in (2, 3, 6, 7):
            key[t, c] = key[t - 1, c] if t else 0.0
    q, key = _unit(q) * w[f"query_gain_{k}"], _unit(key)
    if first_values is not None:
        v = v + w[f"value_mix_{k}"] * (first_values - v)
    turn = lambda a: np.concatenate([a[:, :4] * cos - a[:, 4:] * sin, a[:, :4] * sin + a[:, 4:] * cos], 1)  # noqa: E731
    scores = turn(q) @ turn(key).T / np.sqrt(8)
    scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    x = x + (weights / weights.sum(axis=1, keepdims=True)) @ v @ w[f"out_{k}"]
    up = (_unit(x) * w[f"mlp_gain_{k}"]) @ w[f"up_{k}"]
    gelu = torch.nn.functional.gelu(torch.from_numpy(up)).numpy()
    return x + gelu @ w[f"down_{k}"], v if first_values is None else first_values


def windows(M: int, B: int, T: int) -> torch.Tensor:
    return torch.randint(0, 256, (M, B, T), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


@BLOCK
def test_a_byte_is_predicted_from_what_came_before_it_in_its_window_alone(block: int) -> None:
    model = StackedTransformer(Shape(32, 2, 2, context_tokens=16, block=block), [0])
    x = windows(1, 2, 16)
    changed = x.clone()
    changed[0, 0, 9] += 1
    a, b = model(x), model(changed)
    assert torch.equal(a[0, 0, :10], b[0, 0, :10])
    assert not torch.equal(a[0, 0, 10], b[0, 0, 10])
    assert torch.equal(a[0, 1], b[0, 1])


@BLOCK
def test_members_do_not_mix(block: int) -> None:
    """A member's logits are to the bit what they are alone."""
    shape = Shape(16, 2, 1, context_tokens=32, block=block)
    x = windows(3, 2, 32)
    together = StackedTransformer(shape, [5, 6, 7])(x)
    alone = StackedTransformer(shape, [6])(x[1:2])
    assert torch.equal(together[1], alone[0])


@BLOCK
def test_a_shorter_window_is_the_beginning_of_a_longer_one(block: int) -> None:
    model = StackedTransformer(Shape(16, 1, 1, context_tokens=32, block=block), [0])
    x = windows(1, 3, 32)
    assert torch.allclose(model(x)[:, :, :7], model(x[:, :, :7]), atol=1e-5)


@BLOCK
def test_an_untrained_model_is_close_to_uniform(block: int) -> None:
    model = StackedTransformer(Shape(64, 2, 2, context_tokens=64, block=block), [0])
    x = windows(1, 4, 64)
    nats = torch.nn.functional.cross_entropy(model(x).view(-1, 256), x.view(-1).long())
    assert 5.0 < nats.item() < 7.0


def test_flops_agree_with_a_count_by_torch() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    shape = Shape(32, 2, 1, context_tokens=64)
    model = StackedTransformer(shape, [0])
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(windows(1, 4, 64))
    full_attention = 2 * 4.0 * shape.width * (64 - (64 + 1) / 2)  # torch counts what the causal mask then hides
    assert counter.get_total_flops() / (4 * 64) == pytest.approx(
        forward_flops_per_byte(shape) + full_attention, rel=1e-6
    )


@BLOCK
def test_weights_come_back_from_disk(block: int, tmp_path: Path) -> None:
    shape = Shape(16, 2, 1, context_tokens=32, block=block)
    model = StackedTransformer(shape, [1, 2])
    save_weights(tmp_path / "w.safetensors", shape, model.member(1))
    read_shape, weights = load_weights(tmp_path / "w.safetensors")
    assert read_shape == shape
    x = windows(1, 2, 32)
    assert torch.equal(stack(shape, [weights])(x)[0], model(x.expand(2, -1, -1))[1])


@BLOCK
def test_weights_have_the_shapes_that_are_told(block: int) -> None:
    shape = Shape(16, 2, 1, context_tokens=32, block=block)
    member = StackedTransformer(shape, [1]).member(0)
    assert {name: tuple(weight.shape) for name, weight in member.items()} == weight_shapes(shape)


def test_equal_weights_are_equal_bytes() -> None:
    """safetensors keeps its metadata in a hash map: more than one key came out in a random order."""
    shape = Shape(16, 1, 1, context_tokens=32)
    model = StackedTransformer(shape, [1])
    assert len({weights_bytes(shape, model.member(0)) for _ in range(20)}) == 1


def test_files_that_are_not_weights_are_refused(tmp_path: Path) -> None:
    shape = Shape(16, 2, 1, context_tokens=32)
    path = tmp_path / "w.safetensors"
    for content in (b"", b"\x80\x04pickled", bytes(100)):
        path.write_bytes(content)
        with pytest.raises(MdlError, match="does not hold weights"):
            load_weights(path)
    with pytest.raises(MdlError, match="no weights"):
        load_weights(tmp_path / "none")
    for forged in (replace(shape, depth=1), replace(shape, depth=10**15), replace(shape, width=2**40)):
        save_weights(path, forged, StackedTransformer(shape, [0]).member(0))
        with pytest.raises(MdlError, match="do not fit the shape"):
            load_weights(path)


def test_float64_rotary_tables_are_not_rounded_through_float32() -> None:
    model = StackedTransformer(Shape(16, 1, 1, context_tokens=64), [0]).double()
    angle = 63 * 10_000.0 ** (-3 / 8)
    assert abs(float(model.cos[63, 3]) - np.cos(angle)) < 1e-14
