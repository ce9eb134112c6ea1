"""A file that lacks what its contract needs is wrong as a whole; a column may come under other names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from lakehouse.check.contract import check
from lakehouse.lake.batch import CODE, Arrived
from lakehouse.lake.frame import small_frame
from lakehouse.read.payload.json import decoded
from lakehouse.spec.contract import Contract
from tests.read.corpus.binary import a_parquet, an_orc

Read = Callable[..., Any]

DECLARED = {
    "columns": {
        "id": {"type": "bigint", "nullable": False, "aliases": ["identifier", "Kd Nr"]},
        "name": {"type": "string", "aliases": "nm"},
    }
}


def test_a_file_without_what_must_not_be_null_is_one_entry_and_brings_no_column(read: Read) -> None:
    found = read(
        {
            "good.csv": "id,name\n1,a\n",
            "alias.csv": "KD NR,NM\n2,b\n",
            "renamed.csv": "idd,name\n3,c\n4,d\n",
            "other.csv": "x,y\n5,6\n",
            "both.csv": "id,identifier\n7,7\n",
            "some.csv": "id\n8\n",
            "a.jsonl": '{"identifier": 9, "name": "e"}\n{}\n{"x": 1}\n{"id": 10, "Identifier": 10}\n{"name": null}\n',
        },
        contract=Contract.model_validate(DECLARED),
    )
    assert found.files == dict.fromkeys(("renamed.csv", "other.csv", "both.csv"), "FILE_HEADER")
    assert "it lacks id" in found.messages["renamed.csv"]
    assert "did you mean 'idd'" in found.messages["renamed.csv"]
    assert "id and identifier are one" in found.messages["both.csv"]
    assert "idd" not in found.frame.columns
    checked = check(Arrived(found.frame), Contract.model_validate(DECLARED))
    rows = sorted((row.id, row.name) for row in checked.accepted.collect())
    assert rows == [(1, "a"), (2, "b"), (8, None), (9, "e")]
    assert checked.accepted.columns == ["id", "name", "x", "_source"]
    aside = sorted((row.record, row.code, row.reasons[0]) for row in checked.rejected.collect())
    assert aside == [
        ('{"id": 10, "Identifier": 10}', "COLUMN_TWICE", "COLUMN_TWICE:id"),
        ('{"name": null}', "NULL_VALUE", "NULL_VALUE:id"),
        ('{"x": 1}', "NO_DECLARED_FIELD", "NO_DECLARED_FIELD:record"),
        ("{}", "NO_DECLARED_FIELD", "NO_DECLARED_FIELD:record"),
    ]


def test_a_file_may_lack_columns_where_the_contract_allows_it(read: Read) -> None:
    contract = Contract.model_validate({**DECLARED, "missing": "allow"})
    found = read({"a.csv": "x\n5\n", "b.jsonl": "{}\n"}, contract=contract)
    assert found.files == {}
    checked = check(Arrived(found.frame), contract)
    assert sorted(row.code for row in checked.rejected.collect()) == ["NULL_VALUE", "NULL_VALUE"]


@pytest.mark.parametrize(("missing", "code"), [("refuse", "NO_DECLARED_FIELD"), ("allow", None)])
def test_a_message_without_a_declared_field_is_put_aside_as_a_line_of_a_file_is(
    spark: SparkSession, missing: str, code: str | None
) -> None:
    texts = ("{}", '{"x": 1}', '{"id": null}', '{"id": 1, "x": 1}', "[]")
    messages = small_frame(spark, [[text] for text in texts], {"__text": "string"})
    messages = messages.withColumn("__value", F.col("__text").cast("binary"))
    rows = decoded(messages, {"id": LongType()}, unknown="ignore", missing=missing).collect()
    assert {row["__text"]: row[CODE] for row in rows} == dict(
        zip(texts, (code, code, None, None, "MALFORMED_JSON"), strict=True)
    )


def test_parquet_and_orc_files_that_lack_a_column_are_one_entry_each_beside_good_ones(read: Read) -> None:
    tables = {
        "good": {"id": [1], "name": ["a"]},
        "alias": {"KD NR": [2], "NM": ["b"]},
        "nothing in name": {"id": [3], "name": pa.array([None], pa.string())},
        "renamed": {"idd": [4, 5], "name": ["c", "d"]},
        "other": {"x": [6]},
        "both": {"id": [7], "identifier": [7]},
    }
    made = {
        f"{name}.{form}": written(pa.table(columns))
        for name, columns in tables.items()
        for form, written in (("parquet", a_parquet), ("orc", an_orc))
    }
    found = read(made, contract=Contract.model_validate(DECLARED))
    wrong = [f"{name}.{form}" for name in ("renamed", "other", "both") for form in ("parquet", "orc")]
    assert found.files == dict.fromkeys(wrong, "FILE_HEADER")
    for form in ("parquet", "orc"):
        assert "it lacks id" in found.messages[f"renamed.{form}"]
        assert "did you mean 'idd'" in found.messages[f"renamed.{form}"]
        assert "it lacks id" in found.messages[f"other.{form}"]
        assert "id and identifier are one" in found.messages[f"both.{form}"]
    assert {"idd", "x"}.isdisjoint(found.frame.columns)
    assert sorted(found.good) == sorted({*made} - {*wrong})
