from __future__ import annotations

import hashlib
import lzma
import math
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mdl.entropy import integer_codec
from mdl.errors import MdlError
from mdl.models import Shape, StackedTransformer, count_params, stack, weight_shapes
from mdl.quantization import (
    DataPart,
    Tuning,
    calibration_windows,
    coded_models,
    decoded,
    map_over_processes,
    subset_bits,
    two_part_codes,
    weight_codec,
)
from mdl.quantization.quantize import quantise
from mdl.quantization.sensitivity import Sensitivity, sensitivity
from mdl.quantization.weight_codec import MOST_NUMBER, Quantised
from tests.conftest import markov_text

Floats = npt.NDArray[np.float32]
SHAPE = Shape(4, 1, 1, context_tokens=8)
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-300, 300), st.integers(-integer_codec.MOST, integer_codec.MOST))


def _matrices(shape: tuple[int, int]) -> st.SearchStrategy[npt.NDArray[np.int64]]:
    return arrays.arrays(np.int64, shape, elements=NUMBERS)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(_matrices), max_size=4))
def test_whole_numbers_come_back(matrices: list[npt.NDArray[np.int64]]) -> None:
    """Of any size up to the most, in matrices of any shape, none at all included."""
    back = integer_codec.decode(integer_codec.encode(matrices), [matrix.shape for matrix in matrices])
    assert all(np.array_equal(a, b) for a, b in zip(matrices, back, strict=True))


def test_numbers_of_a_bell_curve_take_its_entropy_and_little_more() -> None:
    """Rows of widths from 0.5 to 50, told to the decoder by nothing but the numbers themselves."""
    rng = np.random.default_rng(0)
    width = np.geomspace(0.5, 50, 64)
    numbers = np.rint(rng.normal(size=(256, 64)) * width).astype(np.int64)
    edges = (np.arange(-8000, 8001)[None] - 0.5) / width[:, None]
    share = np.diff(np.vectorize(math.erf)(edges / math.sqrt(2))) / 2
    entropy = -np.sum(share * np.log2(np.maximum(share, 1e-300)), axis=1).mean()
    assert 8 * len(integer_codec.encode([numbers])) / numbers.size <= entropy + 0.1


def test_too_large_a_number_is_refused() -> None:
    with pytest.raises(MdlError, match="too fine"):
        integer_codec.encode([np.array([[integer_codec.MOST + 1]])])


def test_the_code_of_numbers_is_golden() -> None:
    """Written once, read for ever: near ones, a listed one, and ones so far that their low bits are raw."""
    matrix = np.array([[0, 1, -2, 3], [1, 0, 5, -4], [2**30, -1, 600, -700], [0, 0, 610, -690]])
    coded = bytes.fromhex(GOLDEN_NUMBERS)
    assert integer_codec.encode([matrix]).hex() == GOLDEN_NUMBERS
    assert np.array_equal(integer_codec.decode(coded, [(4, 4)])[0], matrix)


GOLDEN_NUMBERS = "1000000003000000a689688147cf862cff6fb94cbcbbd5af000000405802000044fdffff000000000098bf5380"


def _quantised(shape: Shape, seed: int, largest: int) -> dict[str, Quantised]:
    rng = np.random.default_rng(seed)
    return {
        name: Quantised(rng.integers(-largest, largest + 1, each), rng.integers(-40, 9, each[1]))
        for name, each in weight_codec.matrix_shapes(shape).items()
    }


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(
        [
            Shape(2, 1, 1, context_tokens=4),
            SHAPE,
            Shape(8, 2, 1, context_tokens=8),
            Shape(8, 2, 1, context_tokens=8, block=2),
            Shape(2, 5, 1, context_tokens=8, block=2),
        ]
    ),
    st.integers(0, 9),
    st.sampled_from([0, 1, 7, 40, 2**24]),
)
def test_coded_weights_decode_to_the_bits_of_the_weights(shape: Shape, seed: int, largest: int) -> None:
    """Constants, small ranges and huge ones: decoding gives number · scale in float32, and ones for the gains."""
    matrices = _quantised(shape, seed, largest)
    coded = weight_codec.encode_quantised(shape, 4, matrices)
    expected = weight_codec.from_matrices(shape, {name: each.dequantised() for name, each in matrices.items()})
    back = weight_codec.decode_weights(shape, coded.content)
    assert {name: weight.shape for name, weight in back.items()} == weight_shapes(shape)
    assert all(back[name].tobytes() == expected[name].tobytes() for name in expected)
    exact = matrices["up_0"].numbers.astype(np.float64) * 2.0 ** (matrices["up_0"].scales / 2)
    np.testing.assert_allclose(back["up_0"], exact, rtol=2e-7)


def _plain(shape: Shape, seed: int = 0) -> dict[str, Floats]:
    return {name: tensor.numpy() for name, tensor in StackedTransformer(shape, [seed]).member(0).items()}


def test_full_weights_come_back_to_the_bit() -> None:
    """Minus zero, the least number above it and the largest number included."""
    plain = _plain(SHAPE)
    plain["start"][:] = [-0.0, 1e-45, 3.4028235e38, -1.17e-38]
    coded = weight_codec.encode_full(SHAPE, plain)
    back = weight_codec.decode_weights(SHAPE, coded.content)
    assert all(back[name].tobytes() == plain[name].tobytes() for name in plain)
    assert len(coded.content) <= 2 + 4 * count_params(SHAPE)["total"]


@pytest.mark.parametrize("width", [32, 64], ids=["tried by every coder", "too many to be"])
def test_the_shortest_coder_wins(width: int) -> None:
    """Numbers that repeat are shorter by a dictionary, a bell curve's are shorter by the adaptive tables."""
    shape, rng = Shape(width, 1, 1, context_tokens=8), np.random.default_rng(0)
    assert (count_params(shape)["total"] > weight_codec._SMALL) == (width == 64)
    bell = {
        name: Quantised(np.rint(rng.normal(size=each) * np.geomspace(1, 8, each[1])).astype(int), np.full(each[1], -7))
        for name, each in weight_codec.matrix_shapes(shape).items()
    }
    repeated = {
        name: replace(each, numbers=np.resize(np.arange(-99, 100), each.numbers.shape)) for name, each in bell.items()
    }
    assert weight_codec.encode_quantised(shape, 4, bell).coder == "adaptive"
    assert weight_codec.encode_quantised(shape, 4, repeated).coder in ("xz", "zstd")
    for matrices in (bell, repeated):
        back = weight_codec.decode_weights(shape, weight_codec.encode_quantised(shape, 4, matrices).content)
        assert np.array_equal(back["down_0"], matrices["down_0"].dequantised())


@pytest.mark.parametrize("form", ["adaptive", "zstd"])
def test_the_coded_form_of_weights_is_golden(form: str) -> None:
    """What was written once decodes to the same float32 numbers for ever; SHA-256 of both, in short."""
    content = _coded_by(form)
    joined = b"".join(weight.tobytes() for weight in weight_codec.decode_weights(SHAPE, content).values())
    assert hashlib.sha256(joined).hexdigest()[:16] == "98c96b8c2b1eac95"
    if form == "adaptive":
        assert hashlib.sha256(content).hexdigest()[:16] == "abf5eb6431c49556"


@pytest.mark.parametrize("form", ["adaptive", "xz", "zstd", "full"])
def test_damaged_weights_are_one_line_or_weights(form: str) -> None:
    """Bits flipped, bytes cut off and put on: never another exception, never a number that is not finite."""
    coded = _coded_by(form)
    rng = np.random.default_rng(0)
    n_refused = 0
    for i in range(200):
        damaged = bytearray(coded)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        content = [bytes(damaged), coded[: rng.integers(len(coded))], coded + rng.bytes(3)][i % 3]
        try:
            back = weight_codec.decode_weights(SHAPE, content)
        except MdlError:
            n_refused += 1
            continue
        assert {name: weight.shape for name, weight in back.items()} == weight_shapes(SHAPE)
        assert all(np.all(np.isfinite(weight)) for weight in back.values())
    assert n_refused > 60


def _coded_by(form: str) -> bytes:
    if form == "full":
        return weight_codec.encode_full(SHAPE, _plain(SHAPE)).content
    matrices = {
        name: Quantised((np.arange(np.prod(each)).reshape(each) * 7919 >> 5) % 11 - 5, np.arange(each[1]) % 5 - 16)
        for name, each in weight_codec.matrix_shapes(SHAPE).items()
    }
    numbers = [*(each.scales[None] + 16 for each in matrices.values()), *(e.numbers for e in matrices.values())]
    plain = weight_codec._plain(numbers)
    packed = {
        "adaptive": lambda: integer_codec.encode(numbers),
        "xz": lambda: lzma.compress(plain),
        "zstd": lambda: weight_codec._zstd(plain, 19),
    }
    head = bytes([4, weight_codec.CODERS.index(form)]) + np.full(len(matrices), -16, "<i2").tobytes()
    content = head + packed[form]()
    back = weight_codec.decode_weights(SHAPE, content)
    assert np.array_equal(back["out_0"], matrices["out_0"].dequantised())
    return content


def test_a_forged_shape_is_refused_before_any_work() -> None:
    with pytest.raises(MdlError, match="damaged"):
        weight_codec.decode_weights(Shape(4096, 96, 128, context_tokens=64), _coded_by("adaptive"))


def test_weights_out_of_range_are_refused() -> None:
    matrices = _quantised(SHAPE, 0, 5)
    for broken in (
        replace(matrices["out_0"], scales=matrices["out_0"].scales + 400),
        replace(matrices["out_0"], numbers=matrices["out_0"].numbers + 2 * MOST_NUMBER),
    ):
        with pytest.raises(MdlError, match="out of range"):
            weight_codec.encode_quantised(SHAPE, 4, matrices | {"out_0": broken})
    for bits in (0, 1, 31, 32):
        with pytest.raises(MdlError, match="2 to 30 bits"):
            weight_codec.encode_quantised(SHAPE, bits, matrices)
    spoilt = _plain(SHAPE)
    spoilt["up_0"][0, 0] = np.nan
    with pytest.raises(MdlError, match="not finite"):
        weight_codec.encode_full(SHAPE, spoilt)


def _form(n_in: int, n_out: int, rng: np.random.Generator) -> Sensitivity:
    """Inputs that go together, gradients of very different size."""
    factor = rng.normal(size=(n_in, n_in)) * np.geomspace(1, 0.03, n_in)
    return Sensitivity(factor @ factor.T, np.geomspace(1, 1e-2, n_out))


def _cost(matrix: npt.NDArray[np.float64], given: Floats, form: Sensitivity) -> float:
    """Σ_j g_j δ_jᵀ A δ_j"""
    error = given - matrix
    return float(np.einsum("j,ij,ik,kj->", form.gradients, error, form.inputs, error))


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_a_weight_takes_the_bits_that_are_aimed_at(bits: int) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(128, 64))
    made = quantise({"w": matrix}, {"w": _form(128, 64, rng)}, bits)["w"]
    assert abs(8 * len(integer_codec.encode([made.numbers])) / matrix.size - bits) < 0.3


def test_steps_by_sensitivity_and_error_feedback_each_lower_the_cost() -> None:
    """At equal coded bits: against the same steps without feedback, and against one step for all rows."""
    rng = np.random.default_rng(0)
    matrix, form = rng.normal(size=(96, 64)), _form(96, 64, rng)
    flat = Sensitivity(form.inputs, np.ones(64))
    no_feedback = Sensitivity(np.eye(96), form.gradients)
    cost = {
        name: _cost(matrix, quantise({"w": matrix}, {"w": used}, 4)["w"].dequantised(), form)
        for name, used in (("both", form), ("one step", flat), ("no feedback", no_feedback))
    }
    assert cost["both"] < 0.6 * cost["one step"]
    assert cost["both"] < 0.6 * cost["no feedback"]


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_zeros_constants_and_extreme_weights_quantise(scale: float) -> None:
    """A row of zeros, a constant row, a row of one large weight; all are within a step of what they were."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(16, 8)) * scale
    matrix[:, 0], matrix[:, 1] = 0, scale
    matrix[3, 2] *= 1e6
    made = quantise({"w": matrix}, {"w": Sensitivity(np.eye(16), np.ones(8))}, 6)["w"]
    assert np.all(np.abs(made.dequantised() - matrix) <= 0.51 * 2.0 ** (made.scales / 2))
    assert np.all(made.numbers[:, 0] == 0)


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(MdlError, match="not finite"):
        quantise({"w": np.array([[np.nan]])}, {"w": Sensitivity(np.eye(1), np.ones(1))}, 4)


def test_sensitivities_are_products_of_inputs_and_gradients() -> None:
    """With one byte there is one product x·W, and the form's diagonal is the squared gradient of each weight."""
    shape = Shape(8, 2, 2, context_tokens=4)
    model, windows = StackedTransformer(shape, [0]), np.array([[65]], np.uint8)
    forms = sensitivity(model, windows)
    model.nats(torch.from_numpy(windows)[None]).sum().backward()
    for name in ("out_0", "up_1", "down_0", "qkv_1"):
        gradient = model.weight(name).grad
        assert gradient is not None
        diagonal = forms[name].inputs.diagonal()[:, None] * forms[name].gradients
        np.testing.assert_allclose(diagonal, gradient[0].double().square(), rtol=1e-4, atol=1e-12)
    total = forms["embedding"].inputs.trace() * forms["embedding"].gradients.sum()
    both = [model.weight(name).grad for name in ("embedding", "start")]
    squares = sum(float(g.double().square().sum()) for g in both if g is not None)
    assert float(total) == pytest.approx(squares, rel=1e-4)


@pytest.fixture(scope="module", params=[pytest.param(1, marks=pytest.mark.slow), 2], ids=["block 1", "block 2"])
def trained(request: pytest.FixtureRequest) -> tuple[Shape, dict[str, torch.Tensor], npt.NDArray[np.uint8]]:
    """A 16x1 model after 150 steps on a text that it learns."""
    shape, data = Shape(16, 1, 1, context_tokens=64, block=request.param), np.frombuffer(markov_text(64_000), np.uint8)
    model = StackedTransformer(shape, [0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rows = torch.from_numpy(data.reshape(-1, 64).copy())
    for step in range(150):
        optimizer.zero_grad()
        model.nats(rows[step * 6 : step * 6 + 6][None]).mean().backward()
        optimizer.step()
    return shape, model.member(0), data


class View:
    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self.data = data

    def __len__(self) -> int:
        return self.data.size

    def read(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        return self.data[start:end]


def data_part(
    shape: Shape, own: dict[str, torch.Tensor], view: View, n_bytes: int, sample_bytes: int = 10**9
) -> DataPart:
    (bits,) = subset_bits(shape, [own], view, n_bytes)
    return DataPart(shape=shape, view=view, n_bytes=n_bytes, plain=own, own_bits=bits, sample_bytes=sample_bytes)


def test_of_much_data_a_sample_foretells_all_precisions_but_the_shortest(
    trained: tuple[Shape, dict[str, torch.Tensor], npt.NDArray[np.uint8]],
) -> None:
    """Of an eighth the code under each precision is foretold within .1 %, at 2 bits 1 %; the shortest codes all."""
    shape, own, data = trained
    windows = calibration_windows(View(data), data.size, 64)
    every = two_part_codes(data_part(shape, own, View(data), data.size), windows)
    sampled = two_part_codes(data_part(shape, own, View(data), data.size, sample_bytes=data.size // 8), windows)
    assert {each.sample_bytes for each in every} == {None}
    by_total = min(every, key=lambda each: each.total_bits)
    shortest = min(sampled, key=lambda each: each.total_bits)
    assert shortest.sample_bytes is None
    assert shortest.bits == by_total.bits
    assert shortest.data_bits == pytest.approx(by_total.data_bits, rel=1e-9)
    assert {each.sample_bytes for each in sampled} == {None, data.size // 8}
    for foretold, coded in zip(sampled, every, strict=True):
        assert foretold.model_bits == coded.model_bits
        assert foretold.data_bits == pytest.approx(coded.data_bits, rel=1e-3 if coded.bits > 2 else 1e-2)


def test_every_precision_has_its_two_parts(
    trained: tuple[Shape, dict[str, torch.Tensor], npt.NDArray[np.uint8]],
) -> None:
    """The model's part falls with the precision, the data's part rises; 32 bits are the weights as they are."""
    shape, own, data = trained
    view, n_params = View(data), count_params(shape)["total"]
    windows = calibration_windows(view, 50_000, 64)
    assert windows.shape == (781, 64)
    found = two_part_codes(data_part(shape, own, view, 50_000), windows)
    assert [each.bits for each in found] == [2, 3, 4, 5, 6, 7, 8, 12, 16, 32]
    assert [each.model_bits for each in found] == sorted(each.model_bits for each in found)
    plain = subset_bits(shape, [own], view, 50_000)[0]
    assert found[-1].data_bits == pytest.approx(plain, rel=1e-9)
    by_bits = {each.bits: each.data_bits / plain - 1 for each in found}
    assert by_bits[8] < 0.001
    assert by_bits[6] < 0.005
    assert by_bits[5] < 0.02
    assert by_bits[2] > by_bits[4] > by_bits[6]
    at = {each.bits: each.model_bits / n_params for each in found}
    assert at[8] < 9.2
    assert at[4] < 5.2


def test_the_data_is_measured_under_what_a_decoder_gets(
    trained: tuple[Shape, dict[str, torch.Tensor], npt.NDArray[np.uint8]],
) -> None:
    """Nothing is decoded to measure it; the bits are those of the decoded weights all the same, to the last."""
    shape, own, data = trained
    view = View(data[:4_000])
    windows, bits = calibration_windows(view, 4_000, 64), [2, 5, 16, 32]
    measured = two_part_codes(data_part(shape, own, view, 4_000), windows, bits=bits)
    members = [decoded(shape, coded) for coded in coded_models(shape, own, windows, bits)]
    assert [each.data_bits for each in measured] == subset_bits(shape, members, view, 4_000)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_pool_ends_with_its_process(tmp_path: Path) -> None:
    """Also where that is killed: nothing that it started is left."""
    script = tmp_path / "pool.py"
    script.write_text(
        "import os, time\n"
        "import torch\n"
        "from mdl.quantization import map_over_processes\n"
        "if __name__ == '__main__':\n"
        "    torch.cuda.is_available = lambda: True\n"
        "    with map_over_processes() as spread:\n"
        "        print(*spread(eval, ['__import__(\"os\").getpid()'] * 8), flush=True)\n"
        "        time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = {int(pid) for pid in process.stdout.readline().split()}
        assert pids
        process.kill()
    until = time.monotonic() + 30
    while (left := {pid for pid in pids if runs(pid)}) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


@pytest.mark.slow
def test_processes_code_and_decode_the_same(
    trained: tuple[Shape, dict[str, torch.Tensor], npt.NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a GPU the precisions are spread over processes; nothing else changes, and nothing of it is left."""
    shape, own, data = trained
    view = View(data[:4_000])
    windows, part = calibration_windows(view, 4_000, 64), data_part(shape, own, view, 4_000)
    here = two_part_codes(part, windows, bits=[3, 8, 32])
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with ExitStack() as within:
        with monkeypatch.context() as patch:
            patch.setattr("torch.cuda.is_available", lambda: True)
            patch.setattr("os.cpu_count", lambda: 2)
            spread = within.enter_context(map_over_processes())
        assert list(spread(os.getenv, ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])) == ["1", "1"]
        assert two_part_codes(part, windows, bits=[3, 8, 32], spread=spread) == here
    assert os.environ == before


def test_the_prediction_of_the_cost_holds(
    trained: tuple[Shape, dict[str, torch.Tensor], npt.NDArray[np.uint8]],
) -> None:
    """At 4 bits the form foresees the nats a byte that coarser weights cost, within a factor of 4."""
    shape, own, data = trained
    windows = data.reshape(-1, 64)[:500]
    coded = coded_models(shape, own, windows, [4])[0]
    without_gains = weight_codec.to_matrices(shape, {name: weight.numpy() for name, weight in own.items()})
    folded = {
        name: torch.from_numpy(w)
        for name, w in weight_codec.from_matrices(
            shape, {name: matrix.astype(np.float32) for name, matrix in without_gains.items()}
        ).items()
    }
    forms = sensitivity(stack(shape, [folded]), windows)
    back = weight_codec.to_matrices(shape, {name: weight.numpy() for name, weight in decoded(shape, coded).items()})
    foreseen = sum(0.5 * _cost(without_gains[name], back[name].astype(np.float32), forms[name]) for name in forms)
    view = View(windows.reshape(-1))
    bits = subset_bits(shape, [own, decoded(shape, coded)], view, windows.size)
    measured = (bits[1] - bits[0]) * math.log(2) / windows.size
    assert 0.25 < measured / foreseen < 4


@pytest.mark.slow
def test_tuning_wins_back_much_of_what_rounding_cost(
    trained: tuple[Shape, dict[str, torch.Tensor], npt.NDArray[np.uint8]],
) -> None:
    """At 2 and 3 bits, for little more code than it wins; precisions are tuned in one stack, each as if alone."""
    shape, own, data = trained
    view = View(data[:40_000])
    windows = calibration_windows(view, 40_000, 64)
    plain = subset_bits(shape, [own], view, 40_000)[0]
    before = coded_models(shape, own, windows, [2, 3, 4, 8])
    after = coded_models(shape, own, windows, [2, 3, 4, 8], Tuning(view, 40_000, 60))
    loss = [
        np.array(subset_bits(shape, [decoded(shape, each) for each in models], view, 40_000)) / plain - 1
        for models in (before, after)
    ]
    assert np.all(loss[1][:2] < 0.5 * loss[0][:2])
    assert loss[1][2] < max(loss[0][2], 1e-3)  # under a thousandth there is nothing to win back
    assert before[3].content == after[3].content
    n_more = [8 * (len(b.content) - len(a.content)) for a, b in zip(before, after, strict=True)]
    assert np.all(np.array(n_more[:2]) < 0.5 * plain * (loss[0] - loss[1])[:2])
    assert coded_models(shape, own, windows, [3], Tuning(view, 40_000, 60))[0].content == after[1].content
    assert coded_models(shape, own, windows, [3], Tuning(view, 40_000, 0))[0].content == before[1].content
