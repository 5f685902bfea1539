"""`analysis` stands alone: it reads records, and needs nothing of what made them."""

import subprocess
import sys
from pathlib import Path

import pytest

import analysis

_FILES = sorted(Path(analysis.__file__).parent.rglob("[a-z]*.py"))
MODULES = [
    "analysis",
    *(".".join(p.relative_to(Path(analysis.__file__).parents[1]).with_suffix("").parts) for p in _FILES),
]


def loaded_by(module: str) -> set[str]:
    """Top-level packages in a fresh interpreter after importing a module."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_imports_what_makes_records(module: str) -> None:
    assert not loaded_by(module) & {"mdl", "torch", "lightning", "pytorch_lightning", "wandb", "pydantic", "datasets"}


@pytest.mark.parametrize("module", ["analysis.records.tables", "analysis.report.build", "analysis.report.contents"])
def test_figures_and_typesetting_are_loaded_only_when_used(module: str) -> None:
    assert not loaded_by(module) & {"matplotlib", "seaborn", "scipy", "typst"}
