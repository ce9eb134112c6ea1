"""What two types become where both are to be held, and how a value is brought to another type."""

from __future__ import annotations

from datetime import datetime
from itertools import product

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructType

from lakehouse.lake.types import alike, brought, grows, joined, parts, resolved, settled, widens

pytestmark = pytest.mark.usefixtures("spark")  # it is what reads a type from its text

ATOMS = [
    "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(5,2)", "decimal(10,0)", "decimal(20,5)",
    "decimal(38,10)", "string", "boolean", "binary", "date", "timestamp", "timestamp_ntz",
]  # fmt: skip


def schema(text: str) -> StructType:
    return StructType.fromDDL(text)


def kind(text: str) -> DataType:
    return schema(f"it {text}").fields[0].dataType


def test_what_a_type_grows_to_holds_all_values_of_both() -> None:
    grown = {}
    for table, rows in product(ATOMS, ATOMS):
        found = grows(kind(table), kind(rows))
        if found is None or widens(kind(rows), kind(table)):
            continue
        assert widens(kind(rows), found)
        assert widens(kind(table), found)
        grown[table, rows] = found.simpleString()
    assert grown["smallint", "int"] == "int"
    assert grown["int", "decimal(5,2)"] == "decimal(12,2)"
    assert grown["decimal(20,5)", "decimal(38,10)"] == "decimal(38,10)"
    assert ("bigint", "double") not in grown
    assert ("bigint", "decimal(38,10)") in grown
    assert not {pair for pair in grown if "string" in pair or "timestamp" in pair or "boolean" in pair}


def test_names_meet_in_any_case_at_every_depth_and_new_ones_come_last() -> None:
    table = schema("a int, S struct<X: int NOT NULL, Y: struct<z: date>>, l array<struct<p: int>>, m map<string, int>")
    rows = schema(
        "new int, L array<struct<q: int, P: bigint>>, s struct<y: struct<Z: date, w: int>>, M map<string, date>"
    )
    after, found = joined(table, rows)
    assert after.simpleString() == (
        "struct<a:int,S:struct<X:int,Y:struct<z:date,w:int>>,l:array<struct<p:bigint,q:int>>,m:map<string,int>,new:int>"
    )
    assert {(one.path, one.kind) for one in found} == {
        ("a", "lacks"),
        ("S.X", "lacks"),
        ("S.Y.w", "new"),
        ("l.element.p", "wider"),
        ("l.element.q", "new"),
        ("m.value", "clash"),
        ("new", "new"),
    }


def test_a_joined_type_is_a_fixed_point() -> None:
    table, rows = schema("a int, s struct<b: int>"), schema("s struct<c: map<string, float>, b: bigint>, d date")
    after, _ = joined(table, rows)
    again, found = joined(after, rows)
    assert alike(after, again)
    assert {one.kind for one in found} == {"lacks"}
    assert joined(after, after) == (after, [])


def test_a_value_is_brought_by_name_and_null_stays_null(spark: SparkSession) -> None:
    have = "struct<m: map<string, struct<b: int>>, l: array<struct<x: date>>, `n n`: void>"
    want = (
        "struct<l: array<struct<y: string, X: timestamp_ntz>>, `N N`: int, m: map<string, struct<a: int, b: bigint>>>"
    )
    frame = spark.range(1).select(
        F.expr(
            "named_struct('m', map('k', named_struct('b', 1), 'null', null), "
            "'l', array(named_struct('x', date'2024-02-29'), null), 'n n', null)"
        ).alias("full"),
        F.lit(None).cast(have.replace("void", "int")).alias("empty"),
    )
    full, empty = (
        brought(F.col(name), frame.schema[name].dataType, kind(want)).alias(name) for name in ("full", "empty")
    )
    row = frame.select(full, empty).collect()[0]
    assert row.full.asDict(recursive=True) == {
        "l": [{"y": None, "X": datetime(2024, 2, 29)}, None],
        "N N": None,
        "m": {"k": {"a": None, "b": 1}, "null": None},
    }
    assert row.empty is None


def test_what_has_no_type_is_text_and_every_part_has_a_path() -> None:
    found = schema("a array<void>, s struct<b: map<int, void>>")
    assert settled(found).simpleString() == "struct<a:array<string>,s:struct<b:map<int,string>>>"
    assert [path for path, _ in parts(found)] == ["a", "a.element", "s", "s.b", "s.b.key", "s.b.value"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("id", ("id",)),
        ("ID", ("ID",)),
        ("Customer.Id", ("customer", "ID")),
        ("dotted.name", ("dotted.name",)),
        ("Dotted.Name.X.y", ("dotted.name", "x.y")),
        ("customer.deep.er", ("customer", "deep", "er")),
        ("customer.none", None),
        ("list.x", None),
        ("none", None),
    ],
)
def test_a_name_is_a_column_before_it_is_a_path(name: str, path: tuple[str, ...] | None) -> None:
    columns = schema(
        "Id int, id int, ID int, customer struct<ID: int, deep: struct<er: int>>, `dotted.name` struct<`x.y`: int>, "
        "dotted struct<name: int>, list array<struct<x: int>>"
    )
    found = resolved(columns, name)
    assert (found and found[0]) == path
