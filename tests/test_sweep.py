from __future__ import annotations

from pathlib import Path

import pytest

from mdl.errors import MdlError
from mdl.models import training_bytes
from mdl.sweeps import load_sweep
from mdl.sweeps.grid import cells_of, cohorts_of

SHIPPED = sorted((Path(__file__).parent.parent / "sweeps").glob("*.yaml"))

GRID = """
method: grid
parameters:
  subset_bytes: {values: [10KB, 1e5]}
  size: {values: [8x1, 16x1, 16x2]}
  train.seed: {values: [0, 1]}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_sweep_expands(path: Path) -> None:
    sweep = load_sweep(path)
    cells = cells_of(sweep)
    assert path.stem.startswith(sweep.name), "study-text-large.yaml adds to the folder of study-text.yaml"
    assert len(cells) == len({cell.run_id for cell in cells}) > 1
    assert "mdl" in sweep.text
    assert sorted(c.run_id for cohort in cohorts_of(cells) for c in cohort.cells) == sorted(c.run_id for c in cells)


def test_a_grid_is_every_combination_and_a_cohort_is_a_shape(tmp_path: Path) -> None:
    cells = cells_of(load_sweep(write(tmp_path, GRID)))
    cohorts = cohorts_of(cells)
    assert len(cells) == 12
    assert [(c.shape.label, len(c.cells)) for c in cohorts] == [("8x1", 4), ("16x1", 4), ("16x2", 4)]


def test_a_cohort_too_large_for_memory_is_split_by_a_rule_of_the_file_alone(tmp_path: Path) -> None:
    cells = cells_of(load_sweep(write(tmp_path, GRID)))
    each = training_bytes(cells[0].resolved.shape, cells[0].config.train.batch_windows)
    text = GRID + f"  memory_bytes: {{value: {int(2.5 * each)}}}\n"
    first = [c for c in cohorts_of(cells_of(load_sweep(write(tmp_path, text)))) if c.shape.label == "8x1"]
    assert [len(c.cells) for c in first] == [2, 2]
    assert [c.cohort_id for c in first] == [
        c.cohort_id for c in cohorts_of(cells_of(load_sweep(write(tmp_path, text)))) if c.shape.label == "8x1"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("methods: grid\nparameters: {size: {value: 8x1}}", "unknown key 'methods'; did you mean 'method'?"),
        ("parameters: {siz: {value: 8x1}}", "did you mean 'size'?"),
        ("parameters: {size: 8x1}", "parameter 'size' must be {value: …} or {values: […]}"),
        ("parameters: {size: {valu: 8x1}}", "unknown key 'valu'; did you mean 'value'?"),
        ("parameters: {size: {values: []}}", "has no value or values"),
        ("parameters: {size: {min: 1, max: 2}}", "has no value or values"),
        ("parameters: {}", "'parameters' must map keys"),
        ("- a", "is not a sweep file"),
        ("a: [", "is not valid YAML"),
        ("", "is not a sweep file"),
        ("parameters: {size: {value: !!python/object/apply:os.system ['true']}}", "is not valid YAML"),
        ("name: ../../etc\nparameters: {size: {value: 8x1}}", "cannot be a folder name"),
        ("method: bayes\nparameters: {size: {value: 8x1}}", "wandb agent"),
        ("parameters: {size: {value: 8x1}, subset_bytes: {value: 100}}", "less than one window"),
        ("parameters: {width: {value: 15}, depth: {value: 1}}", "width 15"),
    ],
)
def test_a_bad_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(MdlError) as caught:
        cells_of(load_sweep(write(tmp_path, text)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_a_near_one(tmp_path: Path) -> None:
    write(tmp_path, GRID)
    with pytest.raises(MdlError, match=r"no sweep file at .*did you mean 'grid.yaml'"):
        load_sweep(tmp_path / "gird.yaml")


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MdlError, match="cannot read sweep file"):
        load_sweep(tmp_path / "x.yaml")
