"""Whatever a record holds, it is read, or refused in one line that names the file and the field; never a traceback."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.costs import PAPER
from analysis.errors import AnalysisError
from analysis.records import load
from analysis.report.summary import summarise
from analysis.study import study
from mdl.errors import MdlError
from mdl.records import RunPaths, read_cell, read_ending, read_manifest, shown, to_json
from tests.synthetic import cell, write_sweep

TEXT = st.text(st.characters(categories=None), max_size=5)  # NUL, ESC, bidirectional and half characters among them
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.just(10**400) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
WHOLE: dict[str, Any] = json.loads(to_json(cell("8x1", 10_000, 4e4)))


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of a record, by its way there."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*at, name))


PLACES = list(places(WHOLE))


def changed(at: tuple[Any, ...], value: Any) -> bytes:
    record = json.loads(json.dumps(WHOLE))
    inner = record
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = value
    return json.dumps(record).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("s") / "s", [cell("8x1", 10_000, 4e4), cell("16x1", 10_000, 3e4)])


def record_in(folder: Path) -> Path:
    return folder / WHOLE["run_id"] / "record.json"


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.sampled_from(PLACES), value=JSON)
def test_any_value_in_any_field_is_read_and_explained_or_refused_in_one_line(
    folder: Path, at: tuple[Any, ...], value: Any
) -> None:
    path = record_in(folder)
    path.write_bytes(changed(at, value))
    told = [refusal(lambda: read_cell(path)), refusal(lambda: read_ending(path))]
    assert all(line is None or (line == shown(line) and str(path) in line) for line in told)
    refused = refusal(lambda: written(folder))
    assert refused is None or refused == shown(refused)


def refusal(act: Callable[[], object]) -> str | None:
    """The line that it is refused with; None where it is not."""
    try:
        act()
    except (MdlError, AnalysisError) as error:
        return str(error)
    return None


def written(folder: Path) -> bytes:
    """All numbers of its report, as they are written."""
    explained = study(load(folder), PAPER)
    return json.dumps(summarise(explained), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        ("model.n_params", 10**20, "model.n_params is 1000"),
        ("model.n_params", 2**63, "model.n_params is 9223372036854775808, want a whole number of at least 1, below"),
        ("subset_bytes", 10**400, "subset_bytes is 1000"),
        ("corpus.leak_fraction", 1.5, "corpus.leak_fraction is 1.5, want a number of 0 to 1"),
        ("training.flops", 1e301, r"training.flops is 1e\+301"),
        ("snapshots.0.segments.1.code_bits", -1, r"snapshots\[0\].segments\[1\].code_bits is -1"),
        ("snapshots.0.weights_file", "../../outside.safetensors", r"weights_file is '../../outside.safetensors', want"),
        ("snapshots.0.weights_file", "a\0b", "weights_file is"),
        ("provenance.hostname", "h\x1b[31m", r"provenance.hostname is 'h\\x1b\[31m'"),
        ("provenance.command", "\ud800", r"provenance.command is '\\ud800'"),
        ("corpus.source", "file:\udfff", "corpus.source is"),
        ("provenance.created", "yesterday", "provenance.created is 'yesterday', want a time"),
        ("provenance.created", "2026-13-01T00:00:00", "want a time"),
        ("snapshots.1.name", "best", "snapshots has 'best' twice"),
        ("schema_version", True, "schema_version is True"),
        ("schema_version", -1, "schema_version is -1"),
        ("config.subset_bytes", "-5", "config.subset_bytes is '-5', want"),
        ("config.corpus.heldout_bytes", [1], "config.corpus.heldout_bytes is"),
        ("config.x", 10**400, "config.x is 1000"),
        ("run_id", "../elsewhere", "run_id is '../elsewhere', want the name of a file"),
    ],
)
def test_what_a_field_may_not_hold_is_refused_by_its_name(folder: Path, at: str, value: Any, said: str) -> None:
    path = record_in(folder)
    way = tuple(int(p) if p.isdecimal() else p for p in at.split("."))
    way = way if way[0] != "config" else ("config", at.removeprefix("config."))
    path.write_bytes(changed(way, value))
    with pytest.raises(MdlError, match=said):
        read_cell(path)
    with pytest.raises(AnalysisError, match=said):
        load(folder)


@pytest.mark.parametrize("source", ["file:a\x1b]0;x\x07", "file:\u202egnp.txt", "file:a\nb"])
def test_what_a_path_may_hold_is_read_and_shown_escaped(folder: Path, source: str) -> None:
    """A file may be called so, and its records must stay readable."""
    path = record_in(folder)
    path.write_bytes(changed(("corpus", "source"), source))
    assert read_cell(path).corpus.source == source
    runs = load(folder).runs
    assert all(text.isprintable() for column in ("source", "group", "corpus") for text in runs[column])


@pytest.mark.parametrize("kind", ["endless", "pipe", "folder", "large", "deep"])
def test_a_record_that_is_no_plain_file_or_too_large_is_refused(tmp_path: Path, kind: str) -> None:
    folder = write_sweep(tmp_path / "s", [cell("8x1", 10_000, 4e4)])
    path = record_in(folder)
    path.unlink()
    if kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        with path.open("wb") as stream:
            stream.truncate(1 << 40)
    else:
        path.write_bytes(b"[" * 10**6)
    for read in (read_cell, read_ending, lambda _: load(folder)):
        with pytest.raises((MdlError, AnalysisError), match=r"not a plain file|bytes are read|at most|too deep"):
            read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"run_ids": [["a"]]}, r"run_ids\[0\] is \['a'\]"),
        ({"run_ids": [1]}, r"run_ids\[0\] is 1"),
        ({"run_ids": "abc"}, "run_ids is 'abc', want a list"),
        ({"name": "\x1b[2J"}, "name is"),
        ({"name": None}, "name is None"),
        ({"corpora": {"a": 5}}, "corpora.a is 5"),
        ({"wandb": 3}, "wandb is 3, want an object"),
        ({"created": "never"}, "created is 'never'"),
        ([], r"is \[\], want an object"),
    ],
)
def test_a_manifest_is_checked_as_a_record_is(tmp_path: Path, content: Any, said: str) -> None:
    folder = write_sweep(tmp_path / "s", [cell("8x1", 10_000, 4e4)])
    (folder / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(MdlError, match=said):
        read_manifest(RunPaths(folder))
    with pytest.raises(AnalysisError, match=said):
        load(folder)
