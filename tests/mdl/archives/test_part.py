"""A killed command goes on where it was: what it writes in the end is what it would have written unbroken."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from mdl.archives import Part, header, part, resumable
from mdl.compressors import compress_stream, load_model
from mdl.models import Shape, StackedTransformer
from mdl.models.weights_file import save_weights
from tests.command import assert_one_line, mdl
from tests.conftest import markov_text

TEXT, CPU = markov_text(12_000), torch.device("cpu")
# A plugin: blocks of 2 KB and no wait before a memory is kept; the process is killed at the n-th call of a method.
PLUGIN = """
import os, signal
from mdl.archives import header, part
header._BLOCK_BYTES, header._MIXED_LANE_BYTES, header._MIXED_LANES, header.MAX_BLOCK_BYTES = 2048, 256, 8, 2048
part._FIRST_BYTES_A_SECOND, part._SHARE = 1e18, {share}
usual, calls = part.Part.{method}, 0

def counted(*arguments, **named):
    global calls
    calls += 1
    if calls == {n}:
        os.kill(os.getpid(), signal.SIGKILL)
    return usual(*arguments, **named)

part.Part.{method} = counted
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A text and a model."""
    (tmp_path / "book.txt").write_bytes(TEXT)
    model = StackedTransformer(Shape(8, 1, 1, context_tokens=32, block=2), [0])
    save_weights(tmp_path / "w.safetensors", model.shape, model.member(0))
    return tmp_path


def plugin(folder: Path, method: str = "add", n: int = 0, share: float = 1e9) -> tuple[str, str]:
    (folder / "plugin.py").write_text(PLUGIN.format(method=method, n=n, share=share))
    return "--plugin", "plugin.py"


def said(folder: Path, *words: str | Path) -> str:
    done = mdl(*words, "--device", "cpu", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stderr


def killed(folder: Path, *words: str | Path) -> None:
    assert mdl(*words, "--device", "cpu", cwd=folder).returncode == -signal.SIGKILL


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


HOW = {"plain": (), "overlapping": ("--stride-bytes", "8"), "mixed": ("--contexts",)}


@pytest.mark.parametrize("how", [pytest.param(how, marks=[pytest.mark.slow] * (how != "plain")) for how in HOW])
def test_compress_and_decompress_go_on_after_a_kill(how: str, folder: Path) -> None:
    """Killed at the fourth block, and again; the archive is that of an unbroken run, and so is what it holds."""
    model, usual = ("--model", "w.safetensors"), plugin(folder)
    said(folder, "compress", "book.txt", "-o", "whole.mdl", *model, *HOW[how], *usual)
    words = ("compress", "book.txt", "-o", "x.mdl", *model, *HOW[how])
    for n in (4, 2):
        killed(folder, *words, *plugin(folder, "add", n))
    assert len(parts(folder)) == 1
    assert "compressing goes on at 8.2 of 12.0 KB (.x.mdl." in said(folder, *words, *plugin(folder))
    assert (folder / "x.mdl").read_bytes() == (folder / "whole.mdl").read_bytes()
    assert parts(folder) == []
    words = ("decompress", "x.mdl", "-o", "again.txt", *model)
    killed(folder, *words, *plugin(folder, "decoded_more", 4))
    assert not (folder / "again.txt").exists()
    assert "unpacking goes on at " in said(folder, *words, *plugin(folder))
    assert (folder / "again.txt").read_bytes() == TEXT
    assert parts(folder) == []


@pytest.mark.slow
def test_without_a_memory_mixed_blocks_begin_anew_and_a_torn_one_is_not_used(folder: Path) -> None:
    """What contexts learned is kept at times only; a file whose end never reached the disk is none."""
    model = ("--model", "w.safetensors", "--contexts")
    said(folder, "compress", "book.txt", "-o", "whole.mdl", *model, *plugin(folder))
    words = ("compress", "book.txt", "-o", "x.mdl", *model)
    killed(folder, *words, *plugin(folder, "add", 4))
    left = folder / parts(folder)[0]
    content = (left / "memory").read_bytes()
    (left / "memory").write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    assert "goes on" not in said(folder, *words, *plugin(folder))
    assert (folder / "x.mdl").read_bytes() == (folder / "whole.mdl").read_bytes()


def test_ctrl_c_keeps_what_contexts_have_learned_as_of_the_last_time_it_was_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks after that are coded again; where nothing was done yet nothing stays."""
    for name, value in {"_MIXED_LANE_BYTES": 256, "_MIXED_LANES": 8}.items():
        monkeypatch.setattr(header, name, value)
    monkeypatch.setattr(part, "_FIRST_BYTES_A_SECOND", 1e18)
    exact, usual, target, told = load_model(folder / "w.safetensors", CPU), part.Part.add, folder / "x.mdl", []

    def code(n_blocks: int) -> None:
        left = iter(range(n_blocks))

        def add(*arguments: object) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            usual(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(part.Part, "add", add)
        with resumable(target, {}, n_bytes=len(TEXT), what="it", say=told.append) as kept:
            compress_stream(io.BytesIO(TEXT), kept.anew(), exact, bucket_bits=10, part=kept)

    whole = io.BytesIO()
    compress_stream(io.BytesIO(TEXT), whole, exact, bucket_bits=10)
    for n_blocks, stays in ((0, 0), (3, 1), (2, 1)):  # the memory is written after the first block of each
        with pytest.raises(KeyboardInterrupt):
            code(n_blocks)
        assert len(parts(folder)) == stays
    code(100)
    assert [text.split(" (")[0] for text in told] == ["it goes on at 2.0 of 12.0 KB", "it goes on at 4.1 of 12.0 KB"]
    assert target.read_bytes() == whole.getvalue()
    assert parts(folder) == []


def test_stopped_before_it_begins_it_leaves_nothing_new_and_keeps_what_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the folder is made, and while a model loads before the first block is looked at."""
    exact, target = load_model(folder / "w.safetensors", CPU), folder / "x.mdl"

    def open_part() -> AbstractContextManager[Part]:
        return resumable(target, {}, n_bytes=len(TEXT), what="it")

    monkeypatch.setattr(header, "_BLOCK_BYTES", 2048)
    with monkeypatch.context() as patch:
        patch.setattr(part, "_others", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_part().__enter__()
        assert parts(folder) == []
    with pytest.raises(KeyboardInterrupt), open_part() as kept:
        compress_stream(io.BytesIO(TEXT), kept.anew(), exact, progress=stop_after(4096), part=kept)
    blocks = next(folder.glob(".*.part")) / "blocks"
    before = blocks.read_bytes()
    assert before
    with monkeypatch.context() as patch:
        patch.setattr(part, "_others", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_part().__enter__()
    with pytest.raises(KeyboardInterrupt), open_part() as kept:
        raise_interrupt(kept.anew())
    assert blocks.read_bytes() == before


def raise_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def stop_after(n_bytes: int) -> Callable[[int], None]:
    left = n_bytes

    def progress(done: int) -> None:
        nonlocal left
        left -= done
        if left <= 0:
            raise KeyboardInterrupt

    return progress


def test_a_log_cut_anywhere_is_used_as_far_as_it_is_sound(folder: Path) -> None:
    """As a machine leaves it that goes away."""
    words = ("compress", "book.txt", "-o", "x.mdl", "--model", "w.safetensors")
    killed(folder, *words, *plugin(folder, "add", 5))
    left = folder / parts(folder)[0]
    log = (left / "blocks").read_bytes()
    (left / "blocks").write_bytes(log[:-3] + bytes(3))
    assert "goes on at 6.1 of 12.0 KB" in said(folder, *words, *plugin(folder))
    said(folder, "decompress", "x.mdl", "-o", "again.txt", "--model", "w.safetensors")
    assert (folder / "again.txt").read_bytes() == TEXT


def test_what_is_of_other_bytes_or_options_is_not_used_and_goes_in_the_end(folder: Path) -> None:
    """It is told of; even where it is put under the name of the right one."""
    model = ("--model", "w.safetensors")
    said(folder, "compress", "book.txt", "-o", "whole.mdl", *model, *plugin(folder))
    killed(folder, "compress", "book.txt", "-o", "x.mdl", *model, "--stride-bytes", "8", *plugin(folder, "add", 4))
    other = parts(folder)
    killed(folder, "compress", "book.txt", "-o", "x.mdl", *model, *plugin(folder, "add", 4))
    right = (set(parts(folder)) - set(other)).pop()
    shutil.rmtree(folder / right)
    shutil.copytree(folder / other[0], folder / right)
    told = said(folder, "compress", "book.txt", "-o", "x.mdl", *model, *plugin(folder))
    assert f"note: {other[0]} is left of other bytes, another model or other options: it is not used" in told
    assert "goes on" not in told
    assert (folder / "x.mdl").read_bytes() == (folder / "whole.mdl").read_bytes()
    assert parts(folder) == []


def test_the_same_file_is_written_by_one_process_at_a_time(folder: Path) -> None:
    with resumable(folder / "x.mdl", {}, n_bytes=1, what="x") as kept:
        script = (
            "from pathlib import Path\nfrom mdl.archives import resumable\nfrom mdl.errors import MdlError\n"
            "try:\n    resumable(Path('x.mdl'), {}, n_bytes=1, what='x').__enter__()\n"
            "except MdlError as error:\n    print(error)\n"
        )
        (folder / "plugin.py").write_text(script)
        assert (
            "another process is writing the same"
            in mdl("--plugin", "plugin.py", "-h", cwd=folder).stdout
            + mdl("baselines", "--plugin", "plugin.py", "nothing", cwd=folder).stdout
        )
        assert kept.folder.is_dir()
    assert (folder / "x.mdl").read_bytes() == b""
    assert parts(folder) == []


def test_another_model_and_a_pipe_leave_nothing(folder: Path) -> None:
    """Nothing of what cannot be finished is kept; of a pipe, which is gone then, nothing but what is being written."""
    model = ("--model", "w.safetensors")
    said(folder, "compress", "book.txt", "-o", "x.mdl", *model)
    (folder / "y.safetensors").write_bytes((folder / "w.safetensors").read_bytes()[:-4] + bytes(4))
    assert_one_line(mdl("decompress", "x.mdl", "-o", "no.txt", "--model", "y.safetensors", cwd=folder), "made with")
    assert parts(folder) == []
    words = ("compress", "/dev/stdin", "-o", "piped.mdl", *model, *plugin(folder, "__init__", 1))  # never called
    piped = subprocess.run([sys.executable, "-m", "mdl.cli", *words], cwd=folder, input=TEXT, timeout=60)
    assert piped.returncode == 0
    assert parts(folder) == []
    said(folder, "decompress", "piped.mdl", "-o", "again.txt", *model)
    assert (folder / "again.txt").read_bytes() == TEXT
