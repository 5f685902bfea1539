"""Tokens are coded while they come, by the output layer in pieces, and what an interrupted call had coded is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdl.data import ByteView
from mdl.errors import MdlError
from mdl.pretrained import Pretrained, Windows, code_in_stretches, find_checkpoint, load_pretrained, token_code
from mdl.pretrained import model as loading
from mdl.pretrained.kept_bits import kept_bits
from mdl.pretrained.token_code import token_bits, window_batches
from mdl.storage import ahead
from tests import tiny_models

IDS = np.random.default_rng(1).integers(0, 300, 500).astype(np.int32)
DATA = b"It is a far, far better thing that I do, than I have ever done. " * 300


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    folder = tmp_path_factory.mktemp("neox") / "m"
    tiny_models.save(folder, tiny_models.neox(300), tiny_models.byte_level())
    return load_pretrained(find_checkpoint(f"hf:{folder}"))


def view(data: bytes) -> ByteView:
    return ByteView.whole(np.frombuffer(data, np.uint8))


@given(n=st.integers(0, 200), T=st.integers(2, 40), S=st.integers(1, 40), batch=st.integers(1, 5))
def test_windows_hold_every_token_once_as_a_new_one(n: int, T: int, S: int, batch: int) -> None:
    """In order, each of them with T − S before it but in the first window."""
    windows = Windows(T, min(S, T))
    new = [i for spans in window_batches(n, windows, batch) for _, first, end in spans for i in range(first, end)]
    assert new == list(range(n))
    assert all(len(spans) <= batch for spans in window_batches(n, windows, batch))


@pytest.mark.parametrize(("context", "stride"), [(32, 32), (32, 10), (600, 600)])
def test_tokens_that_come_in_pieces_have_the_bits_of_the_whole(model: Pretrained, context: int, stride: int) -> None:
    for batch in (1, 3):
        windows = Windows(context, stride, batch)
        pieces = iter(np.split(IDS, [0, 1, 31, 64, 200, 499]))
        np.testing.assert_array_equal(token_bits(model, pieces, windows), token_bits(model, IDS, windows))


def test_the_output_layer_by_itself_gives_the_models_own_logits(
    model: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces of any number of rows; a model that makes more of them is asked whole."""
    assert model.head is not None
    whole = token_bits(dataclasses.replace(model, head=None), IDS, Windows(64, 64))
    for n_rows in (1, 7, 10**6):
        monkeypatch.setitem(token_code._HEAD_LOGITS_BYTES, "cpu", n_rows * 4 * model.n_vocabulary)
        np.testing.assert_allclose(token_bits(model, IDS, Windows(64, 64)), whole, rtol=1e-5)


def test_a_model_that_caps_its_logits_has_no_head_by_itself(tmp_path: Path, model: Pretrained) -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    size: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    capped = Gemma2ForCausalLM(Gemma2Config(vocab_size=300, final_logit_softcapping=1.0, **size, **heads))
    tiny_models.save(tmp_path / "m", capped, tiny_models.byte_level())
    assert load_pretrained(find_checkpoint(f"hf:{tmp_path / 'm'}")).head is None


def test_what_was_coded_before_is_not_coded_again(model: Pretrained, tmp_path: Path, monkeypatch: Any) -> None:
    """Ended within the third batch, and gone on from with another number of windows a call: the bits of one call."""
    windows, n_calls = Windows(32, 24, 2), 0
    whole = token_bits(model, IDS, windows)
    window_nats = token_code._window_bits

    def counted(*arguments: Any) -> torch.Tensor:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 4:
            raise KeyboardInterrupt
        return window_nats(*arguments)

    monkeypatch.setattr(token_code, "_window_bits", counted)
    with pytest.raises(KeyboardInterrupt), kept_bits(tmp_path / "k") as kept:
        token_bits(model, IDS, windows, kept=kept)
    with (tmp_path / "k/bits").open("ab") as file:
        file.write(b"cut")  # a number that was being written
    told: list[int] = []
    with kept_bits(tmp_path / "k") as kept:
        assert kept is not None
        assert len(kept.bits) // 8 == 32 + 24 * 3
        again = token_bits(model, IDS, Windows(32, 24, 5), told.append, kept)
    np.testing.assert_allclose(again, whole, rtol=1e-5)
    assert n_calls == 4 + -(-16 // 5) + 1, "of 20 whole windows four were kept; the last one is shorter"
    assert sum(told) == len(IDS)


def test_a_code_in_stretches_goes_on_from_its_folder_which_is_one_process_alone(
    model: Pretrained, tmp_path: Path
) -> None:
    whole = code_in_stretches(model, view(DATA), len(DATA), Windows(64, 64), keep=tmp_path / "k")
    assert len((tmp_path / "k/bits").read_bytes()) == 8 * sum(s.n_tokens for s in whole)
    told: list[int] = []
    again = code_in_stretches(
        model, view(DATA), len(DATA), Windows(64, 64), lambda _, done, __: told.append(done), tmp_path / "k"
    )
    assert again == whole
    assert told == sorted(told)
    assert told[-1] == len(DATA)


def test_an_error_while_tokens_are_made_is_raised_and_ends_the_thread(model: Pretrained) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise MdlError("no more")

    with pytest.raises(MdlError, match="no more"), ahead(items(), 3) as made:
        list(made)
    with ahead(iter(range(100)), 3) as made:
        assert list(made) == list(range(100))
    with ahead(iter(range(10**9)), 3) as made:
        assert next(made) == 0


def test_a_model_that_one_card_does_not_hold_is_put_on_all(model: Pretrained, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its bytes in the dtype asked for; without a second card, or where it fits, it stays on one."""
    n_bytes = model.checkpoint.file_bytes
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(loading, "import_optional", lambda *_, **__: None)
    for dtype, free, expected in [
        ("float32", 2 * n_bytes, {}),
        ("float32", n_bytes, {"device_map": "auto"}),
        ("bfloat16", n_bytes, {}),
        ("float64", 2 * n_bytes, {"device_map": "auto"}),
    ]:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, free))
        assert loading._over_devices(model.checkpoint, dtype, "cuda") == expected
    assert loading._over_devices(model.checkpoint, "float32", "cpu") == {}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert loading._over_devices(model.checkpoint, "float64", "cuda") == {}
