from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl.errors import MdlError
from mdl.models import Shape
from mdl.quantization import decode_weights, density_codec
from mdl.quantization.density_codec import DensityForm
from mdl.quantization.weight_codec import encode_density, from_matrices, matrix_shapes

SHAPE = Shape(8, 2, 1, context_tokens=64, block=2)


def form(rng: np.random.Generator, n_in: int, n_out: int, width: float = 0.1, most: int = 127) -> DensityForm:
    """Gaussian weights, each row's step near a fifth of their width."""
    steps = rng.integers(-4, 5, n_out) + round(4 * np.log2(width / 5))
    weights = rng.normal(scale=width, size=(n_in, n_out))
    numbers = np.clip(np.rint(weights / 2.0 ** (steps / 4)), -most, most).astype(np.int64)
    narrow = round(4 * np.log2(0.55 * width))
    return DensityForm(numbers=numbers, steps=steps, narrow=narrow, wide=narrow + 4, wide_share=10)


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    most=st.sampled_from([1, 3, 7, 127]),
    narrow=st.integers(-160, 160),
    share=st.integers(0, 255),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_encoded_is_decoded(
    seed: int, sizes: list[tuple[int, int]], most: int, narrow: int, share: int
) -> None:
    """Densities that do not fit the numbers at all cost bits, and nothing else."""
    rng = np.random.default_rng(seed)
    forms = [
        DensityForm(
            numbers=rng.integers(-most, most + 1, size) * rng.integers(0, 2, (1, size[1])),
            steps=rng.integers(-160, 161, size[1]),
            narrow=narrow,
            wide=int(rng.integers(-160, 161)),
            wide_share=share,
        )
        for size in sizes
    ]
    bits = density_codec.bits_of([each.numbers for each in forms])
    found = density_codec.decode(bits, density_codec.encode(forms), {str(i): size for i, size in enumerate(sizes)})
    for i, each in enumerate(forms):
        assert np.array_equal(found[str(i)], each.dequantised())


def test_numbers_take_what_their_density_gives() -> None:
    """Within a fifth of a per cent, beside the tables."""
    one = form(np.random.default_rng(0), 256, 256)
    content = density_codec.encode([one])
    r = 2.0 ** ((one.steps[None] - one.narrow) / 4), 2.0 ** ((one.steps[None] - one.wide) / 4)
    sizes = np.abs(one.numbers)
    shares = (256 - one.wide_share) / 256, one.wide_share / 256
    p = sum(
        w * (1 / (1 + np.exp((sizes - 0.5) * k)) - 1 / (1 + np.exp((sizes + 0.5) * k)))
        for w, k in zip(shares, r, strict=True)
    )
    numbers_bits = 8 * (len(content) - density_codec.tables_bytes(content, 1))
    assert numbers_bits == pytest.approx(float(-np.log2(p).sum()), rel=2e-3)
    assert density_codec.tables_bytes(content, 1) < 256


def test_a_row_of_zeros_costs_next_to_nothing() -> None:
    """A hundred of 256 rows: less than a bit each, their tables included."""
    one = form(np.random.default_rng(1), 64, 256)
    living = one.numbers[:, 100:], one.steps[100:]
    numbers = one.numbers.copy()
    numbers[:, :100] = 0
    with_zeros = density_codec.encode([replace(one, numbers=numbers)])
    without = density_codec.encode([replace(one, numbers=living[0], steps=living[1])])
    assert len(with_zeros) - len(without) < 100 / 8 + 20


def test_golden_bytes() -> None:
    rng = np.random.default_rng(2)
    content = density_codec.encode([form(rng, 16, 12), form(rng, 4, 30, width=3.0, most=7)])
    assert hashlib.sha256(content).hexdigest() == GOLDEN, len(content)


GOLDEN = "53cb7bb27b951ea674f5b7e63586c8fd392a8b15a3eb70d713a7e797f38e72df"


def coded() -> bytes:
    rng = np.random.default_rng(3)
    return encode_density(SHAPE, {name: form(rng, *size) for name, size in matrix_shapes(SHAPE).items()}).content


def test_a_coded_model_decodes_to_weights_whose_gains_are_one() -> None:
    rng = np.random.default_rng(3)
    forms = {name: form(rng, *size) for name, size in matrix_shapes(SHAPE).items()}
    model = encode_density(SHAPE, forms)
    assert (model.coder, model.content[:2]) == ("density", bytes([model.bits, 4]))
    wanted = from_matrices(SHAPE, {name: each.dequantised() for name, each in forms.items()})
    found = decode_weights(SHAPE, model.content)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert np.all(found["mlp_gain_1"] == 1)


@given(place=st.integers(0, 10**6), value=st.integers(1, 255), cut=st.integers(0, 10**6), whole=st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_is_damaged_is_refused_in_one_line_or_gives_finite_weights(
    place: int, value: int, cut: int, whole: bool
) -> None:
    content = bytearray(CODED)
    content[place % len(content)] ^= value
    damaged = bytes(content) if whole else bytes(content[: cut % len(content)])
    with contextlib.suppress(MdlError):
        found = decode_weights(SHAPE, damaged)
        assert all(np.all(np.isfinite(weight)) for weight in found.values())


CODED = coded()


def test_numbers_and_steps_that_the_format_does_not_have_are_refused() -> None:
    one = form(np.random.default_rng(4), 4, 4)
    with pytest.raises(MdlError, match="8 bits at most, got 128"):
        density_codec.encode([replace(one, numbers=np.full((4, 4), 128))])
    with pytest.raises(MdlError, match="a step of trained weights is out of range"):
        density_codec.encode([replace(one, steps=np.full(4, 161))])
