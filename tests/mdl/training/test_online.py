"""An online run codes every byte once, before it has learned from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl.config import Cell, Cohort, Recipe, from_flat
from mdl.data import OnlineOrder
from mdl.device import resolve_machine
from mdl.errors import MdlError
from mdl.models import Shape
from mdl.records import RunPaths, read_cell
from mdl.training import run_cohort
from mdl.training.cohort_module import CohortModule
from mdl.training.loop import fit
from mdl.training.members import Member
from tests.arrays import ArrayView
from tests.conftest import markov_text

T, B = 32, 4
TEXT = markov_text(20_000)


def run(content: bytes, members: list[Member], path: Path, steps: int = 60, learning_rate: float = 1e-2) -> np.ndarray:
    """Bits (steps, members) of the windows that each step predicts."""
    recipe = Recipe(
        steps=steps, batch_windows=B, learning_rate=learning_rate, warmup_steps=10, evaluate_every=1000, online=True
    )
    heldout = np.zeros((1, T), np.uint8)
    module = CohortModule(Shape(16, 1, 1, context_tokens=T), members, recipe, heldout)
    fit(module, ArrayView(content), resolve_machine("auto", "auto"), path)
    bits: np.ndarray = module.online_nats.numpy() / np.log(2)
    return bits


@settings(max_examples=60, deadline=None)
@given(st.integers(T, 3000), st.integers(1, 6), st.integers(1, 200), st.integers(0, 2**40))
def test_every_byte_is_coded_once_in_order_and_replay_is_of_what_was_coded(
    D: int, B: int, steps: int, seed: int
) -> None:
    if steps * B < -(-D // T):
        with pytest.raises(MdlError, match=r"takes .* steps"):
            OnlineOrder(seed, D, T, B, steps)
        return
    order = OnlineOrder(seed, D, T, B, steps)
    coded: list[int] = []
    for step in range(steps):
        before = len(coded)
        starts, coded_from = order.batch(step)
        assert starts.shape == coded_from.shape == (B,)
        for start, first in zip(starts.tolist(), coded_from.tolist(), strict=True):
            coded.extend(range(start + first, start + T))
            assert 0 <= start <= D - T
            if first == T and before:
                assert start + T <= before  # replay
        assert len(coded) == order.coded_bytes(step)
    assert coded == list(range(D))


def test_the_code_of_a_byte_does_not_depend_on_what_follows(tmp_path: Path) -> None:
    """To the bit, though later bytes are trained on."""
    D, half = 6_400, 3_200
    other = TEXT[:half] + markov_text(D, seed=9)[half:]
    one, two = (
        run(TEXT[:D], [Member(seed=0, subset_length=D)], tmp_path / "a"),
        run(other, [Member(seed=0, subset_length=D)], tmp_path / "b"),
    )
    order = OnlineOrder(0, D, T, B, 60)
    before = [step for step in range(60) if order.coded_bytes(step) <= half]
    assert len(before) == 30
    assert np.array_equal(one[before], two[before])
    assert not np.array_equal(one, two)


def test_the_first_step_is_coded_by_the_model_as_it_was_made(tmp_path: Path) -> None:
    bits = run(TEXT[:6_400], [Member(seed=3, subset_length=6_400)], tmp_path / "a")
    fresh = CohortModule(
        Shape(16, 1, 1, context_tokens=T),
        [Member(seed=3, subset_length=6_400)],
        Recipe(steps=1, batch_windows=B, learning_rate=1e-2),
        np.zeros((1, T)),
    )
    starts, coded_from = OnlineOrder(3, 6_400, T, B, 60).batch(0)
    windows = torch.from_numpy(ArrayView(TEXT).gather(starts, T))[None]
    nats = fresh.model.nats(windows).detach().numpy()[0] * (np.arange(T) >= coded_from[:, None])
    assert bits[0, 0] == pytest.approx(nats.sum() / np.log(2), rel=1e-6)


def test_members_of_other_lengths_learn_each_as_if_alone(tmp_path: Path) -> None:
    members = [Member(seed=0, subset_length=3_000), Member(seed=1, subset_length=6_400)]
    together = run(TEXT, members, tmp_path / "together")
    for m, member in enumerate(members):
        assert np.array_equal(together[:, m], run(TEXT, [member], tmp_path / f"{m}")[:, 0])


@pytest.mark.slow
def test_text_pays_and_random_bytes_do_not(tmp_path: Path) -> None:
    """On random bytes no prefix costs less than 8 bits a byte, but for chance."""
    D, steps = 12_800, 400
    text = run(TEXT[:D], [Member(seed=0, subset_length=D)], tmp_path / "text", steps)
    noise = np.random.default_rng(0).integers(0, 256, D, np.uint8).tobytes()
    random = run(noise, [Member(seed=0, subset_length=D)], tmp_path / "noise", steps)
    assert text.sum() / D < 5
    assert random.sum() / D > 8


def test_a_record_holds_the_cumulative_code(text_file: Path, tmp_path: Path) -> None:
    flat = {
        "source": f"file:{text_file}",
        "subset_bytes": "10KB",
        "size": "8x1",
        "context_bytes": T,
        "steps": 100,
        "objective": "prequential",
        "block_bytes": 512,
        "heldout_bytes": "20KB",
        "stream_bytes": 0,
    }
    config = from_flat(flat)
    paths = RunPaths(tmp_path / "runs")
    (record,) = run_cohort(Cohort((Cell(config.run_id, config),)), "s", paths)
    points = read_cell(paths.record(config.run_id)).prequential
    assert record.prequential == points
    assert points[-1].end_bytes == 10_000
    assert [p.end_bytes for p in points] == sorted({p.end_bytes for p in points})
    assert np.all(np.diff([p.code_bits for p in points]) > 0)
    assert points[-1].code_bits / 10_000 < 8
    plain = from_flat({k: v for k, v in flat.items() if k != "objective"})
    assert plain.run_id != config.run_id
    assert from_flat({**flat, "objective": "subset"}).run_id == plain.run_id
