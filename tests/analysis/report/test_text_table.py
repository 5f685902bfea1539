"""A table in plain text fits a terminal by its words, and no number of it is lost or broken."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.report import plain_table

WORDS = st.lists(st.text("abcdefgh123", min_size=1, max_size=9), min_size=1, max_size=6).map(" ".join)
ROW = ("100 KB", "2,980", "2,260 to 3,600", "2.19 K to 3.8 K", "45.4 %", "39.5 %", "ppmd-o6 29.9 %")
HEADER = (
    "dataset",
    "critical size",
    "95 % interval",
    "within 1 %",
    "adjusted rate",
    "raw rate",
    "best classical coder",
)


def test_a_report_s_table_fits_80_columns_and_is_one_line_a_row_in_120() -> None:
    narrow, wide = (plain_table(HEADER, [ROW], "lrrrrrr", columns=columns) for columns in (80, 120))
    assert max(map(len, narrow)) <= 80
    assert len(wide) == 3
    assert wide[0].split() == " ".join(HEADER).split()
    assert all(cell in narrow[-1] for cell in ROW)


@settings(max_examples=60, derandomize=True)
@given(rows=st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5), columns=st.integers(20, 120))
def test_every_word_stands_in_its_column(rows: list[tuple[str, str, str]], columns: int) -> None:
    lines = plain_table(("a", "b", "why so"), rows, columns=columns)
    words = " ".join(lines).replace("─", "").split()
    assert sorted(words) == sorted(" ".join(["a b why so", *map(" ".join, rows)]).split())
    free = plain_table(("a", "b", "why so"), rows, columns=10_000)
    assert len(free) == len(rows) + 2
    assert [line.split() for line in free[2:]] == [" ".join(row).split() for row in rows]
