"""Every row of a batch has one fate, and keeps what it was received as."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.check.contract import Checked, check, required
from lakehouse.errors import ColumnMissingError, ConfigError, QualityGateError
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, SOURCE_TYPE, Arrived, BadFile
from lakehouse.lake.frame import col, materialise
from lakehouse.spec.contract import Contract


def arrived(spark: SparkSession, schema: str, *rows: tuple[Any, ...], bad_files: tuple[BadFile, ...] = ()) -> Arrived:
    """Rows as a source brings them; a row that could not be read has its text, code and message at its end."""
    width = len(spark.createDataFrame([], schema).columns)
    beside = f"{schema}, {RAW} string, {CODE} string, {MESSAGE} string"
    frame = spark.createDataFrame([row if len(row) > width else (*row, None, None, None) for row in rows], beside)
    return Arrived(materialise(frame.withColumn(SOURCE, F.lit(None).cast(SOURCE_TYPE))), bad_files)


def contract(columns: dict[str, Any] | None = None, *rules: tuple[str, ...]) -> Contract:
    """A contract of column types and of rules, each (name, check) or (name, check, on_fail)."""
    named = [dict(zip(("name", "check", "on_fail"), rule, strict=False)) for rule in rules]
    return Contract.model_validate({"columns": columns or {}, "rules": named})


def accepted(checked: Checked) -> list[tuple[Any, ...]]:
    return sorted((tuple(row)[:-1] for row in checked.accepted.collect()), key=repr)


def rejected(checked: Checked) -> list[tuple[Any, ...]]:
    return sorted((row.record, row.code, row.reasons) for row in checked.rejected.collect())


def fates(checked: Checked) -> tuple[int, int, int, int]:
    assert checked.read == checked.kept + checked.quarantined + checked.dropped
    return checked.read, checked.kept, checked.quarantined, checked.dropped


def test_each_row_meets_the_fate_that_its_rules_name(spark: SparkSession) -> None:
    batch = arrived(spark, "id string, n string", *[(str(n), str(n)) for n in range(1, 9)], ("9", None))
    rules = contract(
        {"id": "int", "n": "int"},
        ("one", "n <> 1"),
        ("two", "n <> 2", "drop"),
        ("three", "n <> 3", "warn"),
        ("small", "n < 8", "drop"),
        ("also_small", "n < 8"),
        ("never", "n > 0", "fail"),
    )
    checked = check(batch, rules)
    assert fates(checked) == (9, 6, 2, 1)
    assert accepted(checked) == [(n, n) for n in (3, 4, 5, 6, 7)] + [(9, None)]  # a rule that is NULL is not broken
    assert rejected(checked) == [
        ('{"id":"1","n":"1"}', "RULE", ["RULE:one"]),
        ('{"id":"8","n":"8"}', "RULE", ["RULE:also_small"]),  # to be kept aside goes before to be left out
    ]
    assert checked.broken == {"one": 1, "two": 1, "three": 1, "small": 1, "also_small": 1}


def test_a_row_is_rejected_with_all_that_is_wrong_and_as_it_was_received(spark: SparkSession) -> None:
    batch = arrived(
        spark,
        "a string, b string, c string",
        ("x", None, "7"),
        ("1", "y", "y"),
        ("2", "3.5", "4"),
        (None, "3", "4"),
        ("9", None, None, '9,"', "UNCLOSED_QUOTE", "a quote"),
        bad_files=(BadFile("f.csv", "FILE_EMPTY", "no byte"),),
    )
    checked = check(
        batch, contract({"a": "int not null", "b": "int", "c": "int"}, ("small", "c < 5"), ("b_low", "b < 3"))
    )
    assert fates(checked) == (6, 0, 6, 0)
    assert rejected(checked) == [
        ('9,"', "UNCLOSED_QUOTE", ["UNCLOSED_QUOTE"]),  # judged by what it is, not by what was made of it
        ('{"a":"1","b":"y","c":"y"}', "CAST", ["CAST:b", "CAST:c"]),  # rules over a failed cast say nothing
        ('{"a":"2","b":"3.5","c":"4"}', "CAST", ["CAST:b"]),
        ('{"a":"x","b":null,"c":"7"}', "CAST", ["CAST:a", "RULE:small"]),
        ('{"a":null,"b":"3","c":"4"}', "NULL_VALUE", ["NULL_VALUE:a", "RULE:b_low"]),
    ]


def test_columns_are_typed_in_the_order_of_the_contract_whatever_their_case(spark: SparkSession) -> None:
    batch = arrived(spark, "extra string, `ID` string, `a.b` string, `c``d` string", ("e", "1", "2.50", "2024-01-01"))
    checked = check(batch, contract({"a.b": "decimal(5,2)", "gone": "date", "c`d": "date", "id": "bigint"}))
    frame = checked.accepted
    assert [(field.name, field.dataType.simpleString()) for field in frame.schema.fields][:-1] == [
        ("a.b", "decimal(5,2)"), ("gone", "date"), ("c`d", "date"), ("id", "bigint"), ("extra", "string"),
    ]  # fmt: skip
    assert frame.columns[-1] == SOURCE
    assert [str(value) for value in frame.collect()[0][:5]] == ["2.50", "None", "2024-01-01", "1", "e"]


def test_a_declared_column_that_the_batch_lacks_is_null_or_an_error(spark: SparkSession) -> None:
    batch = arrived(spark, "id string", ("1",))
    assert accepted(check(batch, contract({"id": "int", "n": "int"}))) == [(1, None)]
    assert rejected(check(batch, contract({"id": "int", "n": "int not null"})))[0][2] == ["NULL_VALUE:n"]
    with pytest.raises(ColumnMissingError, match="declares n, which the source does not have .it has id"):
        check(batch, contract({"id": "int", "n": "int"}), missing="error")


def test_not_a_number_is_no_decimal_and_passes_no_bound(spark: SparkSession) -> None:
    batch = arrived(spark, "d double, t string", (float("nan"), "NaN"), (1.5, "1.5"))
    checked = check(batch, contract({"d": "double", "t": "decimal(3,1)"}, ("low", "d < 100")))
    assert rejected(checked) == [('{"d":"NaN","t":"NaN"}', "CAST", ["CAST:t", "RULE:low"])]


def test_without_a_contract_only_what_could_not_be_read_is_put_aside(spark: SparkSession) -> None:
    batch = arrived(spark, "a string", ("x",), (None, "{", "MALFORMED_JSON", "not JSON"))
    checked = check(batch, None)
    assert fates(checked) == (2, 1, 1, 0)
    assert accepted(checked) == [("x",)]
    assert checked.accepted.columns == ["a", SOURCE]
    assert [tuple(row) for row in checked.rejected.drop("types", "contract", "severity").collect()] == [
        ("{", None, "MALFORMED_JSON", ["MALFORMED_JSON"], "not JSON")
    ]


def test_a_batch_of_no_rows_or_no_columns_has_counts_of_nothing(spark: SparkSession) -> None:
    assert fates(check(arrived(spark, "a string"), contract({"a": "int"}, ("r", "a > 0", "fail")))) == (0, 0, 0, 0)
    empty = spark.createDataFrame([], f"{SOURCE} {SOURCE_TYPE}, {RAW} string, {CODE} string, {MESSAGE} string")
    checked = check(Arrived(empty, (BadFile("f", "FILE_EMPTY", ""),)), contract({"a": "int"}))
    assert fates(checked) == (1, 0, 1, 0)


def test_a_broken_gate_ends_the_run_and_says_how_often(spark: SparkSession) -> None:
    batch = arrived(spark, "n int", (1,), (-1,), (-2,))
    with pytest.raises(QualityGateError, match=r"positive \(n > 0\): 2 rows") as raised:
        check(batch, contract({}, ("positive", "n > 0", "fail"), ("small", "n < 9", "fail")))
    assert (raised.value.code, raised.value.exit_code) == ("QUALITY_GATE", 3)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("nosuch > 0", "nosuch"),
        ("n + 1", "is int, not true or false"),
        ("n > 'x' || t || nosuch", "nosuch"),
        ("1 / n > 0", "fails on some row: '1 / n > 0'.*DIVIDE_BY_ZERO"),
        ("cast(t as int) > 0", "fails on some row.*CAST_INVALID_INPUT"),
    ],
)
def test_a_rule_that_spark_cannot_evaluate_is_named(spark: SparkSession, rule: str, told: str) -> None:
    batch = arrived(spark, "n int, t string", (0, "x"), (1, "1"))
    with pytest.raises(ConfigError, match=f"(?s)rule 'odd'.*{told}"):
        check(batch, contract({"n": "int"}, ("fine", "n >= 0"), ("odd", rule)))


def test_a_type_that_no_value_can_have_is_named(spark: SparkSession) -> None:
    batch = arrived(spark, "n int, xs array<int>", (1, [1]))
    with pytest.raises(ConfigError, match="declares n as date, and no int can become one"):
        check(batch, contract({"n": "date"}), missing="error")
    with pytest.raises(ConfigError, match="declares xs as int, and no array<int> can become one"):
        check(batch, contract({"xs": "int"}), missing="error")
    # of files, each brings types of its own: what cannot be had of one is a matter of its rows
    assert rejected(check(batch, contract({"n": "date", "xs": "int"})))[0][1:3] == ("CAST", ["CAST:n", "CAST:xs"])


def test_a_rule_is_asked_once_so_that_counts_and_rows_agree(spark: SparkSession) -> None:
    rows = arrived(spark, "n int", *[(n,) for n in range(500)]).rows
    # a source may give other values whenever it is asked
    batch = Arrived(rows.withColumn("luck", F.rand()))
    checked = check(batch, contract({"n": "int", "luck": "double"}, ("luck", "luck < 0.5")))
    first = accepted(checked)
    assert (len(first), checked.rejected.count()) == (checked.kept, checked.quarantined)
    assert accepted(checked) == first


def test_a_rejected_row_of_any_types_is_kept_as_json(spark: SparkSession) -> None:
    schema = "k string, b binary, m map<string,int>, s struct<x:array<decimal(3,1)>>, d double, v void, t timestamp"
    frame = arrived(
        spark, schema, (None, b"\xff", {"q": 1}, ((),), float("inf"), None, datetime(2024, 1, 2, 3, 4, 5, 678901, UTC))
    )
    checked = check(frame, contract({"k": "string not null"}))
    assert json.loads(rejected(checked)[0][0]) == {
        "k": None, "b": "/w==", "m": {"q": 1}, "s": {"x": []}, "d": "Infinity", "v": None,
        "t": "2024-01-02T03:04:05.678901Z",
    }  # fmt: skip


def test_a_row_without_a_key_is_split_off_after_the_transform(spark: SparkSession) -> None:
    produced = spark.createDataFrame(
        [("a", 1, 0), (None, 2, 0), ("c", None, 0), (None, None, 0)], "`k.1` string, s int, x int"
    )
    good, bad = required(
        produced, {"NULL_KEY:k.1": col("k.1").isNull(), "NULL_KEY:s": col("s").isNull()}, ["k.1", "s", "x"]
    )
    assert [tuple(row) for row in good.collect()] == [("a", 1, 0)]
    assert sorted((row.record, row.code, row.reasons) for row in bad.collect()) == [
        ('{"k.1":"c","s":null,"x":0}', "NULL_KEY", ["NULL_KEY:s"]),
        ('{"k.1":null,"s":2,"x":0}', "NULL_KEY", ["NULL_KEY:k.1"]),
        ('{"k.1":null,"s":null,"x":0}', "NULL_KEY", ["NULL_KEY:k.1", "NULL_KEY:s"]),
    ]
