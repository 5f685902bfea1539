from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdl.errors import MdlError
from mdl.models import training_bytes
from mdl.sweeps import describe_plan, load_sweep, plan_cell, plan_sweep
from mdl.sweeps.backends.wandb import command_of
from mdl.sweeps.distributions import DISTRIBUTIONS, domain
from mdl.sweeps.grid import cells_of, cohorts_of
from tests import ROOT

SHIPPED = sorted((ROOT / "sweeps").glob("*.yaml"))

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
    assert len(cells) == len({cell.run_id for cell in cells}) >= (1 if sweep.name.startswith("study-packed") else 2)
    assert "mdl" in sweep.command
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


def refusal(text: str, tmp_path: Path) -> str:
    """What is said of a sweep file, in one line."""
    with pytest.raises(MdlError) as caught:
        cells_of(load_sweep(write(tmp_path, text)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("methods: grid\nparameters: {size: {value: 8x1}}", "unknown key 'methods'; did you mean 'method'?"),
        ("parameters: {siz: {value: 8x1}}", "did you mean 'size'?"),
        ("parameters: {size: 8x1}", "parameter 'size' must be {value: …} or {values: […]}"),
        ("parameters: {size: {valu: 8x1}}", "unknown key 'valu'; did you mean 'value'?"),
        ("parameters: {size: {values: []}}", "has no value or values"),
        ("parameters: {size: {min: 1.5, max: 2}}", "a grid needs value, values"),
        ("parameters: {size: {min: 1}}", "has no value or values, and no min and max"),
        ("parameters: {}", "'parameters' must map keys"),
        ("- a", "is not a sweep file"),
        ("a: [", "is not valid YAML"),
        ("", "is not a sweep file"),
        ("parameters: {size: {value: !!python/object/apply:os.system ['true']}}", "is not valid YAML"),
        ("name: ../../etc\nparameters: {size: {value: 8x1}}", "cannot be a folder name"),
        ("method: gird\nparameters: {size: {value: 8x1}}", "did you mean 'grid'?"),
        ("parameters: {size: {value: 8x1}, subset_bytes: {value: 100}}", "less than one window"),
        ("parameters: {width: {value: 15}, depth: {value: 1}}", "width 15"),
    ],
)
def test_a_bad_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(text, tmp_path)


def test_a_missing_file_names_a_near_one(tmp_path: Path) -> None:
    write(tmp_path, GRID)
    with pytest.raises(MdlError, match=r"no sweep file at .*did you mean 'grid.yaml'"):
        load_sweep(tmp_path / "gird.yaml")


def test_a_missing_file_of_a_shipped_name_names_the_command_that_takes_it(tmp_path: Path) -> None:
    """The README's path, from another folder than the source's."""
    with pytest.raises(
        MdlError, match=r"no sweep file at .*quick.yaml; mdl sweep quick takes the one that comes along"
    ):
        load_sweep(tmp_path / "sweeps/quick.yaml")


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MdlError, match="cannot read sweep file"):
        load_sweep(tmp_path / "x.yaml")


ONE = "size: {value: 8x1}, subset_bytes: {value: 10KB}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "method: grid\nmethod: random\nparameters: {size: {value: 8x1}}",
            "'method' is given twice, in line 1 and in line 2",
        ),
        ("parameters: {size: {value: 8x1}, size: {value: 16x1}}", "'size' is given twice"),
        ("parameters: {size: {value: 8x1, value: 16x1}}", "'value' is given twice"),
        (
            f"parameters: {{{ONE}, steps: {{value: 1}}, train.steps: {{value: 2}}}}",
            "'steps' and 'train.steps' are both train.steps",
        ),
        (
            f"parameters: {{{ONE}, steps: {{value: 1}}, train: {{parameters: {{steps: {{value: 2}}}}}}}}",
            "are both train.steps",
        ),
        (f"name: null\nparameters: {{{ONE}}}", "name: want text, such as 'mine', got None"),
        (f"name: 3\nparameters: {{{ONE}}}", "name: want text, such as 'mine', got 3"),
        (
            f"name: a\ncommand: [mdl, run, --sweep, b]\nparameters: {{{ONE}}}",
            "name is 'a', but its command says --sweep b",
        ),
        (
            f"name: a\ncommand: [mdl, run, --sweep=b]\nparameters: {{{ONE}}}",
            "name is 'a', but its command says --sweep b",
        ),
        (f"command: mdl run\nparameters: {{{ONE}}}", "command: want a list of words"),
        (f"run_cap: 0\nparameters: {{{ONE}}}", "run_cap: want a whole number from 1 to 100,000, got 0"),
        (f"run_cap: true\nparameters: {{{ONE}}}", "run_cap: want a whole number"),
        (f"controller: {{type: local}}\nparameters: {{{ONE}}}", "controller: want {type: cloud}"),
        (f"program: train.py\nparameters: {{{ONE}}}", "program 'train.py' is not what trains a cell here"),
        (f"metric: loss\nparameters: {{{ONE}}}", "metric: want a mapping"),
        (f"project: [a]\nparameters: {{{ONE}}}", "project: want text"),
        (f"method: random\nparameters: {{{ONE}}}", "say how many with run_cap"),
        ("parameters: {size: {value: 8x1, values: [8x1]}}", "want either value or values"),
        ("parameters: {size: {value: 8x1, min: 3}}", "want either value or values"),
        ("parameters: {size: {values: [8x1, 4x1], probabilities: [1, 1]}}", "must be 2 numbers that add up to 1"),
        (
            f"parameters: {{{ONE}, lr_scale: {{distribution: log_unifrom_values, min: 1, max: 2}}}}",
            "did you mean 'log_uniform_values'",
        ),
        (
            f"parameters: {{{ONE}, lr_scale: {{distribution: uniform, min: 1, max: 2, mu: 3}}}}",
            "uniform has no 'mu'; it takes min, max",
        ),
        (f"parameters: {{{ONE}, lr_scale: {{distribution: log_uniform_values, min: 0, max: 2}}}}", "needs min above 0"),
        (
            f"parameters: {{{ONE}, lr_scale: {{distribution: log_uniform, min: 1000, max: 100000}}}}",
            "use log_uniform_values",
        ),
        (f"parameters: {{{ONE}, lr_scale: {{distribution: uniform, min: 3.0, max: 2}}}}", "min 3 is above max 2"),
        (f"parameters: {{{ONE}, lr_scale: {{distribution: uniform, min: .nan, max: 2}}}}", "needs min, a number"),
        (f"parameters: {{{ONE}, seed: {{distribution: int_uniform, min: 0.5, max: 2}}}}", "needs min, a whole number"),
        ("parameters: {size: {value: [8x1]}}", "size: want one number or word, got ['8x1']"),
        ("a: " + "[" * 5000, "nests too deeply"),
        ("run_cap: " + "1" * 5000 + "\nparameters: {}", "is not valid YAML"),
        ("a: 2026-99-99", "is not valid YAML"),
        ("? [a, b]\n: c", "a key must be one word"),
    ],
)
def test_what_would_be_taken_otherwise_than_it_stands_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    said = refusal(text, tmp_path)
    assert message in said
    assert len(said) < 600


def test_ten_thousand_million_cells_are_counted_not_made(tmp_path: Path) -> None:
    keys = ["train.seed", "shuffle_seed", "warmup_steps", "steps", "evaluate_every"]
    text = f"parameters: {{{ONE}, " + ", ".join(f"{key}: {{min: 1, max: 100}}" for key in keys) + "}"
    started = time.monotonic()
    with pytest.raises(MdlError, match=r"the grid has 10,000,000,000 cells, a sweep at most 100,000"):
        cells_of(load_sweep(write(tmp_path, text)))
    assert len(cells_of(load_sweep(write(tmp_path, "run_cap: 7\n" + text)))) == 7
    wide = f"parameters: {{{ONE}, seed: {{min: 1, max: {2**60}}}}}"
    with pytest.raises(MdlError, match="a sweep at most"):
        cells_of(load_sweep(write(tmp_path, "run_cap: 7\n" + wide)))
    assert time.monotonic() - started < 20, "and no memory is taken for them"


@pytest.mark.parametrize("key", ["parameters: {size: {value: *h}}", "name: *h", "<<: *h"])
def test_anchors_that_expand_are_refused_before_they_are_written_out(key: str, tmp_path: Path) -> None:
    lines = ["x0: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x{i}: &{chr(97 + i)} [{', '.join(['*' + chr(96 + i)] * 10)}]" for i in range(1, 8)]
    with pytest.raises(MdlError, match="stands for more than 200,000 values"):
        load_sweep(write(tmp_path, "\n".join([*lines, key])))
    with pytest.raises(MdlError, match="stands for more than 200,000 values"):
        load_sweep(write(tmp_path, "parameters: &a {size: *a}"))
    nested = "".join(f", &{b} [{', '.join(['*' + a] * 10)}]" for a, b in pairwise("abcdef"))
    with pytest.raises(MdlError, match="stands for more than"):
        plan_cell([f"size=[&a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]{nested}]"], "s", tmp_path)


def test_a_file_without_an_end_is_refused_by_its_size(tmp_path: Path) -> None:
    with pytest.raises(MdlError, match="larger than 1,000,000 bytes"):
        load_sweep(Path("/dev/zero"))


RANDOM = """
method: random
run_cap: 12
parameters:
  size: {values: [8x1, 16x1], probabilities: [0.9, 0.1]}
  subset_bytes: {distribution: q_log_uniform_values, min: 10000, max: 1000000, q: 1000}
  learning_rate: {distribution: log_uniform_values, min: 1e-3, max: 1e-2}
  train: {parameters: {steps: {min: 100, max: 200}}}
"""


def test_a_random_sweep_draws_the_same_cells_every_time_and_more_of_them_where_more_are_asked(tmp_path: Path) -> None:
    def drawn(text: str) -> list[str]:
        return [cell.run_id for cell in cells_of(load_sweep(write(tmp_path, text)))]

    cells = cells_of(load_sweep(write(tmp_path, RANDOM)))
    assert len(cells) == 12
    assert all(100 <= c.config.train.steps <= 200 and c.config.subset_bytes % 1000 == 0 for c in cells)
    assert all(1e-3 <= (c.config.train.learning_rate or 0) <= 1e-2 for c in cells)
    assert drawn(RANDOM) == [c.run_id for c in cells]
    assert drawn(RANDOM.replace("12", "20"))[:12] == drawn(RANDOM), "raising run_cap keeps what is recorded"
    assert not set(drawn(RANDOM + "seed: 1")) & set(drawn(RANDOM))
    other = "size: {value: 8x1}, subset_bytes: {value: 10KB}"
    few = f"method: random\nrun_cap: 3\nparameters: {{{other}, lr_scale: {{min: 1.0, max: 2.0}}"
    rates = [c.config.train.lr_scale for c in cells_of(load_sweep(write(tmp_path, few + "}")))]
    more = cells_of(load_sweep(write(tmp_path, few + ", weight_decay: {min: 0.0, max: 1.0}}")))
    assert [c.config.train.lr_scale for c in more] == rates, "one parameter more leaves the others as they are"
    told = describe_plan(plan_sweep(write(tmp_path, RANDOM), tmp_path))
    assert "drawn at random with seed 0" in told[-2]
    assert "12 cells" in told[-1]


# Each distribution with numbers, and its median from its definition.
MEDIANS: dict[str, tuple[dict[str, Any], float]] = {
    "constant": ({"value": 7}, 7), "categorical": ({"values": [1, 2, 3]}, 2),
    "categorical_w_probabilities": ({"values": [1, 2], "probabilities": [0.2, 0.8]}, 2),
    "int_uniform": ({"min": 1, "max": 9}, 5), "uniform": ({"min": 1, "max": 9}, 5),
    "q_uniform": ({"min": 1, "max": 8, "q": 0.5}, 4.5),
    "log_uniform": ({"min": -2, "max": 4}, math.e), "q_log_uniform": ({"min": -2, "max": 4}, 3),
    "log_uniform_values": ({"min": 1, "max": 100}, 10), "q_log_uniform_values": ({"min": 1, "max": 100, "q": 3}, 9),
    "inv_log_uniform": ({"min": -2, "max": 4}, 1 / math.e), "inv_log_uniform_values": ({"min": 1, "max": 100}, 10),
    "normal": ({"mu": 3, "sigma": 2}, 3), "q_normal": ({"mu": 3.2}, 3),
    "log_normal": ({"mu": 1}, math.e), "q_log_normal": ({"mu": 1, "q": 0.1}, 2.7),
    "beta": ({"a": 2, "b": 2}, 0.5), "q_beta": ({"a": 2, "b": 2, "q": 0.25}, 0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_distribution_of_w_and_b_has_its_median_and_stays_in_its_bounds(name: str) -> None:
    spec, median = MEDIANS[name]
    drawn = domain({"distribution": name, **spec}, "x").draws("key", 0, 2001)
    assert domain({"distribution": name, **spec}, "x").quantile(0.5) == pytest.approx(median)
    assert sorted(drawn)[1000] == pytest.approx(median, rel=0.15, abs=max(0.06, spec.get("q", 0)))
    if (
        name.endswith(("uniform", "values"))
        and "min" in spec
        and not name.startswith(("log_uniform", "inv_log_uniform", "q_log"))
    ):
        assert spec["min"] <= min(drawn) <= max(drawn) <= spec["max"]


def test_a_grid_may_name_whole_numbers_and_steps_by_their_ends(tmp_path: Path) -> None:
    steps = "lr_scale: {distribution: q_uniform, min: 0.1, max: 0.4, q: 0.1}"
    text = f"parameters: {{{ONE}, seed: {{min: 0, max: 3}}, {steps}}}"
    cells = cells_of(load_sweep(write(tmp_path, text)))
    assert len(cells) == 16
    assert {c.config.train.lr_scale for c in cells} == {0.1, 0.2, 0.3, 0.4}


@pytest.mark.parametrize(
    "key", ["early_terminate: {type: hyperband, min_iter: 3}", "job: a/b", "image_uri: a/b", "method: bayes"]
)
def test_what_only_w_and_b_can_do_is_refused_by_name_here_and_passed_on_to_it(key: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"{key}\nmetric: {{name: heldout, goal: minimize}}\nparameters: {{{ONE}}}")
    with pytest.raises(MdlError, match=rf"{key.partition(':')[0]}.*run 'mdl sweep FILE --backend wandb'"):
        plan_sweep(path, tmp_path)
    assert load_sweep(path).content["metric"] == {"name": "heldout", "goal": "minimize"}


def test_agents_and_this_process_write_to_one_place(tmp_path: Path) -> None:
    path = write(tmp_path, f"command: [mdl, run, --sweep, mine, --out, there]\nparameters: {{{ONE}}}")
    assert load_sweep(path).name == "mine", "where the file has no name its command's is taken"
    with pytest.raises(MdlError, match="say --runs there here too"):
        plan_sweep(path, Path("runs"))
    assert plan_sweep(path, Path("there")).paths.root == Path("there/mine")
    assert command_of({"command": ["mdl", "run", "x"]}, "mine", Path("o")) == [
        "mdl",
        "run",
        "--sweep",
        "mine",
        "--runs",
        "o",
        "x",
    ]


def test_an_agents_words_may_nest_and_say_none_and_no_key_stands_twice(tmp_path: Path) -> None:
    words = ["size=8x1", "train={'steps': 30, 'seed': 2}", "heldout_bytes=None"]
    (cell,) = plan_cell(words, "s", tmp_path).cells
    assert (cell.config.train.steps, cell.config.train.seed, cell.config.corpus.heldout_bytes) == (30, 2, None)
    with pytest.raises(MdlError, match=r"'train.steps' is given twice"):
        plan_cell(["size=8x1", "steps=3", "train.steps=4"], "s", tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(
        ["name", "method", "parameters", "command", "metric", "run_cap", "controller", "seed", "project", "program"]
    ),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
)
def test_any_value_of_any_key_is_a_sweep_or_one_line(
    key: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import yaml

    content = {"parameters": {"size": {"value": "8x1"}, "steps": {"values": [1, 2]}}, key: value}
    path = write(tmp_path_factory.mktemp("any"), yaml.safe_dump(content))
    said = ""
    try:
        assert cells_of(load_sweep(path))
    except MdlError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 700


def test_all_of_the_data_is_a_size_and_names_its_cells_by_their_bytes(tmp_path: Path) -> None:
    """Whatever a sweep varies of the corpus; in a file and in words, as if the number stood there."""
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 100)
    text = f"""
parameters:
  corpus.source: {{value: "file:{tmp_path}/a.txt"}}
  corpus.heldout_bytes: {{values: [600, 1KB]}}
  subset_bytes: {{values: [5KB, all]}}
  size: {{value: 8x1}}
"""
    cells = plan_sweep(write(tmp_path, text), tmp_path).cells
    assert sorted(cell.config.subset_bytes for cell in cells) == [5000, 5000, 24_600, 25_000]
    words = [f"source=file:{tmp_path}/a.txt", "size=8x1", "heldout_bytes=600"]
    (whole,) = plan_cell([*words, "subset_bytes=all"], "s", tmp_path).cells
    (same,) = plan_cell([*words, "subset_bytes=25000"], "s", tmp_path).cells
    assert whole.run_id == same.run_id in {cell.run_id for cell in cells}


BUDGETS = """
parameters:
  subset_bytes: {values: [10KB, 100KB]}
  size: {value: 8x1}
  train.seed: {values: [0, 1]}
  train.steps: {values: [1500, 3000, 6000, 12000, 24000]}
  train.decay_start: {value: 0.7}
"""


def test_budgets_of_a_cell_share_one_training_and_its_cost_is_counted_once(tmp_path: Path) -> None:
    """Five doublings cost two thirds of separate runs; the run ids are theirs."""
    plan = plan_sweep(write(tmp_path, BUDGETS), tmp_path)
    (cohort,) = plan.cohorts
    assert [branch.recipe.steps for branch in cohort.branches] == [1500, 3000, 6000, 12000, 24000]
    assert [len(member) for member in cohort.members] == [5] * 4
    assert cohort.trained_steps == 16_800 + 450 + 900 + 1800 + 3600 + 7200
    assert plan.bytes_seen == 4 * cohort.trained_steps * 4 * 256
    alone = [plan_sweep(write(tmp_path, one), tmp_path) for one in map(one_budget, (1500, 3000, 6000, 12000, 24000))]
    assert sorted(cell.run_id for one in alone for cell in one.cells) == sorted(cohort.run_ids)
    assert [one.cohorts[0].cohort_id for one in alone] == [branch.cohort_id for branch in cohort.branches]
    assert 0.66 < plan.training_flops / sum(one.training_flops for one in alone) < 0.67
    said = "1,500, 3,000, 6,000, 12,000 and 24,000 steps share their first ones (66% of the steps of separate runs)"
    assert said in describe_plan(plan)[0]


def one_budget(steps: int) -> str:
    return BUDGETS.replace("{values: [1500, 3000, 6000, 12000, 24000]}", f"{{value: {steps}}}")


def test_only_members_of_the_same_budgets_share_a_trunk(tmp_path: Path) -> None:
    """What each is trained for is all that it costs, whatever the others are; rates that fall at once share nothing."""
    cells = "cell: {values: [{seed: 0, steps: 10}, {seed: 0, steps: 20}, {seed: 1, steps: 20}, {seed: 2, steps: 20}]}"
    text = f"parameters:\n  size: {{value: 8x1}}\n  {cells}\n"
    cohorts = cohorts_of(cells_of(load_sweep(write(tmp_path, text))))
    assert [[cell.resolved.seed for cell in cohort.cells] for cohort in cohorts] == [[0, 0], [1, 2]]
    assert sum(cohort.bytes_seen for cohort in cohorts) == (10 + 5 + 10 + 2 * 20) * 4 * 256
    at_once = cohorts_of(cells_of(load_sweep(write(tmp_path, text + "  decay_start: {value: 0}\n"))))
    assert [len(cohort.cells) for cohort in at_once] == [1, 3]


def test_memory_counts_members_and_never_parts_the_budgets_of_one(tmp_path: Path) -> None:
    (cohort,) = plan_sweep(write(tmp_path, BUDGETS), tmp_path).cohorts
    each = training_bytes(cohort.shape, 4)
    split = plan_sweep(write(tmp_path, BUDGETS + f"  memory_bytes: {{value: {int(2.5 * each)}}}\n"), tmp_path)
    assert [(len(one.members), len(one.branches)) for one in split.cohorts] == [(2, 5), (2, 5)]
    assert [len(half.members) for half in cohort.halves] == [2, 2]
    assert [branch.recipe.steps for branch in cohort.halves[0].branches] == [1500, 3000, 6000, 12000, 24000]


def test_cohorts_of_one_budget_keep_their_names(tmp_path: Path) -> None:
    """Running claims, checkpoints and queued tasks of older sweeps go by them."""
    found = cohorts_of(cells_of(load_sweep(write(tmp_path, GRID))))
    assert [cohort.cohort_id for cohort in found] == ["8x1-4d922feb", "16x1-887e80de", "16x2-9c049c90"]


def test_a_prequential_cell_takes_one_number_of_steps(tmp_path: Path) -> None:
    text = f"parameters: {{{ONE}, objective: {{value: prequential}}, steps: {{values: [100, 200]}}}}"
    assert "train.steps: a prequential run takes one value" in refusal(text, tmp_path)
    assert "got 100 and 200" in refusal(text, tmp_path)
    by_size = "{values: [{subset_bytes: 10KB, steps: 100}, {subset_bytes: 20KB, steps: 200}]}"
    text = f"parameters: {{size: {{value: 8x1}}, objective: {{value: prequential}}, cell: {by_size}}}"
    assert len(cells_of(load_sweep(write(tmp_path, text)))) == 2


@pytest.mark.parametrize(
    "written",
    ["size: ladder(2K, 20K, 3)", "size: {value: 'ladder(2K, 20K, 3)'}", "model.size: {values: 'ladder(2K, 20K, 3)'}",
     "model: {parameters: {size: 'ladder(2K, 20K, 3)'}}"],
)  # fmt: skip
def test_a_ladder_stands_for_its_sizes(written: str, tmp_path: Path) -> None:
    """However it is written; what W&B is given has the sizes themselves."""
    sweep = load_sweep(write(tmp_path, f"parameters:\n  subset_bytes: {{value: 10KB}}\n  {written}\n"))
    assert list(sweep.parameters["model.size"].values or ()) == ["8x1", "14x2", "20x3"]
    assert "ladder" not in str(sweep.content)
    with pytest.raises(MdlError, match=r"parameter 'size': 'ladder.2K, 20K, 99.': .* there are 8 shapes"):
        load_sweep(write(tmp_path, "parameters:\n  size: ladder(2K, 20K, 99)\n"))
