"""A plugin of several files: what it imports of its own folder is part of its hash, and is found as for a script."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import TINY, assert_one_line, mdl, records
from tests.conftest import markov_text

PLUGIN = """
import mdl
from layers import Gru
from parts.head import make_head

def make(shape):
    import rarely
    return Gru(shape.width, make_head)

mdl.register_architecture("own_gru", make)
"""
LAYERS = """
import math
from torch import nn

class Gru(nn.Module):
    predicts = "next"

    def __init__(self, width, make_head):
        super().__init__()
        self.embedding = nn.Embedding(256, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = make_head(width)

    def forward(self, windows):
        return self.head(self.gru(self.embedding(windows))[0])
"""
HEAD = """
from torch import nn
from . import sizes

def make_head(width):
    return nn.Linear(width, sizes.BYTES)
"""
# Without torch, which takes a second to import.
FILES = {
    "mine.py": PLUGIN,
    "layers.py": "import math\nGru = math.sqrt\n",
    "parts/__init__.py": "from .sizes import BYTES\n",
    "parts/head.py": "from . import sizes\nmake_head = sizes.BYTES\n",
    "parts/sizes.py": "BYTES = 256\n",
    "rarely.py": "",
    "notes.py": "nobody imports this\n",
}
IMPORTED = ("layers.py", "parts/__init__.py", "parts/head.py", "parts/sizes.py", "rarely.py")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run(folder: Path, code: str) -> str:
    """What Python prints for some code, started elsewhere than in the folder."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() + done.stderr.strip()


def sha256_of(folder: Path, name: str = "mine.py") -> str:
    told = run(folder, f"import mdl; print(mdl.load_plugin({str(folder / name)!r}))")
    assert re.fullmatch("[0-9a-f]{64}", told), told
    return told


def edit(file: Path) -> None:
    file.write_text(file.read_text() + "\n# edited\n")


def test_the_hash_of_one_file_is_that_of_its_source(tmp_path: Path) -> None:
    source = "import math, torch, mdl, analysis\n"
    write(tmp_path, {"one.py": source, "two.py": ""})
    assert sha256_of(tmp_path, "one.py") == hashlib.sha256(source.encode()).hexdigest()


def test_every_imported_file_is_part_of_the_hash(tmp_path: Path) -> None:
    """Of a module, a package, what is imported from within it, by dots, in a function; undone, it is the old one."""
    before = sha256_of(write(tmp_path, FILES))
    found = {before}
    for name in IMPORTED:
        edit(tmp_path / name)
        found.add(sha256_of(tmp_path))
        (tmp_path / name).write_text(FILES[name])
    assert len(found) == 1 + len(IMPORTED)
    assert sha256_of(tmp_path) == before


def test_nothing_else_is_part_of_it(tmp_path: Path) -> None:
    """Neither other files, nor where the folder lies, nor what was imported in which order, nor what imports leave."""
    before = sha256_of(write(tmp_path / "here", FILES))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    edit(tmp_path / "there/notes.py")
    (tmp_path / "there/rarely.pyc").write_bytes(b"")
    assert sha256_of(tmp_path / "there") == before
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_name_that_is_computed_counts_too(tmp_path: Path) -> None:
    files = {"mine.py": "import importlib\nimportlib.import_module('lay' + 'ers')\n", "layers.py": "import deeper\n"}
    before = sha256_of(write(tmp_path, files | {"deeper.py": ""}))
    assert before != hashlib.sha256(files["mine.py"].encode()).hexdigest()
    edit(tmp_path / "deeper.py")
    assert sha256_of(tmp_path) != before


@pytest.mark.slow
def test_files_beside_it_do_not_stand_in_for_pythons_and_mdls_own(tmp_path: Path) -> None:
    """Nor a folder for what is installed; a plugin may lie in any folder of work."""
    source = (
        "import mdl, torch\nimport analysis.costs\nimport queue, yaml\nfrom mdl.compressors import register_coder\n"
    )
    broken = "raise RuntimeError('not this one')\n"
    write(tmp_path, {"mine.py": source, "analysis.py": broken, "queue.py": broken, "mdl/__init__.py": broken})
    (tmp_path / "yaml").mkdir()
    assert sha256_of(tmp_path) == hashlib.sha256(source.encode()).hexdigest()


def test_the_same_name_in_two_folders_is_one_line(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder, {f"{folder}.py": "import layers\n", "layers.py": ""})
    told = run(tmp_path / "a", f"import mdl; mdl.load_plugin({str(tmp_path / 'a/a.py')!r}); mdl.load_plugin("
               f"{str(tmp_path / 'b/b.py')!r})")  # fmt: skip
    assert told.endswith(
        f"it imports layers of its own folder, and {tmp_path / 'a/layers.py'} is loaded by that name; rename one"
    )


def test_an_edited_file_is_imported_anew_in_one_process(tmp_path: Path) -> None:
    """Of the same length, within the same second: what the hash says is what runs."""
    write(tmp_path, {"mine.py": "from layers import value\n", "layers.py": "from deeper import value\n",
                     "deeper.py": "def value():\n    return 1\n"})  # fmt: skip
    told = run(tmp_path, f"""
import mdl, pathlib
from mdl.plugins import function_of_plugin
folder = pathlib.Path({str(tmp_path)!r})
for n in (1, 2, 2):
    (folder / "deeper.py").write_text(f"def value():\\n    return {{n}}\\n")
    sha256 = mdl.load_plugin(folder / "mine.py")
    value, told = function_of_plugin("value")
    print(value(), told == sha256, sha256)
""")  # fmt: skip
    lines = [line.split() for line in told.splitlines()]
    assert [line[:2] for line in lines] == [["1", "True"], ["2", "True"], ["2", "True"]]
    assert lines[0][2] != lines[1][2] == lines[2][2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\nraise ValueError('bad day')\n", "layers.py, line 3: ValueError: bad day"),
        ("def f(:\n", "layers.py, line 1: SyntaxError"),
        ("import nowhere_at_all\n", "layers.py, line 1: ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ],
)
def test_a_fault_is_told_in_the_file_where_it_is(text: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, {"mine.py": "import layers\n", "layers.py": text})
    assert_one_line(mdl("status", "x.yaml", "--plugin", "mine.py", cwd=tmp_path), f"error: plugin {tmp_path / said}")


@pytest.mark.slow
def test_a_sweep_notices_an_edited_import_as_it_does_an_edited_plugin(tmp_path: Path) -> None:
    """Other run ids; workers, who load it anew, refuse another text by the plugin's name; undone, all is done."""
    write(tmp_path / "code", FILES | {"layers.py": LAYERS, "parts/head.py": HEAD})
    (tmp_path / "text.txt").write_bytes(markov_text(60_000))
    sweep = TINY.format(steps=3).replace("[2x1, 4x1, 8x1]", "[4x1]").replace("[10KB, 20KB]", "[10KB]")
    (tmp_path / "tiny.yaml").write_text(f"{sweep}  architecture: {{value: own_gru}}\n")
    words = ("sweep", "tiny.yaml", "--no-baselines", "--plugin", "code/mine.py")
    done = mdl(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    ((run_id, record),) = records(tmp_path / "runs/tiny").items()
    told = record["plugins"]["model.architecture"]
    assert told == sha256_of(tmp_path / "code")
    edit(tmp_path / "code/parts/sizes.py")
    edited = mdl(*words, "--dry-run", cwd=tmp_path)
    assert edited.returncode == 0, edited.stderr
    assert run_id not in edited.stdout
    late = {"MDL_PLUGIN": str(tmp_path / "code/mine.py"), "MDL_PLUGIN_SHA256": told}
    assert_one_line(mdl(*words, cwd=tmp_path, **late), "mine.py was changed while in use")
    (tmp_path / "code/parts/sizes.py").write_text(FILES["parts/sizes.py"])
    assert "1 done, 0 to do" in mdl(*words, cwd=tmp_path).stdout
