"""Modules of a user's own stacked: the same numbers as a plain loop's, the same bits in any company, and no peeking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_model
from torch import Tensor, nn

from mdl.archives import block_codec
from mdl.errors import MdlError
from mdl.models import (
    ARCHITECTURES,
    Sample,
    Shape,
    StackedModel,
    add_architecture,
    check_member,
    count_params,
    forward_flops_per_byte,
    make_models,
    register_architecture,
    require_coded,
    require_exact,
    stack,
    training_bytes,
    trial_windows,
    weight_shapes,
    window_bits,
)
from mdl.models.own_module import own_module
from mdl.models.weights_file import save_weights
from mdl.optimizers import MatrixForm
from tests.blocks import encode_block
from tests.own_architectures import CHEATS, HONEST, Gated, Lstm, StateSpace

T = 24
STACKED = {"own_lstm": False, "own_ssm": True, "own_gated": False, "own_dropping": False, "own_order_0": True}
each_honest = pytest.mark.parametrize("name", HONEST)
WINDOWS = torch.randint(0, 256, (3, 4, T), generator=torch.Generator().manual_seed(3))


def shape_of(name: str, width: int = 12) -> Shape:
    return Shape(width, 1, 1, context_tokens=T, architecture=name)


def any_bytes() -> Sample:
    return trial_windows(None, 0, T, 0)


def gradients(model: StackedModel, windows: Tensor) -> dict[str, Tensor]:
    model.nats(windows).flatten(1).mean(1).sum().backward()  # type: ignore[no-untyped-call]
    return {model.name_in_files(name): w.grad for name, w in model.named_parameters() if w.grad is not None}


@each_honest
def test_members_train_as_one_where_torch_can(name: str) -> None:
    """An LSTM has no batching rule, dropout draws, batch statistics change in place: said in one line."""
    model = make_models(shape_of(name), [0, 1])
    assert (model.note is None) == STACKED[name]
    if model.note:
        assert "\n" not in model.note
        assert "members train one after another" in model.note


@each_honest
@pytest.mark.parametrize("width", [4, 6, 8, 12, 16, 20])
def test_a_members_numbers_are_to_the_bit_what_they_are_alone(name: str, width: int) -> None:
    together = make_models(shape_of(name, width), [5, 6, 7])
    together.begin_step(2, [5, 6, 7])
    found = gradients(together, WINDOWS)
    rows = together(WINDOWS)
    for m, seed in enumerate((5, 6, 7)):
        alone = make_models(shape_of(name, width), [seed])
        alone.begin_step(2, [seed])
        own = gradients(alone, WINDOWS[m : m + 1])
        assert all(torch.equal(own[weight][0], gradient[m]) for weight, gradient in found.items())
        assert torch.equal(alone(WINDOWS[m : m + 1])[0], rows[m])
        kept = alone.member(0)
        assert all(torch.equal(kept[weight], tensor) for weight, tensor in together.member(m).items())


@pytest.mark.parametrize("kind", [Lstm, StateSpace])
def test_gradients_are_those_of_a_plain_loop(kind: type[nn.Module]) -> None:
    name = {Lstm: "own_lstm", StateSpace: "own_ssm"}[kind]
    model = make_models(shape_of(name), [0, 1, 2])
    found = gradients(model, WINDOWS)
    for m in range(3):
        plain = kind(12)
        plain.load_state_dict(model.member(m))
        rows = plain(WINDOWS[m])
        if getattr(plain, "predicts", "this") == "next":
            first = torch.full((4, 1, 256), 1 / 256).log()
            rows = torch.cat([first, rows[:, :-1]], 1)
        nn.functional.cross_entropy(rows.reshape(-1, 256), WINDOWS[m].reshape(-1)).backward()  # type: ignore[no-untyped-call]
        for weight, own in plain.named_parameters():
            assert own.grad is not None
            assert float((own.grad - found[weight][m]).abs().max()) < 1e-5, weight


def test_batch_statistics_are_each_members_own_and_are_kept() -> None:
    model = make_models(shape_of("own_gated"), [0, 1])
    model.nats(WINDOWS[:2])
    model.nats(WINDOWS[:2])
    member = model.member(1)
    assert int(member["statistics.num_batches_tracked"]) == 2
    plain = Gated(12)
    plain.load_state_dict(make_models(shape_of("own_gated"), [1]).member(0))
    for _ in range(2):
        plain(WINDOWS[1])
    assert torch.allclose(member["statistics.running_mean"], plain.statistics.running_mean)  # type: ignore[arg-type]
    before = model.member(1)["statistics.running_mean"]
    model(WINDOWS[:2])
    assert torch.equal(model.member(1)["statistics.running_mean"], before), "measuring leaves them"


def test_a_weight_that_training_changes_in_place_is_kept_as_changed_and_measuring_leaves_it() -> None:
    """Rows of an embedding are held to a norm. Found by use: torch refused to write into what is stacked."""
    register_architecture("held", lambda shape: Odd(shape.width, _held))
    model, plain = make_models(shape_of("held"), [0, 1]), Odd(12, _held)
    assert model.note
    assert "training changes embedding.weight in place" in model.note
    plain.load_state_dict(model.member(1))
    model(WINDOWS[:2])
    assert torch.equal(model.member(1)["embedding.weight"], plain.embedding.weight)
    found = gradients(model, WINDOWS[:2])
    plain.train()(WINDOWS[1])[:, :-1].log_softmax(-1).gather(-1, WINDOWS[1][:, 1:, None]).sum().neg().backward()
    assert torch.equal(model.member(1)["embedding.weight"], plain.embedding.weight)
    assert plain.embedding.weight.grad is not None
    assert torch.allclose(found["embedding.weight"][1], plain.embedding.weight.grad / (4 * T), atol=1e-6)


def test_names_of_weights_may_have_a_slash(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({"in/out": nn.Embedding(1, 256), "in": nn.ModuleDict({"out": nn.Linear(1, 1)})})

        def forward(self, windows: Tensor) -> Tensor:
            return self.parts["in/out"](torch.zeros_like(windows))

    register_architecture("slashed", lambda shape: Named(shape.width))
    model = make_models(shape_of("slashed"), [0, 1])
    assert model.note is None
    assert list(model.member(1)) == ["parts.in/out.weight", "parts.in.out.weight", "parts.in.out.bias"]
    assert list(model.member(1)) == list(weight_shapes(model.shape))
    gradients(model, WINDOWS[:2])


def test_measured_bits_are_those_of_the_module_by_hand() -> None:
    """Shifted by one, the first byte 8 bits."""
    model = make_models(shape_of("own_lstm"), [4])
    windows = WINDOWS[0].numpy().astype(np.uint8)
    bits = window_bits(stack(model.shape, [model.member(0)]), windows)[0]
    plain = Lstm(12)
    plain.load_state_dict(model.member(0))
    p = plain.eval()(WINDOWS[0]).log_softmax(-1)[:, :-1].gather(-1, WINDOWS[0][:, 1:, None])[..., 0]
    assert torch.allclose(bits[:, 1:], -p / np.log(2), atol=1e-5)
    assert torch.allclose(bits[:, 0], torch.full((4,), 8.0))


def test_what_a_shape_costs_is_counted_with_each_storage_once() -> None:
    groups = count_params(shape_of("own_ssm"))
    rest = {"decay": 12, "gain": 1, "norm": 24, "head": 13 * 256, "temperature": 1}
    assert groups == {"embedding": 256 * 12, **rest, "total": 256 * 12 + sum(rest.values())}
    assert forward_flops_per_byte(shape_of("own_ssm")) == 2 * 12 * 256
    lstm = shape_of("own_lstm")
    assert forward_flops_per_byte(lstm) == 2 * 12 * 256 + 2 * 4 * 12 * 24
    assert forward_flops_per_byte(shape_of("own_order_0")) == 2 * 256, "nothing was counted"
    one, two = training_bytes(lstm, 1), training_bytes(lstm, 2)
    assert one > 4 * 6 * count_params(lstm)["total"]
    assert two - one > 4 * T * 256
    assert weight_shapes(lstm)["lstm.weight_ih_l0"] == (48, 12)


def test_tied_weights_are_one_and_the_file_is_read_into_the_module_as_it_is(tmp_path: Path) -> None:
    """By `load_model` of safetensors, as the documentation says: to `load_state_dict` the second name is missing."""

    def tied(shape: Shape) -> nn.Module:
        module = Lstm(shape.width)
        module.head = nn.Linear(shape.width, 256, bias=False)
        module.head.weight = module.embedding.weight
        return module

    own = own_module("tied", tied, shape_of("own_lstm"))
    assert sum(own.n_params_by_group.values()) == 256 * 12 + 4 * 12 * (12 + 12 + 2)
    module, learned = own.build(3)
    save_weights(tmp_path / "w.safetensors", own.shape, {name: t.detach() for name, t in learned.items()})
    other = own.build(4)[0]
    load_model(other, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))
    assert other.head.weight is other.embedding.weight


def test_a_buffer_of_two_names_is_one_and_trains_as_any_other(tmp_path: Path) -> None:
    """Found by use: torch.func refused the second name."""

    class Twice(StateSpace):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            self.register_buffer("first_name", torch.full((width,), 2.0))
            self.register_buffer("second_name", self.first_name)

        def forward(self, windows: Tensor) -> Tensor:
            return super().forward(windows) * self.first_name[0] / self.second_name[1]

    register_architecture("twice", lambda shape: Twice(shape.width))
    twice, plain = (make_models(shape_of(name), [0, 1, 2]) for name in ("twice", "own_ssm"))
    assert count_params(twice.shape)["total"] == count_params(plain.shape)["total"] + 12
    assert torch.allclose(twice.nats(WINDOWS), plain.nats(WINDOWS), atol=1e-5)
    check_member(twice.shape, twice.member(1), any_bytes(), trains=True)
    save_weights(tmp_path / "w.safetensors", twice.shape, twice.member(1))
    module = Twice(12)
    load_model(module, tmp_path / "w.safetensors")
    assert module.first_name is module.second_name


def test_muon_takes_the_matrices_of_layers_as_torch_keeps_them() -> None:
    forms = make_models(shape_of("own_lstm"), [0]).matrices()
    assert forms == {
        "own/lstm/weight_ih_l0": MatrixForm(4, transposed=True),
        "own/lstm/weight_hh_l0": MatrixForm(4, transposed=True),
    }


CAUGHT = {
    "cheat_shifted": "row 12 changes with byte 12 of its window, which it is the distribution of",
    "cheat_both_ends": "the distribution of byte",
    "cheat_in_training": "in train mode: the distribution of byte",
    "cheat_with_gradients": "in train mode: the distribution of byte",
    "cheat_learned": "the distribution of byte",
    "cheat_across": "change with byte 12 of another window",
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_module_that_sees_what_it_may_not_is_refused_with_the_position(name: str) -> None:
    model = make_models(shape_of(name), [0])
    with pytest.raises(MdlError, match=rf"architecture '{name}', {name}-12x1.*{CAUGHT[name]}") as refused:
        check_member(model.shape, model.member(0), any_bytes(), trains=True)
    assert "\n" not in str(refused.value)


@each_honest
def test_an_honest_module_passes(name: str) -> None:
    model = make_models(shape_of(name), [0])
    check_member(model.shape, model.member(0), any_bytes(), trains=True)


def test_probabilities_are_said_to_be_such() -> None:
    class Probabilities(Lstm):
        def forward(self, windows: Tensor) -> Tensor:
            return super().forward(windows).softmax(-1)

    class Said(Probabilities):
        returns = "probabilities"

    register_architecture("unsaid", lambda shape: Probabilities(shape.width))
    register_architecture("said", lambda shape: Said(shape.width))
    unsaid, said, plain = (make_models(shape_of(name), [0]) for name in ("unsaid", "said", "own_lstm"))
    with pytest.raises(MdlError, match="returns probabilities; return logits or log-probabilities, or give it"):
        check_member(unsaid.shape, unsaid.member(0), any_bytes())
    check_member(said.shape, said.member(0), any_bytes(), trains=True)
    assert torch.allclose(said.nats(WINDOWS[:1]), plain.nats(WINDOWS[:1]), atol=1e-5)


def _fails(shape: Shape) -> nn.Module:
    raise ValueError("no\nsuch size")


class Wrong(nn.Linear):
    def forward(self, windows: Tensor) -> Tensor:
        return self.weight.expand(*windows.shape, 3)


class Odd(Lstm):
    """Something in it is not as usual."""

    def __init__(self, width: int, odd: Callable[[Odd], Any]) -> None:
        super().__init__(width)
        odd(self)


class Extra(Lstm):
    def get_extra_state(self) -> dict[str, str]:
        return {"text": "the corpus"}


class Writing(Lstm):
    def forward(self, windows: Tensor) -> Tensor:
        rows = super().forward(windows)
        windows.zero_()
        return rows


def _held(module: Odd) -> None:
    module.embedding = nn.Embedding(256, 12, max_norm=1.0)


def _complex(module: Odd) -> None:
    module.poles = nn.Parameter(torch.zeros(4, dtype=torch.complex64))


def _a_view(module: Odd) -> None:
    module.head.weight = nn.Parameter(module.embedding.weight.data[:, :])


def _expanded(module: Odd) -> None:
    module.embedding.weight = nn.Parameter(torch.zeros(1, 1).expand(256, 12))


def _sparse(module: Odd) -> None:
    module.embedding = nn.Embedding(256, 12, sparse=True)


BROKEN = {
    "raises": (_fails, r"architecture 'raises' cannot be made of raises-12x1 \(ValueError: no such size\)"),
    "nothing": (lambda shape: None, "makes a NoneType; want a torch.nn.Module"),
    "empty": (lambda shape: nn.Identity(), "has no parameters to train"),
    "lazy": (lambda shape: nn.LazyLinear(256), "LazyLinear has lazy layers, whose shapes are not known yet"),
    "wrong": (lambda shape: Wrong(1, 1), r"returns shape \(2, 24, 3\) of torch.float32 for windows \(2, 24\); want"),
    "complex": (lambda shape: Odd(12, _complex), r"keeps complex numbers \('poles'\); keep two real ones for each"),
    "a_view": (lambda shape: Odd(12, _a_view), "'embedding.weight' and 'head.weight' in one storage of 3,072 numbers"),
    "expanded": (lambda shape: Odd(12, _expanded), "keeps 'embedding.weight' in one storage of 1 number; tie weights"),
    "extra": (lambda shape: Extra(12), r"Extra keeps an extra state beside parameters and buffers \(get_extra_state\)"),
    "sparse": (lambda shape: Odd(12, _sparse), "gives sparse gradients of 'embedding.weight'; leave sparse=True out"),
    "writing": (lambda shape: Writing(12), r"has no gradients for writing-12x1 \(RuntimeError: one of the variables"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_trained_is_one_line(name: str) -> None:
    make, says = BROKEN[name]
    if name not in ARCHITECTURES:
        register_architecture(name, make)  # type: ignore[arg-type]
    with pytest.raises(MdlError, match=says) as refused:
        make_models(shape_of(name), [0])
    assert "\n" not in str(refused.value)


@each_honest
@pytest.mark.parametrize("n_bytes", [1, T, 3 * T + 5])
def test_a_block_is_decoded_by_repeated_prefixes(name: str, n_bytes: int) -> None:
    model = stack(shape_of(name), [make_models(shape_of(name), [3]).member(0)]).double()
    data = np.random.default_rng(n_bytes).integers(0, 256, n_bytes).astype(np.uint8)
    block_codec.probe(model, data)
    decoder = block_codec.BlockDecoder(model)
    for _ in range(2):
        assert decoder.decode([encode_block(model, data)]) == [data.tobytes()]


def test_what_it_lacks_is_said_where_it_is_asked_for() -> None:
    add_architecture("no_passes", replace(ARCHITECTURES["own_lstm"], exact=None))
    with pytest.raises(MdlError, match="archives need float64 passes, which the architecture 'no_passes' does not"):
        require_exact(shape_of("no_passes"), "archives")
    with pytest.raises(MdlError, match="need coded weights, which the architecture 'own_lstm' does not have"):
        require_coded(shape_of("own_lstm"), "packed files")
    with pytest.raises(MdlError, match=r"unknown architecture 'no_such'.*--plugin"):
        count_params(shape_of("no_such"))
    with pytest.raises(MdlError, match="small letters"):
        register_architecture("My RNN", _fails)
    with pytest.raises(MdlError, match="there is an architecture 'transformer' already"):
        register_architecture("transformer", _fails)
