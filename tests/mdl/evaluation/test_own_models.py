"""Any function or module is measured as a pretrained model is, and none that sees what it may not."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mdl
from analysis.costs import parse_cost
from analysis.records import load
from analysis.study import study
from mdl.errors import MdlError
from mdl.models import trial_windows
from mdl.models.distribution_rows import first_nats
from mdl.models.predictor import Predictor
from mdl.pretrained import OwnModel, Windows, as_predictor, byte_windows, check_model, code_bytes
from mdl.records import read_cell
from tests.conftest import markov_text
from tests.own_models import Lstm, StateSpace, misaligned, peeks, softmax

TEXT = markov_text(5000)
Array = np.ndarray[Any, Any]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_bytes(TEXT)
    return "file:my.txt"


def uniform(windows: Array) -> Array:
    return np.full((*windows.shape, 256), 1 / 256)


def of(predict: Any, **told: Any) -> OwnModel:
    return OwnModel(spec="own", predictor=Predictor(predict, n_params=1, **told))


def tried(predict: Any, context: int = 64, batch: int = 4, **told: Any) -> None:
    check_model(of(predict, **told), Windows(context, context, batch), _View(TEXT), len(TEXT))


def by_hand(module: Lstm, data: bytes, T: int, S: int) -> float:
    """Bits of all bytes, window by window, with nothing of ours."""
    bits, done, module = 0.0, 0, module.eval()
    for start in range(0, len(data), S):
        window = torch.tensor(list(data[start : start + T]))
        with torch.no_grad():
            log_p = torch.log_softmax(module(window[None])[0].double(), -1)
        for t in range(done - start, len(window)):
            bits += 8.0 if t == 0 else -float(log_p[t - 1, window[t]]) / math.log(2)
        done = start + len(window)
        if done == len(data):
            break
    return bits


@pytest.mark.parametrize(("T", "S"), [(64, 64), (100, 30), (7, 1)])
def test_an_lstms_bits_are_those_of_a_plain_loop(corpus: str, T: int, S: int) -> None:
    module = Lstm()
    n_bytes = 500 if S == 1 else 3000
    module.train()
    found = mdl.measure(module, corpus, sizes=[n_bytes], context=T, stride=S, baselines=False)
    assert module.training, "the module is left as it was found"
    assert found.code_bits[n_bytes] == pytest.approx(by_hand(module, TEXT[:n_bytes], T, S), rel=1e-6)
    (record,) = found
    assert record.model.n_params == sum(p.numel() for p in module.parameters())
    assert (record.config["predicts"], record.config["first_byte"]) == ("next", "uniform")


def test_a_state_space_models_bits_are_those_of_a_plain_loop_over_segments(corpus: str) -> None:
    model, T = StateSpace(), 128
    found = mdl.measure(model, corpus, n_params=model.n_params, sizes=["1KB", "4KB"], context=T, batch=3)
    rows = model(np.frombuffer(TEXT[: 32 * T], np.uint8).reshape(-1, T).astype(int)).reshape(-1, 256)
    bits = -np.log2(rows[np.arange(32 * T), np.frombuffer(TEXT[: 32 * T], np.uint8)])
    assert found.code_bits[1000] == pytest.approx(float(bits[:1000].sum()), rel=1e-9)
    assert found.code_bits[4000] == pytest.approx(float(bits[:4000].sum()), rel=1e-9)
    segments = {(s.start_bytes, s.end_bytes): s.code_bits for s in found[1].snapshots[0].segments}
    assert segments[1000, 3000] == pytest.approx(float(bits[1000:3000].sum()), rel=1e-9)


@pytest.mark.slow
def test_its_records_are_what_a_report_takes(corpus: str) -> None:
    for width in (2, 4, 8):
        model = StateSpace(width)
        found = mdl.measure(
            model, corpus, n_params=model.n_params, name=f"ssm-{width}", sizes=["1KB", "3KB"], context=64
        )
    assert found.folder == Path("runs/measure")
    table = load(found.folder)
    assert len(table.cells) == 6
    assert table.cells["group"].nunique() == 1
    assert set(table.baselines["subset_bytes"]) == {1000, 3000}
    assert study(table, parse_cost("float16")).critical["subset_bytes"].tolist() == [1000, 3000]
    assert found[1] == read_cell(found.folder / found[1].run_id / "record.json")


@pytest.mark.slow
def test_the_same_result_is_one_record_and_another_model_of_the_name_is_another(corpus: str) -> None:
    def measured(seed: int) -> str:
        model = StateSpace(4, seed)
        return mdl.measure(model, corpus, n_params=5, name="ssm", sizes=["1KB"], context=64, baselines=False)[0].run_id

    assert measured(0) == measured(0) != measured(1)
    assert len(list(Path("runs/measure").glob("ssm-*"))) == 2


def test_sizes_in_one_text_are_told_apart_by_comma(corpus: str) -> None:
    found = mdl.measure(uniform, corpus, n_params=1, sizes="3KB,1KB", context=64, baselines=False)
    assert found.code_bits == {1000: 8000.0, 3000: 24000.0}
    with pytest.raises(MdlError, match="sizes must be at least 1 byte"):
        mdl.measure(uniform, corpus, n_params=1, sizes=0, context=64)


def test_a_corpus_that_changes_meanwhile_leaves_no_record(corpus: str) -> None:
    def rewrites(windows: Array) -> Array:
        Path("my.txt").write_bytes(TEXT[::-1])
        return uniform(windows)

    with pytest.raises(MdlError, match="is not what it was when it was opened"):
        mdl.measure(rewrites, corpus, n_params=1, context=64)
    assert not list(Path().glob("runs/**/record.json"))


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(2, 40), st.data())
def test_any_bytes_in_any_windows_are_each_coded_once(data: bytes, T: int, draw: st.DataObject) -> None:
    """An order-1 model: bits depend on where windows begin and on nothing else."""
    S = draw.draw(st.integers(1, T))
    table = softmax(np.random.default_rng(0).normal(0, 2, (256, 256)))
    bytes_seen = []

    def order_1(windows: Array) -> Array:
        bytes_seen.append(windows.shape)
        rows = np.full((*windows.shape, 256), 1 / 256)
        rows[:, 1:] = table[windows[:, :-1]]
        return rows

    view = _View(data)
    stretches = code_bytes(of(order_1), view, len(data), Windows(T, S, 3))
    first = {0} if S < T else set(range(0, len(data), T))
    wanted = sum(8.0 if i in first else -math.log2(table[data[i - 1], data[i]]) for i in range(len(data)))
    assert sum(s.token_bits for s in stretches) == pytest.approx(wanted, rel=1e-9)
    assert [s.end for s in stretches][-1] == sum(s.n_tokens for s in stretches) == len(data)
    assert {shape[1] for shape in bytes_seen} == {T}, "a model meets one length of windows"


class _View:
    def __init__(self, data: bytes) -> None:
        self.data = np.frombuffer(data, np.uint8)

    def __len__(self) -> int:
        return self.data.size

    def read(self, start: int, end: int) -> Array:
        return self.data[start:end]


# Peeking


def test_a_wrong_alignment_is_told_with_its_position_and_its_mend() -> None:
    with pytest.raises(MdlError, match=r"row 32 changes with byte 32 .*predicts='next'"):
        tried(misaligned)
    with pytest.raises(MdlError, match=r"row 32 .*does not change with byte 32.*leave predicts='next' out"):
        tried(StateSpace(), predicts="next")
    tried(StateSpace())
    tried(lambda w: np.roll(misaligned(w), 0), predicts="next")


def shifted_round(windows: Array) -> Array:
    """Rolled the wrong way round: row 0 is what follows the last byte."""
    return np.roll(misaligned(windows), 1, 1)


def all_ahead(windows: Array) -> Array:
    """Statistics of the whole window."""
    counts = np.stack([np.bincount(w, minlength=256) + 1.0 for w in windows])
    rows = counts / counts.sum(-1, keepdims=True)
    return np.repeat(rows[:, None], windows.shape[1], 1)


def beside(windows: Array) -> Array:
    """Statistics of the batch."""
    counts = np.bincount(windows[:, 0], minlength=256) + 1.0
    rows = np.full((*windows.shape, 256), 1 / 256)
    rows[:, 1:] = counts / counts.sum()
    return rows


def far_ahead(windows: Array) -> Array:
    """Row 3 alone knows the last byte."""
    rows = StateSpace()(windows)
    rows[:, 3] = peeks(windows)[:, -1]
    return rows


@pytest.mark.parametrize(
    ("cheat", "words"),
    [
        (peeks, "row 32 changes with byte 32"),
        (shifted_round, "the distribution of byte 0 changes with byte"),
        (all_ahead, "the distribution of byte 0 changes with byte 32"),
        (far_ahead, "the distribution of byte 3 changes with"),
        (beside, "change with byte 0 of another window"),
    ],
)
def test_who_peeks_is_refused_with_the_position(cheat: Any, words: str, corpus: str) -> None:
    with pytest.raises(MdlError, match=words) as refused:
        mdl.measure(cheat, corpus, n_params=1, context=64, batch=4)
    assert "\n" not in str(refused.value)
    assert not list(Path().glob("runs/**/record.json")), "and nothing is written"


def test_who_leaves_is_refused_and_a_request_to_stop_is_not(corpus: str) -> None:
    class Asked(SystemExit):
        pass

    def leaves(_: Any, with_what: type[SystemExit] = SystemExit) -> Any:
        raise with_what(3)

    with pytest.raises(MdlError, match=re.escape("leaves calls sys.exit(3); raise an error, or return")):
        mdl.measure(leaves, corpus, n_params=1, context=64)
    with pytest.raises(Asked):
        mdl.measure(lambda windows: leaves(windows, Asked), corpus, n_params=1, context=64)


@pytest.mark.parametrize("place", range(64))
def test_who_peeks_at_one_place_of_a_short_window_is_refused(place: int) -> None:
    """Wherever that is: of a window of 64 every place is tried."""

    def at_one(windows: Array) -> Array:
        rows = uniform(windows)
        rows[:, place] = peeks(windows)[:, place]
        return rows

    with pytest.raises(MdlError, match=rf"(row|byte) {place}\b"):
        tried(at_one)


@pytest.mark.parametrize("context", [200, 2048])
@pytest.mark.parametrize("place", range(16))
def test_who_peeks_once_in_sixteen_places_is_refused(place: int, context: int) -> None:
    """As a model of patches does whose patches are cut a byte too late."""

    def in_each_patch(windows: Array) -> Array:
        rows = uniform(windows)
        rows[:, place::16] = peeks(windows)[:, place::16]
        return rows

    with pytest.raises(MdlError, match="changes with"):
        tried(in_each_patch, context, batch=2)


@pytest.mark.slow
@pytest.mark.parametrize("place", [3, 700, 1023])
@pytest.mark.parametrize("ahead", [0, 1, 9])
def test_who_peeks_at_one_place_of_a_window_of_1024_is_refused(place: int, ahead: int) -> None:
    """All its places are tried: row t there gives away byte t, or a later one."""

    def at_one(windows: Array) -> Array:
        rows = uniform(windows)
        rows[:, place] = peeks(windows[:, min(place + ahead, 1023), None])[:, 0]
        return rows

    with pytest.raises(MdlError, match=rf"(row|byte) {place:,}\b"):
        tried(at_one, 1024, batch=32)


@pytest.mark.slow
def test_who_peeks_by_what_stands_before_is_refused() -> None:
    """Behind one value of a byte alone, at any place of a window of which not all places are tried."""
    value = int(np.bincount(np.frombuffer(TEXT, np.uint8)).argmax())

    def behind(windows: Array) -> Array:
        rows, at = uniform(windows), np.pad(windows[:, :-1] == value, ((0, 0), (1, 0)))
        rows[at] = peeks(windows)[at]
        return rows

    with pytest.raises(MdlError, match="changes with"):
        tried(behind, 4096, batch=4)


@pytest.mark.parametrize("b", [1, 9, 15])
def test_who_looks_at_a_neighbor_of_its_batch_now_and_then_is_refused(b: int) -> None:
    def beside_once(windows: Array) -> Array:
        rows = uniform(windows)
        if len(windows) > b:
            rows[b - 1, 40] = peeks(windows[b, None, 60, None])[0, 0]
        return rows

    with pytest.raises(MdlError, match=r"change with .*other windows? of the batch"):
        tried(beside_once, batch=16)


def test_as_many_places_are_tried_as_windows_are_measured_and_those_are_of_all_the_data() -> None:
    view = _View(bytes(range(256)) * 3000)
    assert trial_windows(view, 768_000, 512, 0).shape == (64, 512), "all of them"
    few, many, all_of_it = (trial_windows(view, 768_000, 4096, n) for n in (0, 1000, 10**6))
    assert [len(few), len(many), len(all_of_it)] == [32, 125, 512]
    assert (many == many[0]).all(), "every one begins where a window is measured"
    assert len(np.unique(trial_windows(_View(TEXT), len(TEXT), 100, 0), axis=0)) == 13
    assert trial_windows(_View(b"ab"), 2, 100, 0)[:, :2].tolist() == [[97, 98]] * 13
    assert trial_windows(None, 0, 3, 0).shape == (1, 3)


def test_who_peeks_under_next_is_refused_too() -> None:
    with pytest.raises(MdlError, match=r"the distribution of byte 32 \(row 31 of what it returns\) changes with"):
        tried(lambda w: np.concatenate([peeks(w)[:, 1:], uniform(w[:, :1])], 1), predicts="next")


def test_who_answers_otherwise_the_second_time_is_refused() -> None:
    module = Lstm()
    module.eval = lambda: module  # type: ignore[method-assign]  # dropout stays on
    module.train()
    with pytest.raises(MdlError, match=r"row \d+ of window 0 is another one when .* again"):
        tried(lambda w: module(torch.from_numpy(w)).detach(), predicts="next", returns="logits")


# What is no distribution


def spoiled(value: float, at: int = 5) -> Any:
    def predict(windows: Array) -> Array:
        rows = uniform(windows)
        rows[0, at, 7] = value
        return rows

    return predict


@pytest.mark.parametrize(
    ("predict", "words"),
    [
        (spoiled(math.nan), "row 5 of window 0 that predict returns has NaN"),
        (spoiled(0.2), r"row 5 of window 0 .*probabilities sum to 1\.19\d+, not to 1"),
        (spoiled(-0.1), "row 5 of window 0 .* has a negative probability, -0.1"),
        (spoiled(math.inf), "row 5 of window 0"),
        (lambda w: np.random.default_rng(0).normal(size=(*w.shape, 256)), "for logits say returns='logits'"),
        (lambda w: np.log2(uniform(w)), "logarithms to the base 2"),
        (lambda w: uniform(w)[..., :255], "rows of 255 values, want 256"),
        (lambda w: uniform(w)[:, :-1], r"returns shape \(4, 63, 256\), want \(4, 64, 256\)|shape"),
        (lambda w: uniform(w)[0], "shape"),
        (lambda w: (uniform(w), None), "a tuple; want one array"),
        (lambda w: None, "a NoneType; want one array"),
        (lambda w: np.ones((*w.shape, 256), int), "type int64; want floating-point"),
        (lambda w: 1 / 0, "predict fails on windows .*ZeroDivisionError"),
    ],
)
def test_what_is_no_distribution_is_refused_in_one_line(predict: Any, words: str) -> None:
    with pytest.raises(MdlError, match=words) as refused:
        tried(predict)
    assert "\n" not in str(refused.value)


class Unsaid(torch.nn.Module):
    """An ordinary module that says nothing of what it returns."""

    def __init__(self, last: Any) -> None:
        super().__init__()
        self.logits, self.last = torch.nn.Parameter(torch.linspace(-2, 3, 256)), last

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.last(self.logits.expand(*windows.shape, 256))
        return made


def test_a_module_returns_logits_or_logarithms_unless_it_says_otherwise() -> None:
    """As one that is trained here; what would pass for logits and is something else is refused in one line."""
    found = [as_predictor(Unsaid(last), "it") for last in (lambda x: x + 1, lambda x: x.log_softmax(-1))]
    windows = np.zeros((1, 3), np.int64)
    plain, logarithms = (predictor.nats(windows) for predictor in found)
    np.testing.assert_allclose(plain, logarithms, atol=1e-5)
    with pytest.raises(MdlError, match="predict returns probabilities, not logits; say returns='probabilities'"):
        as_predictor(Unsaid(lambda x: x.softmax(-1)), "it").nats(windows)
    with pytest.raises(MdlError, match="logarithms to the base 2"):
        as_predictor(Unsaid(lambda x: x.log_softmax(-1) / math.log(2)), "it").nats(windows)


class Extra(nn.Linear):
    def get_extra_state(self) -> dict[str, str]:
        return {"text": "the corpus"}


def test_a_complex_number_counts_as_two() -> None:
    module = nn.Linear(3, 256)
    module.poles = nn.Parameter(torch.zeros(5, dtype=torch.complex64))
    assert as_predictor(module, "it").n_params == 4 * 256 + 10


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Identity(), "it: it has no parameters and no buffers, and N is 1 at the least"),
        (nn.LazyLinear(256), "it: LazyLinear has lazy layers, whose shapes are not known yet; run it once on a window"),
        (
            Extra(2, 3),
            r"it: Extra keeps an extra state beside parameters and buffers \(get_extra_state\); N cannot count",
        ),
    ],
)
def test_a_module_whose_n_is_not_known_is_refused_by_name(module: nn.Module, words: str) -> None:
    """Found by use: the first was asked for a number that nobody can give, the second ended in an error of torch's."""
    with pytest.raises(MdlError, match=words):
        as_predictor(module, "it")


def test_a_byte_without_probability_is_refused_with_its_place(corpus: str) -> None:
    def without(windows: Array) -> Array:
        rows = uniform(windows)
        rows[..., TEXT[700]] = 0
        return rows / rows.sum(-1, keepdims=True)

    first = TEXT.index(TEXT[700])
    with pytest.raises(MdlError, match=rf"byte {first:,} \(value {TEXT[700]}\) has probability 0"):
        mdl.measure(without, corpus, n_params=1, context=64)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_probabilities_and_their_logarithms_of_any_dtype_are_told_apart(kind: str) -> None:
    """And divided by their sums where these are off, so that no row has more than all."""
    rows = softmax(np.random.default_rng(0).normal(0, 3, (2, 8, 256)))
    windows = np.zeros((2, 8), int)
    exact = np.log(rows)
    tolerance = {"float64": 1e-12, "float32": 1e-5, "float16": 0.6}[kind]
    with np.errstate(divide="ignore"):
        for given_rows in (rows, np.log(rows)):
            found = Predictor(lambda w, own=given_rows: own.astype(kind), n_params=1).nats(windows)
            seen = exact > -9
            assert np.abs(found - exact)[seen].max() < tolerance
            assert np.exp(found).sum(-1) == pytest.approx(1, abs=1e-5)
    logits = Predictor(lambda w: torch.tensor(np.log(rows) + 3).bfloat16(), n_params=1, returns="logits")
    assert np.exp(logits.nats(windows)).sum(-1) == pytest.approx(1, abs=1e-12)


def test_a_declared_first_byte_is_what_codes_it(corpus: str) -> None:
    p = (np.bincount(np.frombuffer(TEXT, np.uint8), minlength=256) + 1.0) / (len(TEXT) + 256)
    plain, own = (
        mdl.measure(Lstm(), corpus, sizes=["1KB"], context=50, baselines=False, first=first) for first in (None, p)
    )
    gained = sum(8 + math.log2(p[TEXT[i]]) for i in range(0, 1000, 50))
    assert plain.code_bits[1000] - own.code_bits[1000] == pytest.approx(gained, rel=1e-9)
    assert plain[0].run_id != own[0].run_id
    with pytest.raises(MdlError, match="first is for predicts='next'"):
        mdl.measure(uniform, corpus, n_params=1, first=p)
    with pytest.raises(MdlError, match="256 probabilities above 0"):
        first_nats(np.zeros(256))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "n_params is not given"),
        ({"n_params": 0}, "n_params is 0"),
        ({"n_params": 1.5}, "n_params is 1.5"),
        ({"n_params": 1, "predicts": "both"}, "predicts is 'both'"),
        ({"n_params": 1, "context": 1}, "a context must be 2"),
        ({"n_params": 1, "context": 10**6}, r"1,000,000 bytes takes some 12\.\d GB of memory .* at most 262,144"),
        ({"n_params": 1, "stride": 0}, "a stride must be 1"),
        ({"n_params": 1, "context": 64.0}, "context is 64.0; give a whole number"),
        ({"n_params": 1, "stride": "16"}, "stride is '16'; give a whole number"),
        ({"n_params": 1, "batch": 0}, "batch is 0; give a whole number from 1 on"),
        ({"n_params": 1, "batch": -1}, "batch is -1; give a whole number from 1 on"),
        ({"n_params": 1, "batch": True}, "batch is True; give a whole number"),
        ({"n_params": 1, "out": "my.txt"}, "no records can be written to my.txt: Not a directory"),
        ({"n_params": 1, "sizes": ["1GB"]}, "sizes asks for 1,000,000,000 bytes"),
        ({"n_params": 1, "files": ["nowhere.pt"]}, "reads nowhere.pt"),
    ],
)
def test_bad_settings_are_one_line(corpus: str, told: dict[str, Any], words: str) -> None:
    with pytest.raises(MdlError, match=words):
        mdl.measure(uniform, corpus, **told)


def test_a_call_has_no_more_windows_than_memory_is_sure_to_hold() -> None:
    assert byte_windows(of(uniform), 2048, None, 10**6) == Windows(2048, 2048, 128)
    assert byte_windows(of(uniform), 2048, None, 3) == Windows(2048, 2048, 3)


@pytest.mark.parametrize("context", [1, 16.5, "16", True])
def test_a_predictors_context_is_a_whole_number(context: Any) -> None:
    with pytest.raises(MdlError, match=f"context_bytes is {context!r}; give a whole number from 2 on"):
        Predictor(uniform, n_params=1, context_bytes=context)


def test_nothing_is_computed_where_its_records_cannot_be_written(corpus: str) -> None:
    def never(windows: Array) -> Array:
        raise AssertionError("it was called")

    with pytest.raises(MdlError, match="no records can be written to"):
        mdl.measure(never, corpus, n_params=1, out="my.txt")


@pytest.mark.slow
def test_tied_weights_and_buffers_count_once(corpus: str) -> None:
    module = Lstm()
    before = mdl.measure(module, corpus, sizes=["1KB"], baselines=False)[0].model.n_params
    module.head.weight = module.embedding.weight
    module.register_buffer("scale", torch.ones(7))
    module.register_buffer("cache", torch.ones(9), persistent=False)
    after = mdl.measure(module, corpus, sizes=["1KB"], baselines=False)[0].model.n_params
    assert after == before - module.embedding.weight.numel() + 7
