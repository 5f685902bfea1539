"""Tables as other people write them: what a person sees as a number is one, what stays doubtful is refused."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.records import load
from analysis.records.number_parsing import read_numbers
from analysis.records.table_file import read_table
from analysis.scaling.measurements import read_csv
from tests.analysis.scaling.test_scaling import mdl


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("70M", 70e6), ("70 M", 70e6), ("1.4T", 1.4e12), ("300k", 3e5), ("1.5B", 1.5e9), ("2bn", 2e9),
        ("70 million", 70e6),
        ("70,000,000", 70e6), ("70_000_000", 70e6), ("70 000 000", 70e6), ("70\u202f000\u00a0000", 70e6),
        ("70'000'000", 70e6), ("70.000.000", 70e6), ("1.234.567,5", 1234567.5), ("1,234,567.5", 1234567.5),
        ("3,14", 3.14), ("0,125", 0.125), ("1,5e9", 1.5e9), ("7e7", 7e7), ("7E+7", 7e7), ("7×10^7", 7e7),
        ("7 x 10**7", 7e7),
        (".5", 0.5), ("5.", 5.0), ("−3", -3.0), ("+3", 3.0), ("70M params", 70e6), ("1.4T tokens", 1.4e12),
        ("1e21 FLOPs", 1e21), ("10MB", 1e7), ("64 KiB", 65536.0), ("1,4T", 1.4e12), ("1,234.5", 1234.5),
        ("1.234", 1.234),
    ],
)  # fmt: skip
def test_what_a_person_sees_as_a_number_is_one(text: str, value: float) -> None:
    found = read_numbers(pd.Series([text]))
    assert (found.values.tolist(), found.refused) == ([value], {})


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (["1,234", "5,678,901"], [1234, 5678901]),
        (["1,234", "3.5"], [1234, 3.5]),
        (["1,234", "3,5"], [1.234, 3.5]),
        (["1.234", "3,5"], [1234, 3.5]),
        (["1.234", "3.5"], [1.234, 3.5]),
        (["1.234", "1.234.567"], [1.234, 1234567]),
        (["1,234.5", "1,234"], [1234.5, 1234]),
        (["1,4T", "2.8T", "140,000,000"], [1.4e12, 2.8e12, 140e6]),  # each says by itself what it is
    ],
)
def test_a_comma_means_what_the_whole_column_says(column: list[str], values: list[float]) -> None:
    if column == ["1.234", "1.234.567"]:
        values = [1234, 1234567]  # a dot between threes elsewhere: it groups here too
    found = read_numbers(pd.Series(column))
    assert (found.values.tolist(), found.refused) == (values, {})


@pytest.mark.parametrize(
    ("column", "row", "said"),
    [
        (["1,234"], 0, "it may be 1234 or 1.234"),
        (["1,234M", "2,345M"], 0, "it may be 1234 or 1.234"),
        (["1,234", "3,5", "3.5"], 0, "it may be 1234 or 1.234"),
        (["1.234", "3,5", "3.5"], 0, "it may be 1234 or 1.234"),
        (["1,23,456", "2"], 0, "do not agree"),
        (["10B", "10MB"], 0, "it may be bytes or billions"),
        (["70X"], 0, "tried as a number with k, M, B or T"),
        (["50%"], 0, "tried as a number"),
        (["12 34"], 0, "do not agree"),
        (["True"], 0, "tried as a number"),
    ],
)
def test_what_stays_doubtful_is_refused_with_what_was_tried(column: list[str], row: int, said: str) -> None:
    found = read_numbers(pd.Series(column))
    assert said in found.refused[row]
    assert pd.isna(found.values[row])


@given(st.lists(st.floats(min_value=1e-12, max_value=1e22), min_size=1, max_size=20))
def test_plain_numbers_are_read_to_every_digit(values: list[float]) -> None:
    assert read_numbers(pd.Series([repr(value) for value in values])).values.tolist() == values


@given(st.lists(st.integers(1, 10**15), min_size=2, max_size=20))
def test_grouped_and_decimal_columns_are_told_apart_by_a_single_clear_value(values: list[int]) -> None:
    assert read_numbers(pd.Series([f"{v:,}" for v in [*values, 10**6]])).values.tolist()[:-1] == values
    decimal = [f"{v / 1000:.3f}".replace(".", ",") for v in values] + ["0,5"]
    assert read_numbers(pd.Series(decimal)).values.tolist()[:-1] == [float(f"{v / 1000:.3f}") for v in values]


ROWS = [(70_000_000, 1_400_000_000, 3.25), (140_000_000, 2_800_000_000, 3.0)]


def written(kind: str, path: Path) -> Path:
    """The same table in the forms that people have it in."""
    plain = "N,D,loss\n70000000,1400000000,3.25\n140000000,2800000000,3.0\n"
    text = {
        "plain": plain, "bom": "\ufeff" + plain, "crlf": plain.replace("\n", "\r\n"), "tabs": plain.replace(",", "\t"),
        "bars": plain.replace(",", " | "), "blanks": plain.replace(",", "   "),
        "suffixes": "params,tokens,val_loss\n70M,1.4B,3.25\n140M,2.8B,3.0\n",
        "grouped": 'Parameters,Tokens,Loss\n"70,000,000","1,400,000,000",3.25\n140_000_000,2 800 000 000,3.0\n',
        "european": "# made by hand\nN;D;loss\n70.000.000;1,4e9;3,25\n# a remark\n140.000.000;2,8e9;3,0\n",
        "numpy": "# N D loss\n7e7 1.4e9 3.25\n1.4e8 2.8e9 3.0\n",
        "scaled": "params (M),tokens [B],loss\n70,1.4,3.25\n140,2.8,3.0\n",
        "jsonl": "\n".join(json.dumps(dict(zip(("N", "D", "loss"), row, strict=True))) for row in ROWS) + "\n",
        "json": json.dumps([{"N": "70M", "D": "1.4B", "loss": 3.25}, {"N": 14e7, "D": "2.8B", "loss": "3.0"}]),
    }  # fmt: skip
    packers = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    if kind in packers:
        path.write_bytes(packers[kind](plain.encode()))
    elif kind.startswith("utf"):
        path.write_bytes(plain.encode(kind))
    elif kind == "parquet":
        pd.DataFrame(ROWS, columns=["N", "D", "loss"]).to_parquet(path)
    elif kind == "parquet of text":
        pd.DataFrame([("70M", "1.4B", "3.25"), ("140M", "2.8B", None)], columns=["N", "D", "loss"]).to_parquet(path)
    else:
        path.write_text(text[kind], encoding="utf-8", newline="")
    return path


KINDS = [
    "plain",
    "bom",
    "crlf",
    "tabs",
    "bars",
    "blanks",
    "suffixes",
    "grouped",
    "european",
    "numpy",
    "scaled",
    "jsonl",
    "json",
    "gz",
    "bz2",
    "xz",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "parquet",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_is_the_same_in_every_form(kind: str, tmp_path: Path) -> None:
    measured = read_csv(written(kind, tmp_path / "t.any"))
    got = list(zip(measured.n_params.tolist(), measured.data.tolist(), measured.loss.tolist(), strict=True))
    assert got == [pytest.approx(row, rel=1e-15) for row in ROWS]
    assert measured.dropped == ()


def test_the_report_reads_the_same_forms_and_takes_a_str(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("# mine\nparams;bytes;bits\n1K;100KB;400.000\n2K;100KB;300000,5\n", encoding="utf-16")
    table = load(str(path))
    assert table.runs["n_params"].tolist() == [1000, 2000]
    assert table.runs["subset_bytes"].tolist() == [100_000, 100_000]
    assert table.cells["own_bits"].tolist() == [400_000, 300_000.5]
    path.write_text("a,b,c\n1,2,3\n")
    assert load(path, n="a", d="b", code_bits="c").cells["own_bits"].tolist() == [3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('N,D,code_bits\n1e3,1e5,5\n"1,234",1e5,4\n', "line 3: N is '1,234'; it may be 1234 or 1.234"),
        ("# a\n\nN,D,code_bits\n1e3,1e5,-4\n", "line 4: code_bits is -4; want a number above 0"),
        ("N,D,code_bits\n1e3,-1K,4\n", r"line 2: D is -1K \(read as -1000\); want"),
        ("N,D,code_bits\n1e3,1e5,1e400\n", "line 2: code_bits is 1e400; want"),
        ("N,D,code_bits\n1e3,1e5,nan\n", "line 2: code_bits is nan; want"),
        ("params,parameters,D,code_bits\n1,1,1,1\n", "'params' and 'parameters' may both be N; say which with --n"),
        ("N,tokens,code_bits\n1,1,1\n", "no column 'D'; it has N, tokens, code_bits; want N .parameters., D .bytes."),
        ("N,N,D,code_bits\n1,1,1,1\n", "names the column 'N' twice"),
        ('{"N": 1, "D": 1, "code_bits": 1}\n{"N": 1,\n', "line 2 is not JSON"),
        ('{"N": 1, "D": 1, "code_bits": [1]}\n', r"line 2: code_bits is \[1\]"),
        ("[1, 2]", "a JSON table is a list of objects"),
        ("# only\n# comments\n", "it has no line with names"),
        ("N,D,code_bits\n1,2,3,14\n", "a number with a comma in it must be in quotation marks"),
        (",".join(f"c{i}" for i in range(100_001)) + "\n", "100,001 columns, a table at most 10,000"),
        ("N,D,code_bits\n" + "".join(f"1e3,{i},5\n" for i in range(1, 2001)), "over 2,000 dataset sizes; a report"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_by_line_value_and_reading(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(AnalysisError, match=said) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.yaml", b"method: grid\n", "is a sweep file, no table"),
        ("t.xlsx", b"PK\x03\x04" + b"\0" * 40, "save the sheet as CSV"),
        ("t.gz", gzip.compress(b"N,D,loss\n1,2,3\n" * 99, mtime=0)[:-20], "is not a CSV"),
        ("t.gz", b"\x1f\x8b" + b"x" * 40, "cannot be unpacked"),
        ("t.parquet", b"PAR1" + b"x" * 40, "damaged Parquet file"),
        ("t.csv", b"N,D,loss\n1,2,\xe9\n", "is not a CSV"),
        ("t.csv", b"\0" * 1000, "is not a CSV"),
    ],
)
def test_what_is_no_table_is_one_line(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (load, read_csv):
        with pytest.raises(AnalysisError, match=said) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_fit_names_the_value_of_what_it_drops(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("N,D,loss\n70M,1T,3\n70Q,1T,3\n")
    (dropped,) = read_csv(path).dropped
    assert dropped.where == "row 2: '70Q', tried as a number with k, M, B or T behind it"
    path.write_text('N,D,loss\n70M,1T,"3,125"\n')
    with pytest.raises(AnalysisError, match=r"line 2: loss is '3,125'; it may be 3125 or 3\.125"):
        read_csv(path)


def test_a_table_of_a_million_columns_or_many_rows_ends_soon(tmp_path: Path) -> None:
    wide, long = tmp_path / "wide.csv", tmp_path / "long.csv"
    wide.write_text(",".join(f"c{i}" for i in range(10**6)) + "\n" + ",".join("1" * 10**6) + "\n")
    long.write_text("N,D,loss\n" + "".join(f"{1000 + i}M,{i % 2000 + 1}B,3\n" for i in range(20_000)))
    started = time.monotonic()
    with pytest.raises(AnalysisError, match="1,000,000 columns, a table at most 10,000"):
        read_table(wide)
    assert len(read_csv(long).loss) == 20_000
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_both_commands_take_the_same_names_and_print_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n" + "".join(f"{n}K,{d}MB,{4e6 * d + 1e9 / n}\n" for n in (1, 2, 4, 8) for d in (1, 2)))
    fitted = mdl("fit", str(path), "--n", "a", "--d", "b", "--loss", "c")
    assert (fitted.returncode, fitted.stderr) == (0, "")
    made = mdl(
        "report", str(path), "--n", "a", "--d", "b", "--code-bits", "c", "--out", str(tmp_path / "r"), "--format", "md"
    )
    assert (made.returncode, made.stderr) == (0, "")
    wrong = mdl("report", str(path), "--n", "x", "--out", str(tmp_path / "r"))
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "no column 'x'; it has a, b, c" in wrong.stderr


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='N,D;loss\n1.5eM"#{}[]:\t |', max_size=120).map(str.encode))
def test_any_bytes_are_a_table_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    for read in (load, read_csv):
        said = ""
        try:
            read(path)
        except AnalysisError as error:
            said = str(error)
        assert "\n" not in said
        assert len(said) < 900


def test_a_parquet_of_text_is_read_as_a_csv_is(tmp_path: Path) -> None:
    measured = read_csv(written("parquet of text", tmp_path / "t.parquet"))
    assert (measured.n_params.tolist(), measured.data.tolist()) == ([70e6], [1.4e9])
    assert [(d.reason, d.lines) for d in measured.dropped] == [("loss is missing or NaN", (2,))]


def test_a_quotation_mark_that_is_never_closed_is_named_with_its_line(tmp_path: Path) -> None:
    """It would take all rows after it for one field."""
    rows = [f"{n},{d},{3 + 1 / n + 1 / d}" for n in (1, 2, 3) for d in (4, 5, 6)]
    rows[4] = rows[4].replace(",", ',"', 2).replace(',"', ",", 1)
    (tmp_path / "a.csv").write_text("\n".join(["N,D,loss", *rows]))
    with pytest.raises(AnalysisError, match="line 6 opens a quotation mark that is never closed"):
        read_table(tmp_path / "a.csv")
