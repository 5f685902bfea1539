"""The fused kernels: on a GPU as they are, elsewhere run by Triton's interpreter."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from mdl.models import Parts, Shape, StackedTransformer, parse_size

pytest.importorskip("triton", reason="Triton is there on Linux alone")
import triton
import triton.language as tl

from mdl.models import fused_parts
from mdl.models.kernels.assembly import OutOfResources, pieces, work
from mdl.models.kernels.attention_output_mlp import second_half
from mdl.models.kernels.common import MOST_ROWS, gelu, normal, row_blocks
from mdl.models.kernels.output_head import measured_nats
from mdl.models.layer import after_attention
from mdl.models.tied_model import byte_nats
from mdl.models.transformer import compiled_for_any_windows
from tests import ROOT

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
DTYPE = torch.bfloat16 if ON_GPU else torch.float32  # the interpreter multiplies no bfloat16
TOLERANCE = 3e-2 if ON_GPU else 1e-5
Outcome = tuple[Tensor, dict[str, Tensor]]


def stacked(size: str, context: int, n_members: int, vocabulary: int = 256, block: int = 1) -> StackedTransformer:
    model = StackedTransformer(
        Shape(*parse_size(size), context_tokens=context, vocabulary=vocabulary, block=block), range(n_members)
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "gain" in name or name == "smear":
                weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    return model.to(DEVICE)


def outcome(model: StackedTransformer, symbols: Tensor, share: Tensor, parts: Parts) -> Outcome:
    """Every symbol's nats, and the gradients of their weighted sum."""
    model.zero_grad()
    nats = model.nats(symbols, parts)
    (nats * share).sum().backward()
    return nats.detach(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


def difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def assert_right(
    size: str,
    context: int,
    *,
    n_windows: int = 3,
    vocabulary: int = 256,
    block: int = 1,
    trained: bool = True,
    autocast: bool = False,
    tolerance: float = TOLERANCE,
) -> None:
    """Nats and, in training, gradients of two members by kernels, and what is compiled, are the plain model's."""
    model, generator = stacked(size, context, 2, vocabulary, block), torch.Generator().manual_seed(0)
    dtype = torch.uint8 if vocabulary == 256 else torch.int32
    symbols = torch.randint(0, vocabulary, (2, n_windows, context), generator=generator).to(dtype).to(DEVICE)
    share = torch.rand(2, n_windows, context, generator=generator).to(DEVICE)
    plain = outcome(model, symbols, share, Parts())
    parts = pieces(model.shape, DTYPE, trained=trained).parts()
    if not trained:
        with torch.no_grad():
            assert difference(model.nats(symbols, parts), plain[0]) < TOLERANCE / 10
        return
    with torch.autocast(DEVICE, DTYPE, enabled=autocast and ON_GPU):
        fused = outcome(model, symbols, share, parts)
    assert difference(fused[0], plain[0]) < TOLERANCE / 10
    assert {name: difference(own, plain[1][name]) for name, own in fused[1].items()} == pytest.approx(
        dict.fromkeys(plain[1], 0), abs=tolerance
    )


@triton.jit
def _gelu_and_normal(x, out, N: tl.constexpr):
    places = tl.arange(0, N)
    value = tl.load(x + places)
    share, density = normal(value)
    tl.store(out + places, gelu(value))
    tl.store(out + N + places, share)
    tl.store(out + 2 * N + places, density)


@pytest.mark.parametrize("most", [0.5, 6.0, 200.0, 1e6])
def test_gelu_is_right_to_a_millionth_however_large_its_input(most: float) -> None:
    """GELU within 6e-7, beside float32's own rounding; the distribution function within 2e-6, its density, too."""
    x = torch.linspace(-most, most, 1024, device=DEVICE)
    out = torch.empty(3, 1024, device=DEVICE)
    _gelu_and_normal[(1,)](x, out, 1024)
    exact = torch.special.ndtr(x.double())
    off = (out[0] - x * exact).abs()
    assert float((off - 1.2e-7 * x.abs()).max()) < 6e-7
    assert float((out[1] - exact).abs().max()) < 2e-6
    density = torch.exp(-(x.double() ** 2) / 2) / math.sqrt(2 * math.pi)
    assert float((out[2] - density).abs().max()) < 2e-6


@pytest.mark.parametrize(
    ("size", "context", "vocabulary"),
    [
        ("4x1", 20, 256),  # less than a tile of anything
        pytest.param("16x2", 64, 256, marks=pytest.mark.slow),
        pytest.param("24x1", 33, 256, marks=pytest.mark.slow),  # neither width, head nor context is a power of two
        pytest.param("48x1h2", 70, 300, marks=pytest.mark.slow),  # heads of 24, and tokens
        pytest.param("64x1", 100, 256, marks=pytest.mark.long),  # two heads, more than one block of times
        pytest.param("96x1", 65, 256, marks=pytest.mark.slow),
    ],
)
def test_nats_and_gradients_are_the_plain_models(size: str, context: int, vocabulary: int) -> None:
    assert_right(size, context, vocabulary=vocabulary)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize(
    ("size", "context"),
    [
        ("8x1", 20),
        pytest.param("16x3", 33, marks=pytest.mark.long),
        pytest.param("64x2", 40, marks=pytest.mark.long),
    ],
)
def test_the_second_block_too(size: str, context: int, trained: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first half by torch's compiler where there is a GPU, else as it is, all else by the kernels."""
    if not ON_GPU:
        monkeypatch.setattr(torch, "compile", lambda part, **_: part)
    # Five times as far off: a value mix is one number, a sum of terms that nearly cancel.
    assert_right(size, context, block=2, trained=trained, tolerance=5 * TOLERANCE)


@pytest.mark.parametrize(
    ("width", "vocabulary", "n_last"),
    [
        (4, 256, 20),  # less than a tile of anything
        (48, 300, 5),  # no power of two, tokens, and the last of each window: not contiguous
        pytest.param(256, 256, 70, marks=pytest.mark.slow),  # several turns of bytes and of columns
        pytest.param(40, 2000, 33, marks=pytest.mark.slow),
    ],
)
def test_the_head_of_measuring_is_as_exact_as_float32(width: int, vocabulary: int, n_last: int) -> None:
    """On a GPU, too: products of rounded float32 would be a thousand times further from float64."""
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(2, 3, 70, width, generator=generator)).to(DEVICE)[:, :, -n_last:]
    embedding = torch.randn(2, vocabulary, width, generator=generator).to(DEVICE)
    dtype = torch.uint8 if vocabulary == 256 else torch.int32
    symbols = torch.randint(0, vocabulary, (2, 3, 70), generator=generator).to(dtype).to(DEVICE)[:, :, -n_last:]
    exact = byte_nats(x.double(), embedding.double(), symbols)
    assert difference(measured_nats(x, embedding, symbols).double(), exact) < 1e-6


@pytest.mark.parametrize("width", [200, 256])  # the latter in tiles
def test_a_wide_second_half_is_measured_as_the_plain_one(width: int) -> None:
    """There is a kernel for its forward pass alone."""
    generator = torch.Generator().manual_seed(0)

    def given(*sizes: int) -> Tensor:
        return torch.randn(2, *sizes, generator=generator).to(DEVICE)

    x, mixed, out = given(1, 70, width), given(1, 70, width), given(width, width) / width**0.5
    gain, up, down = given(width), given(width, 4 * width) / width**0.5, given(4 * width, width) / width**0.5
    with torch.no_grad():
        plain = after_attention(x.double(), mixed.double(), *(w.double() for w in (out, gain, up, down)))
        assert difference(second_half(x, mixed.to(DTYPE), out, gain, up, down).double(), plain) < TOLERANCE / 10


@pytest.mark.parametrize("trained", [pytest.param(True, marks=pytest.mark.slow), False])
@pytest.mark.parametrize(("size", "block"), [("200x1h5", 1), ("256x1", 1), ("512x1", 2)])  # no power of two; one
def test_the_kernels_of_wide_models_are_right(
    size: str, block: int, trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their first half on the way there and, in training, on the way back, and GELU, beside what torch compiles."""
    if not ON_GPU:
        monkeypatch.setattr(torch, "compile", lambda part, **_: part)
    assert_right(size, 70, n_windows=1, block=block, trained=trained, autocast=True)


def test_measuring_has_the_head_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fused head where there is one, else the plain one, never one of 16 bits or one that is compiled."""
    monkeypatch.setattr(torch, "compile", lambda part, **_: part)
    narrow, wide = Shape(16, 1, 1, context_tokens=20), Shape(512, 1, 16, context_tokens=20)
    assert pieces(narrow, torch.float16, trained=False).byte_nats is measured_nats
    assert pieces(wide, torch.float16, trained=False).byte_nats is byte_nats


@pytest.mark.slow
def test_a_member_does_not_depend_on_its_companions() -> None:
    """To the bit: nothing is added up across members, and sums have a fixed order."""
    parts = pieces(Shape(16, 1, 1, context_tokens=40), DTYPE, trained=True).parts()
    symbols = torch.randint(0, 256, (2, 2, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8).to(DEVICE)
    share = torch.ones(2, 2, 40, device=DEVICE)
    together, alone = stacked("16x1", 40, 2), stacked("16x1", 40, 2)
    for weight in alone.parameters():
        weight.data = weight.data[:1].clone()
    nats, gradients = outcome(together, symbols, share, parts)
    own_nats, own_gradients = outcome(alone, symbols[:1], share[:1], parts)
    assert torch.equal(nats[:1], own_nats)
    assert all(torch.equal(gradients[name][:1], own) for name, own in own_gradients.items())


def test_what_is_after_a_byte_does_not_change_its_nats() -> None:
    model, parts = stacked("16x1", 40, 1), pieces(Shape(16, 1, 1, context_tokens=40), DTYPE, trained=True).parts()
    symbols = torch.randint(0, 256, (1, 1, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8).to(DEVICE)
    other = symbols.clone()
    other[:, :, 25:] = 7
    with torch.no_grad():
        one, two = model.nats(symbols, parts), model.nats(other, parts)
    assert torch.equal(one[:, :, :25], two[:, :, :25])
    assert not torch.equal(one[:, :, 25:], two[:, :, 25:])


def test_shapes_without_kernels_have_no_fused_parts() -> None:
    """A head of more dimensions than a tile holds goes the plain way."""
    assert fused_parts(Shape(256, 1, 1, context_tokens=64), torch.bfloat16, trained=True) is None


def test_a_batch_past_32_bits_is_refused_in_one_line() -> None:
    with pytest.raises(Exception, match=f"at most {MOST_ROWS}") as caught:
        row_blocks(MOST_ROWS + 1, 64, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("trained", [True, False])
def test_kernels_are_tried_once_and_refused_where_the_chip_is_too_small(
    trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled by torch is not tried: it would be compiled again for the batches to come."""
    if not ON_GPU:  # the interpreter is not for several threads
        monkeypatch.setattr("mdl.models.kernels.assembly.ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))
    monkeypatch.setattr(torch, "compile", None)
    work.cache_clear()
    assert work(Shape(8, 1, 1, context_tokens=20), DTYPE, DEVICE, trained=trained)
    assert work(Shape(512, 1, 16, context_tokens=20), DTYPE, DEVICE, trained=trained)

    def too_large(*_: object) -> None:
        raise OutOfResources(300_000, 232_448, "shared memory")

    monkeypatch.setattr("mdl.models.kernels.assembly.attention", too_large)
    assert work(Shape(8, 1, 1, context_tokens=20), DTYPE, DEVICE, trained=trained)
    assert not work(Shape(8, 1, 1, context_tokens=24), DTYPE, DEVICE, trained=trained)
    work.cache_clear()


@pytest.mark.parametrize("trained", [True, False])
def test_wide_models_keep_the_plain_parts(trained: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A width with no kernels of its own is compiled, attention but excepted."""
    compiled: list[str] = []

    def compile_(function: Callable[..., Any], **_: object) -> Callable[..., Any]:
        compiled.append(function.__name__)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    wide = pieces(Shape(512, 1, 16, context_tokens=64), DTYPE, trained=trained)
    second = {"hidden_units", "plus_network"} if trained else {"after_attention"}
    assert {"_wide_first", *second} <= set(compiled)
    assert ({"embedded", "byte_nats"} <= set(compiled)) == trained, "measuring has these but once a call"
    compiled.clear()
    pieces(Shape(512, 1, 16, context_tokens=64, block=2), DTYPE, trained=trained)
    assert {"smeared", "first_2", *second} <= set(compiled)
    assert wide.attention.__module__ == "mdl.models.kernels.attention"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch's own, on its way to compile
def test_few_graphs_serve_any_number_of_windows_and_members() -> None:
    """What is left of a part, and members that end before others, do not wait for a compiler again, nor go without."""
    torch._dynamo.utils.counters.clear()
    function, generator = compiled_for_any_windows(after_attention), torch.Generator().manual_seed(0)

    def given(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=generator)

    def weight(*sizes: int) -> Tensor:
        return torch.nn.Parameter(given(*sizes))

    n_graphs = []
    for n_members, n_windows in ((7, 4), (7, 9), (5, 9), (3, 2), (1, 4), (1, 7), (3, 1), (6, 1), (1, 1), (2, 9)):
        x, mixed = given(n_members, n_windows, 8, 16), given(n_members, n_windows, 8, 16)
        out, gain = weight(n_members, 16, 16), weight(n_members, 16)
        mlp = {"gain": gain, "up": weight(n_members, 16, 64), "down": weight(n_members, 64, 16)}
        with torch.inference_mode():
            plain = after_attention(x, mixed, out, **mlp)
            torch.testing.assert_close(function(x, mixed, out, **mlp), plain, rtol=1e-5, atol=1e-4)
        n_graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert n_graphs == [1, 1, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.slow
def test_kernels_compile_for_an_h100_and_fit_its_shared_memory_and_grid() -> None:
    """The interpreter takes programs that the compiler does not, such as a variable whose form changes in a loop."""
    sizes = ["8x1", "24x1", "48x1", "128x1", "256x1", "4x2b2", "24x2b2", "128x2b2", "256x2b2"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.compile_kernels", *sizes],
        capture_output=True,
        text=True,
        env=os.environ | {"TRITON_INTERPRET": "0"},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {size for size, *_ in rows} == set(sizes)
    kernels = {name for _, when, name, *_ in rows if when == "trained"}
    assert {"_attention_backward", "_second_half_backward", "_head_backward", "_embedding_backward"} < kernels
    assert {"_smear_backward", "_heads_backward", "_heads_forward"} < kernels
    assert max(int(shared) for *_, shared, _ in rows) <= 227 * 1024
    assert max(int(programs) for *_, programs in rows) <= 65_535, "many short windows are more programs than CUDA takes"
