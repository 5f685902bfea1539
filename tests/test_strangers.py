"""Files of weights that others wrote, at every door that takes a model: what it is and how it comes in, in one line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from typer.testing import CliRunner

from mdl.cli.app import app
from mdl.errors import MdlError

LSTM = save({"lstm.weight_ih_l0": torch.zeros(8, 4), "lstm.weight_hh_l0": torch.zeros(8, 2)})
STRANGERS = {
    "a.safetensors": (LSTM, "another program's safetensors file (2 tensors, lstm.weight_hh_l0 the first)"),
    "cut.safetensors": (LSTM[:40], "no file of weights that is known here, or one cut short"),
    "b.pt": (b"PK\x03\x04" + bytes(60), "a zip archive, as torch.save"),
    "c.bin": (pickle.dumps({"w": [1.0]}), "a pickle (.pt, .bin, .pkl), which can run code"),
    "d.gguf": (b"GGUF" + bytes(60), "a GGUF file of llama.cpp"),
    "e.h5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "an HDF5 file"),
    "f.mdl": (b"\x93MDL\r\n\x1a\n" + bytes(60), "an archive of mdl, not weights"),
    "g.txt": (b"no weights at all, only a text", "no file of weights that is known here"),
    "empty.safetensors": (b"", "it is empty"),
}
DOORS = {
    "compress": ["compress", "text.txt", "--model", "{}"],
    "baselines": ["baselines", "text.txt", "--model", "{}"],
    "generate": ["generate", "--coder", "{}", "--prompt", "text.txt"],
    "pack": ["pack", "{}"],
    "inspect": ["inspect", "{}"],
    "evaluate": ["evaluate", "hf:{}", "text.txt"],
}


def refused(*command: str) -> str:
    """The one line that a command ends with."""
    result = CliRunner().invoke(app, [*command])
    assert isinstance(result.exception, MdlError), (result.exception, result.output)
    said = str(result.exception)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", STRANGERS)
def test_a_strangers_file_is_named_and_so_is_the_way_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written."""
    monkeypatch.chdir(tmp_path)
    content, what = STRANGERS[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "text.txt").write_bytes(b"some text " * 300)
    before = sorted(path.name for path in tmp_path.iterdir())
    for door, command in DOORS.items():
        said = refused(*(word.format(name) for word in command))
        assert name in said, (door, said)
        if door in ("compress", "baselines"):
            assert what in said, (door, said)
            assert "hf:FOLDER" in said or "mdl decompress" in said, (door, said)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_where_the_rest_of_a_model_lies_beside_it_the_folder_is_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (tmp_path / "m/model.safetensors").write_bytes(LSTM)
    (tmp_path / "text.txt").write_bytes(b"some text " * 300)
    for model in ("m/model.safetensors", "m", "hf:m/model.safetensors"):
        assert "hf:m" in refused("compress", "text.txt", "--model", model).removeprefix("hf:m/model.safetensors")
