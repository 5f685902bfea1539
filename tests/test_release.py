"""What a release says of itself is the same everywhere."""

import re
import tomllib
from pathlib import Path

import mdl
from mdl.storage.optional_import import DISTRIBUTION

ROOT = Path(mdl.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_one_semantic_version_in_the_citation_and_the_changelog_too() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", mdl.__version__)
    assert PROJECT["dynamic"] == ["version"]
    assert f"\nversion: {mdl.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == mdl.__version__


def test_the_distribution_and_its_extras_are_those_that_messages_and_pages_name() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert PROJECT["scripts"] == {"mdl": "mdl.cli:main"}
    named = set()
    for file in [*ROOT.glob("mdl/**/*.py"), *ROOT.glob("docs/**/*.md"), ROOT / "README.md"]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"pip install '?mdl\b(?!-critical)", text), f"{file} names another distribution"
        named |= set(re.findall(r"import_optional\([^)]*extra=\"(\w+)\"", text)) | set(
            re.findall(rf"{DISTRIBUTION}\[(\w+)\]", text)
        )
    assert named >= {"media", "tokens", "pretrained"}
    assert named <= set(PROJECT["optional-dependencies"])
