"""Names of schema 1 are for ever: what Python calls by another name has its old one in JSON and in tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.records import load
from mdl.errors import MdlError
from mdl.records import read_cell, to_json
from tests import ROOT
from tests.synthetic import cell, write_sweep

RECORD = next((ROOT / "reports/quick/records").glob("*/record.json"))


def test_a_record_is_written_with_the_bytes_that_were_read() -> None:
    assert to_json(read_cell(RECORD)) == RECORD.read_bytes()


def test_a_context_is_of_tokens_in_python_and_keeps_its_key(tmp_path: Path) -> None:
    record = cell("8x1", 10_000, 4e4, context_bytes=512)
    assert record.model.context_tokens == 512
    folder = write_sweep(tmp_path / "s", [record])
    assert json.loads((folder / record.run_id / "record.json").read_text())["model"]["context_bytes"] == 512
    assert load(folder).runs["context_bytes"].tolist() == [512]


def test_an_error_names_the_key_that_the_file_has(tmp_path: Path) -> None:
    content = json.loads(RECORD.read_text())
    del content["model"]["context_bytes"]
    path = tmp_path / "record.json"
    path.write_text(json.dumps(content))
    with pytest.raises(MdlError, match=r"model\.context_bytes is missing"):
        read_cell(path)
