"""JSON lines: each value is the text that was received, and a line that is not one object is kept whole."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.read.json import columns

Read = Callable[..., Any]

GOOD: list[tuple[str, dict[str, str]]] = [
    ('{"n":12.50,"e":1e400,"i":' + "1234567890" * 4 + "}", {"n": "12.50", "e": "1e400", "i": "1234567890" * 4}),
    ('{"n":-0.0,"e":1E5,"i":-12.0e+3}', {"n": "-0.0", "e": "1E5", "i": "-12.0e+3"}),
    ('{"n":{"a":1.10,"b":[1.0,2.50,"3.0"]}}', {"n": '{"a":1.10,"b":[1.0,2.50,"3.0"]}'}),
    ('{"n":[ 1 , null ],"e":{},"i":[]}', {"n": "[1,null]", "e": "{}", "i": "[]"}),
    ('{"n":true,"e":"true","i":"null","x":null}', {"n": "true", "e": "true", "i": "null"}),
    ('{"n":"","e":" lead ","i":"12.50"}', {"n": "", "e": " lead ", "i": "12.50"}),
    ('{"n":"\\u00e9\\n\\/\\u0000","e":"\\ud83d\\ude00","i":"\\\\ud83d"}', {"n": "é\n/\0", "e": "😀", "i": "\\ud83d"}),
    ('{"n":"a\\"1,2\\"b","e":"{\\"a\\":1}","i":"["}', {"n": 'a"1,2"b', "e": '{"a":1}', "i": "["}),
    ('{"n":"tab\there"}', {"n": "tab\there"}),  # which strict JSON escapes
    ('{"n":"it\'s","it\'s":1}', {"n": "it's", "it's": "1"}),
    ('{"a.b":1,"c d":2,"e`f":3,"i\\"j":4,"1":5,"a\\u0062":6}', {"a.b": "1", "c d": "2", "e`f": "3", 'i"j': "4", "1": "5", "ab": "6"}),
    ('\t{"n":{"_source":1,"x":1,"x":2}} ', {"n": '{"_source":1,"x":1,"x":2}'}),  # only the names of the line itself count
    ("{}", {}),
    ('{"N":7}', {"n": "7"}),  # another spelling of a name on another line
    ('{"n":' + "[" * 400 + "]" * 400 + "}", {"n": "[" * 400 + "]" * 400}),
    ('{"n":"' + "x" * 5_000_000 + '"}', {"n": "x" * 5_000_000}),
]  # fmt: skip

BAD: list[tuple[str, str]] = [
    *[
        (line, "MALFORMED_JSON")
        for line in (
            '{"n":2} x', '{"n":3}{"n":4}', '{"n":3} {"n":4}', "[]", '[{"n":1}]', '"x"', "1", "null", '{"n":}', '{"n":1',
            "{'n':1}", '{"n":\'a1\'}', "{n:1}", '{"n":01}', '{"n":NaN}', '{"n":+1}', '{"n":.5}', '{"n":1.}', '{"n":1,}',
            '{"n":1 /*c*/}', '{"n":"a\\qb"}', '{"n":1}\0', '{"n":1--2}', '{"n":1e}', '{"n":tru}', '{"n":1}\ufeff', "id,n",
            '{"n":' + "[" * 5000 + "]" * 5000 + "}",
        )
    ],
    ('{"n":5,"n":6}', "DUPLICATE_JSON_KEY"),
    ('{"n":7,"N":8}', "DUPLICATE_JSON_KEY"),
    ('{"_source":1}', "RESERVED_NAME"),
    ('{"__raw":1}', "RESERVED_NAME"),
    ('{"":1}', "RESERVED_NAME"),
    ('{"n":"\\ud800"}', "LONE_SURROGATE"),
    ('{"n":"\\ude00\\ud83d"}', "LONE_SURROGATE"),
]  # fmt: skip


def test_each_line_is_one_object_or_kept_as_received(read: Read) -> None:
    lines = [line for line, _ in GOOD] + [line for line, _ in BAD]
    found = read({"a.json": "\ufeff" + "\n".join(lines) + "\n", "b.jsonl": '\r\n \r\n{"n":1}\r\n\t\r\n{"n":2}'})
    good = [{key.lower(): value for key, value in row.items()} for row in found.good["a.json"]]
    assert good == [values for _, values in GOOD]
    assert found.bad == {"a.json": [(code, line) for line, code in BAD]}
    assert [row[next(iter(row))] for row in found.good["b.jsonl"]] == ["1", "2"]


def test_a_line_is_called_too_much_only_where_it_is(read: Read) -> None:
    lines = ['{"id": 1, "id": 2}', '{"id": 1} {"id": 2}', '{"n": ' + "[" * 2000 + "]" * 2000 + "}", '{"id": 3}']
    rows = read({"a.json": "\n".join(lines)}).frame.orderBy("_source.position").collect()
    assert [row["__code"] for row in rows] == ["DUPLICATE_JSON_KEY", "MALFORMED_JSON", "MALFORMED_JSON", None]
    assert ["1,000 levels" in (row["__message"] or "") for row in rows] == [False, False, True, False]


def test_a_file_of_more_names_than_a_file_may_have_is_put_aside_alone(read: Read) -> None:
    wide = "".join(f'{{"k{number}": 1}}\n' for number in range(6))
    files = {
        "a.json": '{"a": 1}\n',
        "b.json": wide,
        "c.json": '{"b": 1}\n{"c": 2}',
        "d.csv": "a,b,c,d,e,f\n1,2,3,4,5,6\n",
    }
    found = read(files, limits={"columns": 5})
    assert found.files == {"b.json": "FILE_LIMIT", "d.csv": "FILE_LIMIT"}
    assert found.good == {"a.json": [{"a": "1"}], "c.json": [{"b": "1"}, {"c": "2"}]}
    # three that are within the limit may be more together
    assert read({f"{one}.json": f'{{"{one}": 1, "{one}2": 2}}' for one in "xyz"}, limits={"columns": 5}).files == {}


def test_a_file_with_no_good_line_has_no_column(read: Read) -> None:
    found = read(
        {
            "a.ndjson": "{\n",
            "utf16.json": '{"é":1}'.encode("utf-16")[2:],
            "latin.json": '{"é":"ä"}\n{"é":1}\n{'.encode("latin-1"),
        }
    )
    assert found.frame.columns == ["__raw", "__code", "__message", "__as_written", "__bytes", "_source"]
    assert found.bad == {"a.ndjson": [("MALFORMED_JSON", "{")]}
    assert found.files == {"latin.json": "FILE_ENCODING", "utf16.json": "FILE_ENCODING"}


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randint(0, 9 if depth < 3 else 6)
    if kind < 3:
        return "".join(
            chance.choices(
                ["a", '"', "\\", "1.50", "{", "[", ",", ":", "é", "😀", "\n", "\t", "'", " ", "-7"],
                k=chance.randint(0, 6),
            )
        )
    if kind < 5:
        return chance.choice([0, -1, 12.5, 10**30, 1e-7, 1.0, 123456789012345678])
    if kind < 7:
        return chance.choice([True, False, None])
    if kind < 9:
        return [value(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    return {f"k{number}": value(chance, depth + 1) for number in range(chance.randint(0, 3))}


def test_any_lines_are_read_as_python_reads_them_also_where_spark_splits_the_file(
    read: Read, spark: SparkSession
) -> None:
    chance = random.Random(7)
    lines = [{"id": number, **{name: value(chance) for name in chance.sample("abcdef", 4)}} for number in range(1500)]
    texts = [json.dumps(line, ensure_ascii=chance.random() < 0.5) for line in lines]
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "20000")
    try:
        found = read({"a.json": "\n\n".join(texts), "b.json": texts[0]})
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", str(before))
    assert found.bad == found.files == {}
    assert len(found.good["b.json"]) == 1

    def as_text(given: Any) -> str:
        return given if isinstance(given, str) else json.dumps(given)

    for row, line in zip(found.good["a.json"], lines, strict=True):
        wanted = {key: it for key, it in line.items() if it is not None}
        nested = {key for key, it in wanted.items() if isinstance(it, list | dict)}
        assert {key: json.loads(text) if key in nested else text for key, text in row.items()} == {
            key: it if key in nested else as_text(it) for key, it in wanted.items()
        }


def test_a_file_that_cannot_be_unpacked_names_no_column_and_hides_no_others(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 9000)[:40])
    (tmp_path / "good.json").write_text('{"b": 1}\n')
    assert columns(spark, sorted(map(str, tmp_path.iterdir())), None) == {"b": "string"}
