"""The reference pages leave out no command, option, key, field, public name or environment variable."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
import typer

import analysis
import mdl
from analysis.costs import COSTS
from mdl.cli.app import app
from mdl.compressors import REGISTRY as CODERS
from mdl.config.flat_keys import valid_keys
from mdl.data import SOURCES
from mdl.records import CellRecord
from tests import ROOT


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs/generated.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(generated: ModuleType, name: str) -> str:
    """As Sphinx is given it."""
    content = [(ROOT / "docs" / name).read_text()]
    generated._fill(None, name, content)
    return content[0]


def test_every_command_and_every_option_that_help_shows(generated: ModuleType) -> None:
    text = page(generated, "reference/commands.md")
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert (f"## `mdl {name}`" in text) is not command.hidden
        if not command.hidden:
            part = text.partition(f"## `mdl {name}`")[2].partition("\n## ")[0]
            shown = [p for p in command.params if not getattr(p, "hidden", False) and p.param_type_name == "option"]
            assert [o for p in shown for o in p.opts if not re.search(rf"(?<![\w-]){o}(?![\w-])", part)] == []


def test_every_key_of_a_sweep_file(generated: ModuleType) -> None:
    text = page(generated, "reference/sweep_keys.md")
    assert [key for key in valid_keys() if f"`{key}`" not in text] == []


def test_every_field_of_a_record_and_every_key_of_a_summary(generated: ModuleType) -> None:
    text = page(generated, "reference/records.md")
    fields = [*CellRecord.__dataclass_fields__, "context_bytes", "critical", "laws"]
    assert [name for name in fields if f"| `{name}` |" not in text] == []
    assert [line for line in text.splitlines() if line.endswith("|  |")] == []  # each says what it means


def test_every_public_name(generated: ModuleType) -> None:
    text = page(generated, "reference/python.md")
    for package in (mdl, analysis):
        assert [name for name in package.__all__ if f":: {package.__name__}.{name}\n" not in text] == []


def test_every_name_that_is_registered(generated: ModuleType) -> None:
    text = page(generated, "reference/names.md")
    assert [name for name in [*CODERS, *COSTS] if f"| `{name}` |" not in text] == []
    assert [kind.form for kind in SOURCES.values() if f"`{kind.form}`" not in text] == []


def test_every_environment_variable_that_the_code_reads(generated: ModuleType) -> None:
    text = page(generated, "reference/environment.md")
    code = "".join(path.read_text() for package in ("mdl", "analysis") for path in (ROOT / package).rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get\(|\[)\s*[\"']([A-Z][A-Z_]+)", code)) | set(
        re.findall(r'"(MDL_[A-Z_0-9]+)"', code)
    )
    assert len(read) > 8
    assert [name for name in sorted(read) if f"`{name}`" not in text] == []


def test_no_place_is_left_open(generated: ModuleType) -> None:
    """A page that asks for what there is not fails here, without Sphinx."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    asking = [path for path in pages if "<!-- generated:" in path.read_text()]
    assert len(asking) >= 7
    for path in asking:
        assert "<!-- generated:" not in page(generated, str(path.relative_to(ROOT / "docs")))


def test_a_page_with_gaps_says_so_in_the_source_alone(generated: ModuleType) -> None:
    """Whoever reads it without building it learns below the title what is missing, and where that stands."""
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = path.read_text()
        has_gaps = "<!-- generated:" in text or "```{include}" in text
        below_the_title = text.partition("\n\n")[2]
        assert below_the_title.startswith("> **Built page only.** ") is has_gaps, path.name
        built = page(generated, str(path.relative_to(ROOT / "docs")))
        assert "Built page only" not in built
        assert built.partition("\n")[0] == text.partition("\n")[0]


def test_python_begins_with_what_most_readers_look_for(generated: ModuleType) -> None:
    names = re.findall(r"^## `([\w.]+)`$", page(generated, "reference/python.md"), re.MULTILINE)
    assert names[:3] == ["mdl.size", "mdl.run", "mdl.measure"]
    assert names[len(mdl.__all__)] == "analysis.load"
    assert len(names) == len(set(names)) == len(mdl.__all__) + len(analysis.__all__)


def test_the_glossary_has_the_definitions_that_reports_print(generated: ModuleType) -> None:
    """python docs/generated.py writes it anew."""
    assert (ROOT / "docs/glossary.md").read_text() == generated.glossary()
