"""Lightning is imported without what its metrics of pictures, texts and sound would bring; these stay to be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
sys.path.append({folder!r})
{before}
from mdl.training.lightning_import import import_torchmetrics
import_torchmetrics()
import pytorch_lightning, torchmetrics
from lightning_utilities.core.imports import RequirementCache
not_needed = ("matplotlib", "scipy", "torchvision", "transformers")
print([name for name in not_needed if name in sys.modules], torchmetrics.Metric.__name__)
import matplotlib, scipy.signal, transformers
print(transformers.__name__, bool(RequirementCache("transformers>=4")), bool(RequirementCache("scipy>=1")))
"""


def said(before: str, folder: Path) -> list[str]:
    """With a torchvision that, as the real one, has a version, and that nobody may import."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision/__init__.py").write_text("raise SystemExit('imported')")
    (folder / "torchvision-0.20.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.20\n"
    (folder / "torchvision-0.20.dist-info/METADATA").write_text(metadata)
    code = CODE.format(folder=str(folder), before=before)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_is_not_needed_is_not_imported_and_can_be_later(tmp_path: Path) -> None:
    assert said("", tmp_path) == ["[] Metric", "transformers True True"]


def test_what_was_imported_before_is_left_to_it(tmp_path: Path) -> None:
    """A user's own code may have."""
    assert said("import scipy, transformers", tmp_path)[0] == "['scipy', 'transformers'] Metric"
