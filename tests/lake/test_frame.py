"""Names, texts, types and hashes hold whatever is in them."""

from __future__ import annotations

from datetime import datetime
from itertools import combinations

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, IntegerType, LongType, NullType, StringType, StructType

from lakehouse.lake.frame import as_json, col, literal, quoted, row_hash, small_frame, sql_type
from lakehouse.lake.types import widens

ODD = ["a b", "a.b", "a`b", "`", "a'b", 'a"b', "a\\b", "\\'", "a\nb", "é", "--", "$1", "%"]


def test_any_name_is_a_column_and_any_text_a_literal(spark: SparkSession) -> None:
    columns = ", ".join(f"{literal(text)} AS {quoted(text)}" for text in ODD)
    assert spark.sql(f"SELECT {literal('${env:HOME} $1')}").collect()[0][0] == "${env:HOME} $1"
    assert spark.sql(f"SELECT {columns}").select([col(name) for name in ODD]).collect()[0].asDict() == {
        name: name for name in ODD
    }


def test_a_hash_tells_rows_apart_and_not_how_they_are_written(spark: SparkSession) -> None:
    schema = "a string, b string, c string, m map<string,struct<x:map<string,int>>>, xs array<string>, s struct<x:int,y:int,t:timestamp_ntz>"
    noon = datetime(2024, 1, 1, 12)
    different = [
        ("a", None, "b", None, None, None),
        ("a", "b", None, None, None, None),
        (None, "a", "b", None, None, None),
        ("a", "", "b", None, None, None),
        ("a|b", "c", None, None, None, None),
        ("a", "b|c", None, None, None, None),
        (None, None, None, None, None, None),
        (None, None, None, {}, None, None),
        (None, None, None, {"k": None}, None, None),
        (None, None, None, {"k": ({"x": 1},), "l": None}, None, None),
        (None, None, None, {"k": None, "l": ({"x": 1},)}, None, None),
        (None, None, None, None, [], None),
        (None, None, None, None, [None], None),
        (None, None, None, None, [None, "a"], None),
        (None, None, None, None, ["a", None], None),
        (None, None, None, None, None, (1, None, None)),
        (None, None, None, None, None, (None, 1, None)),
        (None, None, None, None, None, (None, 1, noon)),
        (None, None, None, None, None, (None, 1, noon.replace(microsecond=1))),
    ]
    same = [(None, None, None, {"l": None, "k": ({"x": 1},)}, None, None)]  # entries of a map have no order
    frame = spark.createDataFrame([*different, *same], schema)
    hashes = [row[0] for row in frame.select(row_hash(frame, frame.columns)).collect()]
    assert [pair for pair in combinations(range(len(different)), 2) if hashes[pair[0]] == hashes[pair[1]]] == []
    assert hashes[-1] == hashes[9]

    # neither the order of columns, nor the case of their names, nor a new one that is NULL makes another row
    turned = frame.select("c", "b", F.lit(None).cast("date").alias("new"), "s", "xs", F.col("m").alias("M"), "a")
    assert [row[0] for row in turned.select(row_hash(turned, turned.columns)).collect()] == hashes


def test_json_keeps_nulls_and_microseconds(spark: SparkSession) -> None:
    row = spark.sql(
        "SELECT 1 AS a, null AS b, timestamp'2024-01-01 10:00:00.000001' AS t, timestamp_ntz'2024-01-01' AS n, double('NaN') AS d"
    )
    text = row.select(as_json(F.struct("*"))).collect()[0][0]
    assert text == '{"a":1,"b":null,"t":"2024-01-01T10:00:00.000001Z","n":"2024-01-01T00:00:00.000000","d":"NaN"}'


def test_a_type_is_written_so_that_sql_reads_it_again(spark: SparkSession) -> None:
    kind = "struct<`a b`:int,`c``d`:array<struct<`x-y`:decimal(5,2)>>,m:map<string,struct<`1`:timestamp_ntz>>>"
    want = spark.sql(f"SELECT CAST(null AS {kind}) AS it").schema["it"].dataType
    assert isinstance(want, StructType)
    assert spark.sql(f"SELECT CAST(null AS {sql_type(want)}) AS it").schema["it"].dataType == want


def test_a_few_rows_of_the_driver_are_a_frame(spark: SparkSession) -> None:
    schema = {"id": "bigint", "t`x": "timestamp", "m": "map<string,double>", "s": "struct<a:string,b:array<int>>"}
    rows = [[2**62, "2024-01-01T10:00:00Z", {"k": 0.1}, {"a": "é'\"\\\n", "b": [1]}], [None, None, None, None]]
    found = small_frame(spark, rows, schema)
    assert found.select("id", "m", "s").collect() == [
        Row(id=2**62, m={"k": 0.1}, s=Row(a="é'\"\\\n", b=[1])), Row(id=None, m=None, s=None),
    ]  # fmt: skip
    assert found.columns == list(schema)
    assert small_frame(spark, [], schema).count() == 0


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("tinyint", "smallint"), ("int", "bigint"), ("int", "double"), ("smallint", "float"), ("int", "decimal(10,0)"),
        ("bigint", "decimal(19,0)"), ("decimal(10,2)", "decimal(12,4)"), ("float", "double"), ("int", "string"),
        ("date", "string"), ("void", "array<int>"),
    ],
)  # fmt: skip
def test_a_type_widens_only_where_no_value_is_lost(spark: SparkSession, narrow: str, wide: str) -> None:
    one, other = (spark.sql(f"SELECT CAST(null AS {kind}) AS it").schema["it"].dataType for kind in (narrow, wide))
    assert widens(one, other)
    assert widens(one, one)
    assert not widens(other, one)


def test_a_type_that_may_lose_a_value_does_not_widen() -> None:
    assert not widens(LongType(), DoubleType())  # 2^53 + 1
    assert not widens(StringType(), IntegerType())
    assert not widens(IntegerType(), NullType())
