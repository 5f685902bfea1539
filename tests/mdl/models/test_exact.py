from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl.archives import block_codec
from mdl.entropy import EPSILON, Guard, guard_list, logit_rounding, range_coder
from mdl.entropy.logit_rounding import MAX_LOGIT, grid_of, guided_grid
from mdl.errors import MdlError
from mdl.models import Shape, StackedTransformer, float64_parallel, float64_stepwise, usual_heads
from tests.blocks import encode_block
from tests.conftest import markov_text

LADDER = [(4, 1), (8, 1), (16, 1), (16, 2), (32, 2), (48, 2), (64, 2), (64, 4), (128, 4)]
DATA = np.frombuffer(markov_text(20_000), np.uint8).copy()


def sharpened(width: int, depth: int, context_bytes: int, scale: float = 1.5, *, block: int = 1) -> StackedTransformer:
    """A float64 model with weights as large as training makes them: its logits reach tens, as trained ones do."""
    heads = usual_heads(width) if width % (2 * usual_heads(width)) == 0 else 1
    model = StackedTransformer(Shape(width, depth, heads, context_tokens=context_bytes, block=block), [width + depth])
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(5 * scale if name == "embedding" else scale)
            if name == "smear":
                weight.uniform_(-1, 1)
    return model.double()


def trained(width: int, depth: int, context_bytes: int, steps: int, *, block: int = 1) -> StackedTransformer:
    """A float64 model after a few steps of AdamW on the text."""
    shape = Shape(width, depth, usual_heads(width), context_tokens=context_bytes, block=block)
    model = StackedTransformer(shape, [0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = np.random.default_rng(0)
    for _ in range(steps):
        starts = generator.integers(0, len(DATA) - context_bytes, 8)
        windows = torch.from_numpy(np.stack([DATA[s : s + context_bytes] for s in starts]))[None]
        logits = model(windows)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits.view(-1, 256), windows.reshape(-1).long()).backward()
        optimizer.step()
    return model.double()


@pytest.fixture(scope="module", params=[1, 2], ids=["block 1", "block 2"])
def small(request: pytest.FixtureRequest) -> StackedTransformer:
    return trained(16, 2, 64, 25, block=request.param)


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize(("width", "depth"), LADDER)
def test_epsilon_is_a_thousand_times_the_largest_difference(width: int, depth: int, block: int) -> None:
    """Parallel against step by step, over every shape of the ladder, with logits as large as trained ones."""
    context = 192
    model = sharpened(width, depth, context, block=block)
    windows = DATA[: 4 * context].reshape(4, context)
    with torch.inference_mode():
        assert float(model(torch.from_numpy(windows)[None]).abs().max()) > 10
    assert 1000 * float64_parallel.largest_difference(model, windows) <= EPSILON


@pytest.mark.slow
@pytest.mark.parametrize(("width", "depth"), [(8, 1), (32, 2), (64, 4), (128, 4)])
def test_epsilon_is_a_thousand_times_the_difference_of_trained_models(width: int, depth: int) -> None:
    model = trained(width, depth, 256, 40)
    assert 1000 * float64_parallel.largest_difference(model, DATA[:1024].reshape(4, 256)) <= EPSILON


def test_the_largest_difference_is_not_blind(small: StackedTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that computes a little differently is seen, and such a model is refused."""
    plain = float64_stepwise.Stepper._logits
    monkeypatch.setattr(float64_stepwise.Stepper, "_logits", lambda self, length: plain(self, length) + 1e-10)
    windows = DATA[:128].reshape(2, 64)
    assert float64_parallel.largest_difference(small, windows) == pytest.approx(1e-10, rel=0.01)
    with pytest.raises(MdlError, match="not stable enough"):
        float64_parallel.check_agreement(small, windows)


@pytest.mark.parametrize("length", [20, 64])
@torch.inference_mode()
def test_the_plain_products_that_cuda_takes_give_the_same_logits(small: StackedTransformer, length: int) -> None:
    """In parallel, and step by step with room for bytes to come."""
    windows = DATA[: 3 * length].reshape(3, length)
    expected = small(torch.from_numpy(windows)[None])[0]
    plain = float64_parallel._in_plain_products(small, torch.from_numpy(windows))
    assert float((plain - expected).abs().max()) < 1e-12
    steps = float64_stepwise.Stepper(small, 3, length)
    steps._plain = True
    for t in range(length):
        if t:
            steps._previous.copy_(torch.from_numpy(windows[:, t - 1]))
        steps._at.fill_(t)
        assert float((steps._logits(length) - expected[:, t]).abs().max()) < 1e-12


def test_a_stepper_begins_anew(small: StackedTransformer) -> None:
    """Blocks after blocks through one decoder are those of fresh ones."""
    parts = [DATA[:640], DATA[640:1280], DATA[1280:1920], DATA[1920:2000]]
    coded = [encode_block(small, part) for part in parts]
    decoder = block_codec.BlockDecoder(small)
    assert decoder.decode(coded[:2]) + decoder.decode(coded[2:]) == [part.tobytes() for part in parts]


@pytest.mark.parametrize("n_bytes", [1, 63, 64, 65, 1000, 6400])
def test_a_block_of_any_length_is_decoded(small: StackedTransformer, n_bytes: int) -> None:
    data = DATA[:n_bytes]
    assert block_codec.BlockDecoder(small).decode([encode_block(small, data)]) == [data.tobytes()]


@pytest.mark.parametrize("last", [1, 17, 64, 100, 640])
def test_blocks_in_lockstep_are_decoded_as_each_alone(small: StackedTransformer, last: int) -> None:
    parts = [DATA[:640], DATA[640:1280], DATA[1280 : 1280 + last]]
    coded = [encode_block(small, part) for part in parts]
    assert block_codec.BlockDecoder(small).decode(coded) == [part.tobytes() for part in parts]


def _noisy(monkeypatch: pytest.MonkeyPatch, amount: float) -> None:
    plain, generator = float64_stepwise.Stepper._logits, torch.Generator().manual_seed(5)

    def noisy(self: float64_stepwise.Stepper, length: int) -> torch.Tensor:
        logits = plain(self, length)
        signs = torch.randint(0, 2, logits.shape, generator=generator) * 2.0 - 1
        return logits + amount * signs

    monkeypatch.setattr(float64_stepwise.Stepper, "_logits", noisy)


def test_noise_within_epsilon_decodes_exactly_and_only_for_the_list(
    small: StackedTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """±0.9e-9 on every logit. With a band so wide that the list is long, as the real one is over many megabytes."""
    monkeypatch.setattr(logit_rounding, "EPSILON", 1e-5)
    coded = encode_block(small, DATA)
    listed = guard_list.unpack(coded.guard, 1 << 40)
    assert listed.index.size > 1000
    _noisy(monkeypatch, 0.9e-5)
    assert block_codec.BlockDecoder(small).decode([coded]) == [DATA.tobytes()]
    bare = block_codec.Block(n_bytes=coded.n_bytes, stream=coded.stream, guard=b"", crc32=coded.crc32)
    with pytest.raises(MdlError, match=r"damaged|checksum"):
        block_codec.BlockDecoder(small).decode([bare])


def test_noise_of_nine_tenths_of_the_real_epsilon_decodes_exactly(
    small: StackedTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded = encode_block(small, DATA)
    _noisy(monkeypatch, 0.9e-9)
    assert EPSILON == 1e-9
    assert block_codec.BlockDecoder(small).decode([coded]) == [DATA.tobytes()]


def test_one_logit_at_a_boundary_takes_the_side_it_is_told() -> None:
    boundary = torch.full((1, 256), 2.5 * range_coder.GRID, dtype=torch.float64)
    for side, sign in ((True, 1), (False, -1)):
        grid, places, up = logit_rounding.grid_of(boundary + sign * 0.5e-9)
        assert places.tolist() == list(range(256))
        assert bool((up == side).all())
        told = logit_rounding.guided_grid(boundary - sign * 0.4e-9, places, up)
        assert torch.equal(told, grid)


def test_logits_too_large_for_the_bound_are_refused() -> None:
    for wrong in (MAX_LOGIT * 1.001, -MAX_LOGIT * 1.001, float("nan"), float("inf")):
        logits = torch.zeros(2, 256, dtype=torch.float64)
        logits[1, 7] = wrong
        with pytest.raises(MdlError, match="largest logit"):
            logit_rounding.grid_of(logits)


def test_tables_on_any_device_are_those_of_the_coder() -> None:
    grid = np.random.default_rng(0).integers(-3000, 3000, (300, 256))
    cumulative = logit_rounding.cumulative_counts(torch.from_numpy(grid)).numpy()
    assert np.array_equal(np.diff(cumulative, prepend=0), range_coder.counts(grid))


@given(st.integers(0, 2**32), st.floats(0.01, 30), st.sampled_from([0, 255, None]))
@settings(deadline=None, max_examples=40)
def test_intervals_make_the_stream_that_tables_make(seed: int, scale: float, symbol: int | None) -> None:
    generator = np.random.default_rng(seed)
    grid = range_coder.to_grid(generator.normal(size=(50, 256)) * scale)
    symbols = generator.integers(0, 256, 50).astype(np.uint8) if symbol is None else np.full(50, symbol, np.uint8)
    tables, intervals = range_coder.StreamEncoder(), range_coder.StreamEncoder()
    tables.write(range_coder.counts(grid), symbols)
    left, width = logit_rounding.symbol_intervals(torch.from_numpy(grid), torch.from_numpy(symbols.astype(np.int64)))
    intervals.write_intervals(left.numpy(), width.numpy())
    assert intervals.finish() == tables.finish()


@given(st.sets(st.integers(0, 2**34), max_size=60), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_guard_list_is_packed_and_read_back(places: set[int], seed: int) -> None:
    listed = Guard(np.array(sorted(places), np.int64), np.random.default_rng(seed).random(len(places)) < 0.5)
    packed = guard_list.pack(listed)
    back = guard_list.unpack(packed, 2**34 + 1)
    assert np.array_equal(back.index, listed.index)
    assert np.array_equal(back.up, listed.up)


def test_a_guard_list_takes_half_a_bit_a_place_over_its_entropy() -> None:
    """Geometric gaps of mean m have log2(e·m) bits, and the side has one."""
    n_bytes, n = 1 << 24, 550
    places = np.sort(np.random.default_rng(1).choice(n_bytes * 256, n, replace=False))
    assert (
        8 * len(guard_list.pack(Guard(places, np.zeros(n, np.bool_)))) < (1.5 + np.log2(np.e * n_bytes * 256 / n)) * n
    )


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_a_guard_list_or_one_clear_error(packed: bytes) -> None:
    try:
        listed = guard_list.unpack(packed, 2**20)
    except MdlError:
        return
    assert np.all(np.diff(listed.index, prepend=-1) > 0)
    assert np.all(listed.index < 2**20)


def test_golden_bytes_pin_the_guard_list() -> None:
    listed = Guard(np.array([5, 70_000, 70_001, 9_000_000], np.int64), np.array([True, False, True, True]))
    assert guard_list.pack(listed).hex() == "150480000a0445aa000007c842ce"


def test_logits_may_lie_in_memory_in_any_order() -> None:
    """A slice or a transposed tensor is rounded as its copy is."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(40, 7, 64, generator=generator, dtype=torch.float64) * 8
    for own in (wide[:, 3], wide[::2, 1, ::3], wide.mT[5], wide.transpose(0, 2)[..., 2]):
        copy = own.contiguous()
        for found, expected in zip(grid_of(own), grid_of(copy), strict=True):
            assert torch.equal(found, expected)
        nearest, places, up = grid_of(copy)
        assert torch.equal(guided_grid(own, places, up), nearest)
