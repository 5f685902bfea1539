"""The next cells: where nothing is bracketed or sure, what they cost, and a sweep file that runs as it is."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from analysis.costs import parse_cost
from analysis.errors import AnalysisError
from analysis.next_cells import Suggestion, suggest
from analysis.records import load
from analysis.study import Study, study
from mdl.cli.suggest import LADDER, cells, content, ladder, lines, sweep_text, write
from mdl.config import from_flat
from mdl.models import count_params
from mdl.records import CellRecord
from mdl.sweeps import plan_sweep
from mdl.units import counted
from tests.synthetic import SIZES, cell, corpus, grid, power_law, write_sweep

NAMES = ["8x1", "16x1", "16x2", "32x2", "64x2"]
DATA = [300_000, 1_000_000]
SPEED = 2e9  # FLOPs a second of every cohort


def real(record: CellRecord, **settings: object) -> CellRecord:
    """The record as this sweep's configuration would make it: its id, its settings, its arithmetic."""
    config = from_flat(
        {"subset_bytes": record.subset_bytes, "model.size": record.model.size, "train.seed": record.training.seed,
         "train.steps": 900, "train.evaluate_every": 90, "corpus.source": record.corpus.source,
         "corpus.shuffle_seed": record.corpus.shuffle_seed, **settings}
    )  # fmt: skip
    flops = config.resolved.training_flops
    training = dataclasses.replace(record.training, flops=flops, bytes_seen=config.resolved.bytes_seen)
    provenance = dataclasses.replace(
        record.provenance, training_seconds=flops / SPEED, measuring_seconds=0.0, cohort_size=1
    )
    return dataclasses.replace(
        record, config=config.flat(), run_id=config.run_id, cohort_id=config.run_id, training=training,
        provenance=provenance,
    )  # fmt: skip


def sweep(
    tmp_path: Path, names: Sequence[str] = NAMES, data: Sequence[int] = DATA, seeds: Sequence[int] = (0,),
    corpora: Sequence[int] = (0,), sd: float = 0.0,
) -> Path:  # fmt: skip
    """A run folder of the synthetic law with real settings."""
    rng = np.random.default_rng(0)
    records = [
        real(cell(s, d, power_law(SIZES[s], d) * np.exp(sd * rng.normal()), seed=seed, of=corpus(shuffle_seed=c)))
        for s in names for d in data for seed in seeds for c in corpora
    ]  # fmt: skip
    return write_sweep(tmp_path / "synthetic", records)


def explained(folder: Path) -> Study:
    return study(load(folder), parse_cost("float16"))


def asked(found: Sequence[Suggestion]) -> set[tuple[int, str]]:
    return {(one.subset_bytes, one.size) for one in found}


def scattered(tmp_path: Path, sd: float, seeds: Sequence[int] = (0,), data: Sequence[int] = DATA) -> Path:
    """Every shape off the law by an effect of its own, the same at every dataset size; seeds differ by 0.1 %."""
    effect = {s: sd * np.random.default_rng(SIZES[s]).normal() for s in NAMES}
    rng = np.random.default_rng(1)
    records = [
        real(cell(s, d, power_law(SIZES[s], d) * np.exp(effect[s] + 1e-3 * rng.normal()), seed=seed))
        for s in NAMES for d in data for seed in seeds
    ]  # fmt: skip
    return write_sweep(tmp_path / "synthetic", records)


def test_another_architectures_grid_gets_its_own_shapes(tmp_path: Path) -> None:
    """N and work are those of the architecture that was swept, and the cells written down train it."""
    records = [
        real(cell(s, d, power_law(SIZES[s], d)), **{"model.architecture": "mingru"}) for s in NAMES for d in DATA
    ]
    found = suggest(explained(write_sweep(tmp_path / "synthetic", records)), ladder, within=1.001)
    own = {rung.label: rung.n_params for rung in ladder("mingru", 256, 1)}
    new = [one for one in found if one.size not in NAMES]
    assert new
    assert {one.size: one.n_params for one in new} == {one.size: own[one.size] for one in new}
    assert {from_flat(flat).model.architecture for flat in cells(found)} == {"mingru"}
    assert own != {rung.label: rung.n_params for rung in ladder("transformer", 256, 1)}


@pytest.mark.parametrize("recipe", [1, 2])
def test_the_parameters_of_a_suggestion_are_those_of_the_cell_that_is_written(tmp_path: Path, recipe: int) -> None:
    """Recipe 2 has a block of a few more."""
    records = [real(cell(s, d, power_law(SIZES[s], d)), **{"train.recipe": recipe}) for s in NAMES for d in DATA]
    found = [
        one for one in suggest(explained(write_sweep(tmp_path / "s", records)), ladder, 1.001) if one.size not in NAMES
    ]
    trained = [count_params(from_flat(flat).resolved.shape)["total"] for flat in cells(found)]
    assert trained
    assert [one.n_params for one in found] == trained


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_where_shapes_scatter_another_shape_about_the_minimum_is_asked_for(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    """However many seeds there are: more of them would not narrow what the shapes are off."""
    explained_sweep = explained(scattered(tmp_path, 0.03, seeds))
    found = suggest(explained_sweep, ladder)
    assert found
    assert {one.seeds for one in found} == {seeds}
    assert {one.size for one in found} <= set(LADDER) - set(NAMES)
    assert all("a shape about the minimum" in one.reason or "the interval reaches" in one.reason for one in found)
    for one in found:
        (row,) = explained_sweep.critical[explained_sweep.critical["subset_bytes"] == one.subset_bytes].to_dict(
            "records"
        )
        assert row["high"] / row["low"] > 1.25, "what is done by the printed interval is not asked for again"


def test_where_there_is_no_other_shape_more_seeds_are_asked_for_and_then_nothing_is_left(tmp_path: Path) -> None:
    few = suggest(explained(sweep(tmp_path / "few", seeds=(0, 1), sd=0.06)), lambda *_: [])
    assert few
    assert {one.size for one in few} <= set(NAMES)
    assert all(set(one.seeds).isdisjoint({0, 1}) and 1 <= len(one.seeds) <= 4 for one in few)
    many = explained(sweep(tmp_path / "many", seeds=range(6), sd=0.001))
    assert suggest(many, ladder) == []
    assert lines([], 1.25) == ["nothing to do: every critical size is bracketed, its interval within a factor of 1.25"]
    assert suggest(many, ladder, within=1.001), "a narrower wish asks for more"


def test_where_the_interval_reaches_the_edge_shapes_beyond_it_come_before_seeds(tmp_path: Path) -> None:
    """The minimum of 3 MB, 61 K, lies between the two largest shapes."""
    found = suggest(explained(scattered(tmp_path, 0.01, (0, 1), data=[*DATA, 3_000_000])), ladder)
    edge = [one for one in found if one.subset_bytes == 3_000_000]
    assert edge[0].size == "64x4"
    assert "the interval reaches up to" in edge[0].reason
    assert all(one.size not in NAMES for one in edge)


def test_to_follow_the_suggestions_is_to_come_to_an_end(tmp_path: Path) -> None:
    """From two seeds everywhere to nothing left to do, and by no more cells than four seeds more of every cell."""
    cells = {(s, d, k) for s in NAMES for d in DATA for k in (0, 1)}

    def bits(s: str, d: int, k: int) -> float:
        return power_law(SIZES[s], d) * float(np.exp(0.01 * np.random.default_rng([SIZES[s], d, k]).normal()))

    for _ in range(12):
        records = [real(cell(s, d, bits(s, d, k), seed=k)) for s, d, k in sorted(cells)]
        found = suggest(explained(write_sweep(tmp_path / "synthetic", records)), ladder)
        if not found:
            break
        more = {(one.size, one.subset_bytes, seed) for one in found for seed in one.seeds}
        assert not more & cells
        cells |= more
    assert found == []
    assert len(cells) < 5 * len(NAMES) * len(DATA)


def test_beyond_an_edge_the_next_shape_of_the_ladder_is_asked_for(tmp_path: Path) -> None:
    small, large = 30_000, 30_000_000
    found = suggest(explained(sweep(tmp_path, data=[small, *DATA, large])), ladder)
    wider = {(one.subset_bytes, one.size) for one in found if one.reason.startswith("to bracket")}
    assert (small, "6x1") in wider
    assert (large, "64x4") in wider
    assert {d for d, _ in wider} == {small, large}
    assert wider <= {(small, name) for name in LADDER} | {(large, name) for name in LADDER}
    assert len(wider) <= 6


def test_two_sizes_ask_for_more_on_both_sides(tmp_path: Path) -> None:
    found = suggest(explained(sweep(tmp_path, names=["16x1", "16x2"], data=DATA[:1])), ladder)
    assert asked(found) == {(300_000, "10x2"), (300_000, "20x3")}
    assert "too few sizes" in found[0].reason


def test_several_corpus_seeds_ask_for_another_draw_of_all_shapes_that_may_be_best(tmp_path: Path) -> None:
    """The last costs more by its parameters than the best with its code."""
    found = suggest(explained(sweep(tmp_path, corpora=(0, 1, 2), sd=0.06)), lambda *_: [])
    assert found
    assert {one.shuffle_seeds for one in found} == {(3,)}
    assert {one.seeds for one in found} == {(0,)}
    for d in {one.subset_bytes for one in found}:
        assert {one.size for one in found if one.subset_bytes == d} | {NAMES[-1]} == set(NAMES)


def test_cost_is_that_of_the_records(tmp_path: Path) -> None:
    """A known size costs what it did; a new one its own arithmetic over as many bytes, at the nearest's speed."""
    found = suggest(explained(sweep(tmp_path, data=[30_000, *DATA])), ladder)
    for one in found:
        config = from_flat(
            one.recipe | dict.fromkeys(("model.width", "model.depth", "model.heads")) | {"size": one.size}
        )
        assert one.flops == pytest.approx(config.resolved.training_flops)
        assert one.seconds == pytest.approx(one.flops / SPEED)
    total = lines(found, 1.25)[-1]
    assert f"{sum(one.flops * len(one.seeds) for one in found):.3g} training FLOPs" in total


def test_what_is_written_is_what_was_asked_and_runs_as_it_is(tmp_path: Path) -> None:
    """One file a round, whatever the cells have in common; its table's cells and no others."""
    folder = sweep(tmp_path, data=[30_000, *DATA])
    found = suggest(explained(folder), ladder)
    write(cells(found), "synthetic", tmp_path / "next.yaml")
    plan = plan_sweep(tmp_path / "next.yaml", tmp_path)
    planned = {(c.config.subset_bytes, c.config.model.size, c.config.train.seed) for c in plan.cells}
    assert planned == {(one.subset_bytes, one.size, seed) for one in found for seed in one.seeds}
    assert len(plan.cells) == sum(len(one.seeds) for one in found)
    assert lines(found, 1.25)[-1].startswith(f"{counted(len(plan.cells), 'cell')}, ")
    assert plan.paths.root == folder, "records join those there are"
    cost = sum(c.resolved.training_flops for c in plan.cells)
    assert cost == pytest.approx(sum(one.flops * len(one.seeds) for one in found))


RECORDED: list[dict[str, object]] = [
    {},
    {"train.learning_rate": 0.003, "model.context_bytes": 128},
    {"train.recipe": 2},
    {"train.recipe": 2, "train.optimizer": "adamw", "train.decay_start": 0.5},
    {"train.recipe": 2, "train.learning_rate": 0.02, "train.weight_decay": 0.01},
    {"train.optimizer": "muon", "train.weight_decay": 0.01},
]


@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize("settings", RECORDED, ids=str)
def test_the_recipe_is_the_records_own(tmp_path: Path, settings: dict[str, object], is_told: bool) -> None:
    """The file of a cell that is recorded names that very record, so a sweep would not make it again.

    So it does where the record tells the resolved settings alone, and where it tells what was asked for too.
    """
    records = [real(r, **settings) for r in grid(NAMES, [30_000, *DATA], power_law)]
    if "model.context_bytes" in settings:
        records = [dataclasses.replace(r, model=dataclasses.replace(r.model, context_tokens=128)) for r in records]
    if is_told:
        rate = {"train.learning_rate": settings.get("train.learning_rate", "auto")}
        records = [dataclasses.replace(r, requested=from_flat(r.config | rate).requested()) for r in records]
    found = suggest(explained(write_sweep(tmp_path / "synthetic", records)), ladder)
    known = [dataclasses.replace(found[0], seeds=(0,), size=name) for name in NAMES]
    file = tmp_path / "known.yaml"
    file.write_text(sweep_text(cells(known), "synthetic"))
    planned = [c.run_id for c in plan_sweep(file, tmp_path).cells]
    assert len(planned) == len(known)
    assert set(planned) <= {r.run_id for r in records}
    assert {c["train.learning_rate"] for c in cells(known)} == {settings.get("train.learning_rate", "auto")}


def test_a_rate_that_was_asked_for_by_its_number_is_no_auto(tmp_path: Path) -> None:
    """Though it is the recipe's own: what was asked for is recorded, and nothing is inferred from equal numbers."""
    records = [real(r) for r in grid(NAMES, [30_000, *DATA], power_law)]
    asked = [dataclasses.replace(r, requested=from_flat(r.config).requested()) for r in records]
    found = suggest(explained(write_sweep(tmp_path / "synthetic", asked)), ladder)
    assert {type(one["train.learning_rate"]) for one in cells(found)} == {float}


def test_the_ladder_rises() -> None:
    rungs = ladder("transformer", 256, 1)
    assert [r.n_params for r in rungs] == sorted({r.n_params for r in rungs})
    assert [r.flops_per_byte for r in rungs] == sorted(r.flops_per_byte for r in rungs)


def test_what_tells_nothing_is_one_line(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("N,D,code_bits\n1000,100000,4e5\n2000,100000,3e5\n4000,100000,2.9e5\n")
    with pytest.raises(AnalysisError, match="no cell whose settings are recorded"):
        suggest(explained(table), ladder)
    with pytest.raises(AnalysisError, match="free parameters"):
        suggest(study(load(table), parse_cost("none")), ladder)
    for within in (1.0, float("nan")):
        with pytest.raises(AnalysisError, match="--within"):
            suggest(explained(sweep(tmp_path / str(within))), ladder, within)


def test_the_json_names_every_cell(tmp_path: Path) -> None:
    found = suggest(explained(sweep(tmp_path)), ladder)
    rows = json.loads(json.dumps(content(found), allow_nan=False))
    assert [(row["subset_bytes"], row["size"]) for row in rows] == [(one.subset_bytes, one.size) for one in found]


def mdl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mdl.cli", *words], capture_output=True, text=True, check=False)


def test_the_command_prints_a_table_and_writes_the_file(tmp_path: Path) -> None:
    folder = scattered(tmp_path, 0.03)
    done = mdl("suggest", str(folder), "-o", str(tmp_path / "next.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "interval a factor of" in done.stdout
    assert plan_sweep(tmp_path / "next.yaml", tmp_path).name == "synthetic"
    failed = mdl("suggest", str(tmp_path / "nowhere"))
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("error: no sweep at ")


def test_a_sweep_file_of_ones_own_is_not_overwritten(tmp_path: Path) -> None:
    """What suggest wrote before is."""
    folder, own, before = scattered(tmp_path, 0.03), tmp_path / "mine.yaml", tmp_path / "next.yaml"
    own.write_text("name: mine\n")
    refused = mdl("suggest", str(folder), "-o", str(own))
    assert refused.returncode == 2
    assert "was not written by mdl suggest" in refused.stderr
    assert own.read_text() == "name: mine\n"
    before.write_text("# Suggested by mdl suggest from the records of x.\n")
    assert mdl("suggest", str(folder), "-o", str(before)).returncode == 0
    assert "parameters:" in before.read_text()
