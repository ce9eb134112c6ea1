"""A column that the contract does not name goes where the contract says, and no value of it is lost unseen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.check.contract import Checked, check
from lakehouse.errors import ConfigError
from lakehouse.lake.batch import CODE, MESSAGE, OTHERS, RAW, SOURCE, SOURCE_TYPE, Arrived
from lakehouse.read.kafka import RECORD, arrived
from lakehouse.spec.contract import Contract
from lakehouse.spec.kafka import KafkaSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SCHEMA = f"id string, n string, `extra.1` string, m map<string,int>, _kafka string, {RAW} string, {CODE} string, {MESSAGE} string"
ROWS = [
    ("1", "5", None, None, "k", None, None, None),
    ("2", "6", "gold", {"a": 1}, "k", None, None, None),
    ("3", "x", "", None, "k", None, None, None),
    ("y", "7", None, None, "k", None, None, None),
    (None, None, None, None, None, "{", "MALFORMED_JSON", "not JSON"),
]


def frame(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, SCHEMA).withColumn(SOURCE, F.lit(None).cast(SOURCE_TYPE))


def judged(rows: DataFrame, unknown: str, **more: Any) -> Checked:
    contract = {"unknown": unknown, "columns": {"id": "int not null", "n": "int"}, **more}
    return check(Arrived(rows), Contract.model_validate(contract))


def accepted(checked: Checked) -> list[tuple[Any, ...]]:
    assert checked.read == checked.kept + checked.quarantined + checked.dropped
    columns = [name for name in checked.accepted.columns if name != SOURCE]
    return sorted(
        (tuple(row) for row in checked.accepted.select(*[f"`{name}`" for name in columns]).collect()), key=repr
    )


def rejected(checked: Checked) -> list[tuple[str, list[str]]]:
    return sorted(
        (json.loads(row.record).get("id") if row.record != "{" else "{", row.reasons)
        for row in checked.rejected.collect()
    )


def test_unknown_columns_are_left_out_and_told_by_name(spark: SparkSession) -> None:
    checked = judged(frame(spark), "ignore")
    assert accepted(checked) == [(1, 5, "k"), (2, 6, "k")]
    assert rejected(checked) == [("3", ["CAST:n"]), ("y", ["CAST:id"]), ("{", ["MALFORMED_JSON"])]
    assert checked.broken == {"unknown:extra.1": 2, "unknown:m": 1}


def test_what_has_no_place_is_rescued_as_json_beside_the_row(spark: SparkSession) -> None:
    checked = judged(frame(spark), "rescue")
    assert checked.accepted.columns == ["id", "n", "_rescued", "_kafka", SOURCE]
    assert accepted(checked) == [
        (1, 5, None, "k"),
        (2, 6, '{"extra.1":"gold","m":"{\\"a\\":1}"}', "k"),
        (3, None, '{"extra.1":"","n":"x"}', "k"),  # what does not fit, too; but never what must not be NULL
    ]
    assert rejected(checked) == [("y", ["CAST:id"]), ("{", ["MALFORMED_JSON"])]
    assert checked.broken == {"unknown:extra.1": 2, "unknown:m": 1}


def test_rows_with_a_value_in_an_unknown_column_are_refused_and_others_pass(spark: SparkSession) -> None:
    checked = judged(frame(spark), "refuse")
    assert accepted(checked) == [(1, 5, "k")]
    assert rejected(checked) == [
        ("2", ["UNKNOWN_COLUMN:extra.1", "UNKNOWN_COLUMN:m"]),
        ("3", ["CAST:n", "UNKNOWN_COLUMN:extra.1"]),
        ("y", ["CAST:id"]),
        ("{", ["MALFORMED_JSON"]),
    ]


def test_fields_that_a_reader_found_itself_are_rescued_with_the_others(spark: SparkSession) -> None:
    rows = (
        frame(spark)
        .drop("m", "extra.1")
        .where("id IN ('1', '3')")
        .withColumn(OTHERS, F.expr("if(id = '3', map('z', '[1]'), null)"))
    )
    assert accepted(judged(rows, "rescue")) == [(1, 5, None, "k"), (3, None, '{"n":"x","z":"[1]"}', "k")]
    # nothing is unknown, and nothing can be misfit
    fitting = rows.drop(OTHERS).select(F.lit(1).alias("id"), F.lit(2).alias("n"), SOURCE, RAW, CODE, MESSAGE).limit(1)
    assert accepted(judged(fitting, "rescue")) == [(1, 2, None)]


def test_a_source_that_has_a_column_of_the_rescues_name_is_an_error(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match="has a column _rescued of its own"):
        judged(frame(spark).withColumn("_rescued", F.lit("x")), "rescue")


@pytest.mark.parametrize(
    ("unknown", "kept", "told"),
    [
        ("ignore", [(1, True), (2, False)], []),
        ("rescue", [(1, True, None), (2, False, '{"z":"[1]"}')], []),
        ("refuse", [(1, True)], ["UNKNOWN_FIELD"]),
        ("keep", [(1, True)], ["UNKNOWN_FIELD"]),  # as the source says
    ],
)
def test_fields_of_messages_go_where_the_contract_says(
    spark: SparkSession, unknown: str, kept: list[Any], told: list[str]
) -> None:
    texts = ['{"id": 1, "b": "yes"}', '{"id": 2, "b": "no", "z": [1]}']
    records = spark.createDataFrame([(text,) for text in texts], "text string").select(
        *[(F.col("text") if name == "value" else F.lit(None)).cast(kind).alias(name) for name, kind in RECORD.items()]
    )
    columns = {"id": "int not null", "b": {"type": "boolean", "true_values": ["yes"], "false_values": ["no"]}}
    source = KafkaSource.model_validate(
        {
            "kind": "kafka",
            "bootstrap_servers": "localhost:1",
            "topics": "t",
            "value": "json",
            "contract": {"unknown": unknown, "columns": columns},
        }
    )
    checked = check(arrived(records, source, None, run_id="r"), source.contract)
    assert [row[:-1] for row in accepted(checked)] == kept
    assert [row.code for row in checked.rejected.collect()] == told
