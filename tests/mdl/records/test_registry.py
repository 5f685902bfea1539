"""One mechanism for every kind of thing that can be added."""

import sys
from pathlib import Path

import pytest

from mdl.errors import MdlError
from mdl.records import Registry


def kind_with_a_built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    """A registry whose `plain` stands in a module that registers it when it is imported."""
    (tmp_path / "brings_plain.py").write_text("KIND.register('plain', 'as it is')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "brings_plain", raising=False)
    kind: Registry[str] = Registry("coder", {"plain": "brings_plain"})
    monkeypatch.setattr("builtins.KIND", kind, raising=False)
    return kind


def test_what_comes_along_is_imported_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kind_with_a_built_in(tmp_path, monkeypatch)
    assert list(kind) == ["plain"]
    assert "plain" in kind
    assert "brings_plain" not in sys.modules
    assert kind["plain"] == "as it is"
    assert "brings_plain" in sys.modules


def test_a_typo_is_told_the_nearest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kind_with_a_built_in(tmp_path, monkeypatch)
    kind.register("fancy", "with care")
    with pytest.raises(
        MdlError, match="unknown coder 'fanzy'; did you mean 'fancy'\\? \\(there are plain, fancy; --plugin FILE adds"
    ):
        kind["fanzy"]


@pytest.mark.parametrize("name", ["plain", "fancy"])
def test_no_second_thing_takes_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that comes along, though nobody asked for it yet, nor one that was added."""
    kind = kind_with_a_built_in(tmp_path, monkeypatch)
    kind.register("fancy", "with care")
    with pytest.raises(MdlError, match=f"there is a coder '{name}' already; give yours another name"):
        kind.register(name, "another")
    assert kind.register("fancy", kind["fancy"]) == "with care"  # the same again, as a file imported twice does
