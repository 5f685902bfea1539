"""A table of several groups names them; what they are called comes from their parts, not from their labels' letters."""

from __future__ import annotations

from analysis.records.groups import Group
from analysis.report.elements import Grid, named_grid
from analysis.report.group_names import with_group_column
from analysis.report.rows.records import GroupRow


def rows_of(*groups: Group) -> list[GroupRow]:
    return [{"group": group.label, "corpus": group.corpus, "parts": group.parts} for group in groups]


def first_column(*groups: Group) -> tuple[str, list[str]]:
    grid = named_grid(("a", "b"), [("1", "–")] * len(groups), "lr", [group.label for group in groups])
    assert grid.header == ("a",), "nothing is known in the second column"
    named = with_group_column(grid, rows_of(*groups))
    assert named.align == "ll"
    return named.header[0], [row[0] for row in named.rows]


def test_of_one_corpus_the_parts_alone_are_named_and_blanks_in_labels_are_not_shown() -> None:
    groups = [Group(corpus="a, b.txt", context=context) for context in ("   64", "1,024")]
    assert [group.label for group in groups] == ["a, b.txt, context    64", "a, b.txt, context 1,024"]
    assert first_column(*groups) == ("", ["context 64", "context 1,024"])
    leaks = [Group(corpus="x", leak=leak, vocabulary="256") for leak in (" 5", "20")]
    assert first_column(*leaks) == ("", ["5 % leaked, vocabulary 256", "20 % leaked, vocabulary 256"])


def test_several_corpora_are_named_and_so_is_one_without_parts_beside_one_with() -> None:
    assert first_column(Group(corpus="a"), Group(corpus="b, c")) == ("corpus", ["a", "b, c"])
    names = ["a", "a, 5 % leaked"]
    assert first_column(Group(corpus="a"), Group(corpus="a", leak=" 5")) == ("corpus", names)


def test_a_name_is_said_once_and_one_group_is_not_named() -> None:
    twice = Grid(("x",), (("1",), ("2",), ("3",)), "l", groups=("a", "a", "b"), grey=(0,))
    named = with_group_column(twice, [])
    assert [row[0] for row in named.rows] == ["a", "", "b"]
    assert named.grey == (1,)
    alone = Grid(("x",), (("1",),), "l", groups=("a",))
    assert with_group_column(alone, []) == alone
