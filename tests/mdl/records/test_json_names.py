"""Names of schema 1 are for ever: what Python calls by another name has its old one in JSON and in tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.records import load
from mdl.errors import MdlError
from mdl.records import read_cell, to_json
from tests import ROOT
from tests.synthetic import cell, write_sweep

RECORD = next((ROOT / "reports/quick/records").glob("*/record.json"))


def test_a_record_is_written_as_it_was_read_and_keys_that_came_later_say_none() -> None:
    written = without_none(json.loads(to_json(read_cell(RECORD))))
    assert json.dumps(written) == json.dumps(without_none(json.loads(RECORD.read_bytes()))), "in the same order too"


def without_none(content: Any) -> Any:
    """The same without keys that are null."""
    if isinstance(content, dict):
        return {key: without_none(value) for key, value in content.items() if value is not None}
    return [without_none(value) for value in content] if isinstance(content, list) else content


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
