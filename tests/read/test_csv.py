"""Delimited text is what Python's csv makes of it, and what is broken in it is kept as received."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse.read.csv import _first_lines
from lakehouse.spec.files import CsvOptions

Read = Callable[..., Any]


def test_values_are_matched_by_the_header_of_their_own_file(read: Read) -> None:
    found = read(
        {
            "bom.csv": b"\xef\xbb\xbfid,n\r\n1,a\r\n",
            "reordered.csv": "n,id\na,1\n",
            "case.csv": "ID,N\n1,a\n",
            "more.csv": 'id,n,"x,y",a.b,c`d,,"two\nlines"\n1,a,q,r,s,t,u\n',
            "less.csv": "id\n1\n",
            "blanks first.csv": "\r\n\r\n id ,n \r\n1,a\r\n",
            "header only.csv": "id,n\n",
            "header only, no end.csv": "id,n",
            "zipped.csv.gz": gzip.compress(b"id,n\n1,a\n") + gzip.compress(b"2,b\n"),
            "ZIPPED.CSV.GZ": gzip.compress(b"id,n\n1,a\n"),
            "twice.csv": "id,n,ID\n1,a,2\n",
            "reserved.csv": "id,_source\n1,2\n",
            "ours.csv": "id,__raw\n1,2\n",
            "blank.csv": "\n\r\n\n",
            "unclosed.csv": '"id,n\n1,a\n2,b\n',
            "wide.csv": ",".join(f"c{number}" for number in range(25_000)) + "\n",
        }
    )
    one = {"id": "1", "n": "a"}
    lowered = {
        name: [{key.lower(): value for key, value in row.items()} for row in rows] for name, rows in found.good.items()
    }
    assert lowered == {
        **{key: [one] for key in ("bom.csv", "reordered.csv", "case.csv", "blanks first.csv", "ZIPPED.CSV.GZ")},
        "more.csv": [{**one, "x,y": "q", "a.b": "r", "c`d": "s", "_c5": "t", "two\nlines": "u"}],
        "less.csv": [{"id": "1"}],
        "zipped.csv.gz": [one, {"id": "2", "n": "b"}],
    }
    assert found.bad == {}
    names = ("twice.csv", "reserved.csv", "ours.csv", "blank.csv", "unclosed.csv")
    assert found.files == {**dict.fromkeys(names, "FILE_HEADER"), "wide.csv": "FILE_LIMIT"}
    assert found.messages["twice.csv"] == "no header can be read: it names 'id' twice"
    assert found.messages["blank.csv"] == "no header can be read: there are only blank lines"


def test_line_breaks_quotes_and_blank_lines_are_told_apart(read: Read) -> None:
    found = read(
        {
            "lf.csv": 'id,n\n\n1,"a\nb"\n\n2,"he said ""hi"""\n3,""\n4, b \n5,a"b\n6,"a"b\n7,\\"x\\"\n8,NULL\n9,#',
            "crlf.csv": 'id,n\r\n1,"a\r\nb\nc"\r\n\r\n2,\r\n"3","d"\r\n\r\n',
            "cr.csv": 'id,n\r1,"a\rb"\r2,c\r',
            "crlf after lf.csv": "id,n\n1,a\r\n2,b\n\r\n3,c\r\n",
            "lf after crlf.csv": "id,n\r\n1,a\n2,b\r\n3,c\n",
            "one column.csv": 'id\r\n1\r\n\r\n""\r\n2',
            "odd.csv": "id,n\n1,a\u2028b\u0085c\x0bd\x0ce\x00f\n2," + "x" * 300_000 + "\n",
        }
    )
    rows = {name: [(row.get("id"), row.get("n")) for row in rows] for name, rows in found.good.items()}
    assert found.bad == {}
    assert rows == {
        "lf.csv": [
            ("1", "a\nb"), ("2", 'he said "hi"'), ("3", None), ("4", " b "), ("5", 'a"b'), ("6", '"a"b'),
            ("7", '\\"x\\"'), ("8", "NULL"), ("9", "#"),
        ],
        "crlf.csv": [("1", "a\r\nb\nc"), ("2", None), ("3", "d")],
        "cr.csv": [("1", "a\rb"), ("2", "c")],
        "crlf after lf.csv": [("1", "a"), ("2", "b"), ("3", "c")],
        "lf after crlf.csv": [("1", "a"), ("2", "b"), ("3", "c")],
        "one column.csv": [("1", None), (None, None), ("2", None)],
        "odd.csv": [("1", "a\u2028b\u0085c\x0bd\x0ce\x00f"), ("2", "x" * 300_000)],
    }  # fmt: skip


def test_a_record_with_another_number_of_fields_is_kept_as_received(read: Read) -> None:
    found = read(
        {
            "lf.csv": 'id,n\n1\n2,b,c\n3,d\n   \n4,"e,f\n\x1a',
            "crlf.csv": 'id,n\r\n1\r\n2,"b",c\r\n3,d\r\n4',
            "commas.csv": "id,n\n1,a\n" + "," * 25_000 + "\n",
        }
    )
    assert found.bad["lf.csv"][:3] == [("FIELD_COUNT", "1"), ("FIELD_COUNT", "2,b,c"), ("FIELD_COUNT", "   ")]
    assert found.bad["lf.csv"][3][0] == "UNCLOSED_QUOTE"
    assert found.bad["crlf.csv"] == [("FIELD_COUNT", "1"), ("FIELD_COUNT", '2,"b",c'), ("FIELD_COUNT", "4")]
    assert found.good == {name: [{"id": "3", "n": "d"}] for name in ("lf.csv", "crlf.csv")}
    assert found.files == {"commas.csv": "FILE_UNREADABLE"}  # more fields than the parser has room for


UNCLOSED = {
    "to the end.csv": 'id,n\n1,a\n2,"b\n3,c\n4,d\n',
    "with crlf.csv": 'id,n\r\n1,a\r\n2,"b\r\n3,c\r\n4,d\r\n',
    "to a later quote.csv": 'id,n\n1,a\n2,"b\n3,c\n4,"d"\n',
    "in the first field.csv": 'id,n\n1,a\n"2,b\n3,c\n',
}
CLOSED = {
    "last.csv": 'id,n\n1,"a\nb\n"\n',
    "last with crlf.csv": 'id,n\r\n1,"a\r\nb"\r\n',
    "quotes and breaks.csv": 'id,n\n1,"""a""\nb"\n2,c\n3,"""\n"""\n',
    "no end.csv": 'id,n\n1,"a\nb"',
    "inches.csv": 'id,n\n1,5\'10"\n2,"a"b\n3,a\n',
}


def test_a_quote_that_is_not_closed_does_not_swallow_records_unseen(read: Read) -> None:
    found = read({**UNCLOSED, **CLOSED})
    assert {name: [code for code, _ in bad] for name, bad in found.bad.items()} == {
        "to the end.csv": ["UNCLOSED_QUOTE"],
        "with crlf.csv": ["UNCLOSED_QUOTE"],
        "to a later quote.csv": ["UNCLOSED_QUOTE"],
        "in the first field.csv": ["UNCLOSED_QUOTE"],
    }
    assert "3,c" in str(found.bad["to the end.csv"][0][1])
    assert {name: [row["n"] for row in rows] for name, rows in found.good.items()} == {
        **{key: ["a"] for key in UNCLOSED},
        "last.csv": ["a\nb\n"],
        "last with crlf.csv": ["a\r\nb"],
        "quotes and breaks.csv": ['"a"\nb', "c", '"\n"'],
        "no end.csv": ["a\nb"],
        "inches.csv": ["5'10\"", '"a"b', "a"],
    }


def test_where_lines_are_records_a_quote_must_close_in_its_line(read: Read) -> None:
    text = 'id,n\n1,"a\nb"\n2,"c"\n3,""\n4,"\n5,"x""y"\n6,"x""y\n7,""""\n8,5\'10"\n9\n'
    found = read(
        {"a.csv": "\ufeff" + text, "b.csv": "\r\n" + text.replace("\n", "\r\n")}, csv=CsvOptions(multiline=False)
    )
    bad = [
        ("UNCLOSED_QUOTE", '1,"a'), ("FIELD_COUNT", 'b"'), ("UNCLOSED_QUOTE", '4,"'), ("UNCLOSED_QUOTE", '6,"x""y'),
        ("FIELD_COUNT", "9"),
    ]  # fmt: skip
    good = [
        {"id": "2", "n": "c"},
        {"id": "3"},
        {"id": "5", "n": 'x"y'},
        {"id": "7", "n": '"'},
        {"id": "8", "n": "5'10\""},
    ]
    assert found.bad == {"a.csv": bad, "b.csv": bad}
    assert found.good == {"a.csv": good, "b.csv": good}


@pytest.mark.parametrize("multiline", [True, False])
def test_delimiter_quote_and_escape_are_what_the_job_says(read: Read, multiline: bool) -> None:
    pipes = CsvOptions(delimiter="|", quote="'", escape="'", multiline=multiline)
    found = read({"a.csv": "'id|no'|n\n1|'a''b'\n2|'x|y'\n3|\"a|b\n"}, csv=pipes)
    assert found.good["a.csv"] == [{"id|no": "1", "n": "a'b"}, {"id|no": "2", "n": "x|y"}]
    assert found.bad["a.csv"] == [("FIELD_COUNT", '3|"a|b')]
    double = CsvOptions(delimiter=";;", escape="\\", multiline=multiline)
    found = read({"a.csv": 'id;;n\n1;;"a\\"b"\n2;;"a\\\\"\n3;;"a;;b"\n4;;a;b\n5;;5\'10"\n'}, csv=double)
    assert [row["n"] for row in found.good["a.csv"]] == ['a"b', "a\\", "a;;b", "a;b", "5'10\""]
    found = read({"a.csv": 'id\tn\n1\t"a\tb"\n'}, csv=CsvOptions(delimiter="\\t", multiline=multiline))
    assert found.good["a.csv"] == [{"id": "1", "n": "a\tb"}]


PIECES = [
    "",
    "a",
    "é",
    ",",
    '"',
    '""',
    "\n",
    "\r\n",
    " ",
    "\t",
    "'",
    "\\",
    "#",
    "x" * 40,
    "0",
    "NULL",
    "\u2028",
    "ﬀ",
    "𝄞",
]


@pytest.mark.parametrize(("seed", "multiline", "split"), [(1, True, False), (2, False, True)])
def test_any_file_is_read_as_python_reads_it(
    read: Read, spark: SparkSession, seed: int, multiline: bool, split: bool
) -> None:
    chance = random.Random(seed)
    pieces = [piece for piece in PIECES if multiline or not {"\n", "\r"} & set(piece)]
    files: dict[str, str] = {}
    for number, end in enumerate(("\n", "\r\n")):
        out = io.StringIO()
        writer = csv.writer(out, lineterminator=end, quoting=chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        writer.writerow(["id", "a b", "c"])
        for row in range(1500):
            writer.writerow([row, *("".join(chance.choices(pieces, k=chance.randint(0, 4))) for _ in "ab")])
        files[f"{number}.csv"] = out.getvalue()
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    if split:
        spark.conf.set("spark.sql.files.maxPartitionBytes", "20000")
    try:
        found = read(files, csv=CsvOptions(multiline=multiline))
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", str(before))
    assert found.bad == found.files == {}
    for name, text in files.items():
        # an empty field is NULL, quoted or not; the ordinals were held against the rows by the fixture
        wanted = [{k: v for k, v in row.items() if v} for row in csv.DictReader(io.StringIO(text, newline=""))]
        assert found.good[name] == wanted


def test_a_header_that_only_spark_can_reach_is_the_first_record(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"# of today\x1e \r\n\x1eid,n\nm\x1e1,a\x1e")
    path = str(tmp_path / "a.csv")
    options = CsvOptions(comment="#", line_separator="\x1e")
    assert _first_lines(spark, [path], options) == {path: "id,n\nm"}


def test_what_stands_in_quotes_is_kept_to_the_last_character(read: Read) -> None:
    found = read(
        {
            "cr.csv": b'a,b\n3,"e\r"\n4,f\n',
            "crlf.csv": b'a,b\r\n3,"e\r"\r\n4,f\r\n',
            "end.csv": b'a,b\n1,2\n3,"e\r"',
            "nul.csv": b'a,b\n1,"a\0""b"\n2,"x\0y"\n3,\0\n',
        }
    )
    assert (found.bad, found.files) == ({}, {})
    assert {name: [row["b"] for row in rows] for name, rows in found.good.items()} == {
        "cr.csv": ["e\r", "f"],
        "crlf.csv": ["e\r", "f"],
        "end.csv": ["2", "e\r"],
        "nul.csv": ['a\0"b', "x\0y", "\0"],
    }


@pytest.mark.parametrize("multiline", [True, False])
def test_a_quoted_field_with_nothing_in_it_may_be_an_empty_text(read: Read, multiline: bool) -> None:
    files = {"a.csv": b'a,b,c\n"",,""\r\n,"x",\n'}
    found = read(files, csv={"empty_value": "", "multiline": multiline})
    assert found.good == {"a.csv": [{"a": "", "c": ""}, {"b": "x"}]}
    assert read(files, csv={"multiline": multiline}).good == {"a.csv": [{}, {"b": "x"}]}


def test_a_line_break_of_another_kind_is_told_as_that_and_joins_no_records_unseen(read: Read) -> None:
    broken = [
        b"a,b\n1,2\r\n3,4\r5,6\n",
        b"a,b\r1,2\r\n3,4\n5,6\r",
        b"a,b\r\n1,2\r3,4\r\n5,6",
        b'a,b\n1,2\r3,"4"\r5,6',
        b'a,b\n1,"x\ny"\r3,4\r\n5,6\n',
        b'a,b\r1,"x"\n3,"4"\n',
    ]
    files: dict[str, bytes] = {f"{number}.csv": content for number, content in enumerate(broken)}
    files["one column.csv"] = b"a\n1\r2\n3\n"
    files["good.csv"] = b'a,b\n1,"x\r\ny"\n2,"x\ry"\n'
    found = read(files)
    assert [record for _, record in found.bad.pop("one column.csv")] == ['{"a":"1\\r2"}']
    assert {name: [code for code, _ in rows] for name, rows in found.bad.items()} == {
        f"{number}.csv": ["LINE_BREAK"] for number in range(len(broken))
    }
    assert [row["b"] for row in found.good["good.csv"]] == ["x\r\ny", "x\ry"]
    assert [row["a"] for row in found.good["one column.csv"]] == ["3"]


def test_a_field_that_never_ends_is_beyond_a_limit_and_the_other_files_go_in(read: Read) -> None:
    lines = "\n".join(["x" * 100] * 30)
    files = {
        "good.csv": f'id,n\n1,"{lines[:900]}"\n',
        "open.csv": f'id,n\n1,"{lines}\n',
        "long.csv": f"id,n\n1,{'x' * 999}\n",
    }
    found = read(files, limits={"record_bytes": 1000})
    assert {name: [row["id"] for row in rows] for name, rows in found.good.items()} == {"good.csv": ["1"]}
    assert found.files == {"open.csv": "FILE_LIMIT", "long.csv": "FILE_LIMIT"}
    assert "a field of more than 1,000 characters" in found.messages["open.csv"]
    assert "a line of more than 1,000 bytes" in found.messages["long.csv"]
