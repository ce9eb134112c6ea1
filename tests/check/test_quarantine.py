"""The quarantine keeps each rejected row once, with where it came from and why it is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from lakehouse.check.quarantine import REPLAY, put_aside
from lakehouse.errors import ImbalanceError
from lakehouse.lake.batch import SOURCE_TYPE, BadFile, Identity
from lakehouse.lake.place import Lake
from lakehouse.lake.table import commits

if TYPE_CHECKING:
    from lakehouse.testing import LocalLake

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDENTITY = Identity("j'ob", "run'1", "stream", 0)
TARGET = "silver.orders"


def test_rows_and_files_are_kept_with_source_reason_and_stage_and_only_once(lake: LocalLake) -> None:
    spark, table = lake.spark, Lake(str(lake.folder)).quarantine(TARGET)
    source = "named_struct('file', 'f', 'position', 7L, 'topic', null, 'partition', null, 'offset', null, "
    source += "'ingested_at', null, 'run_id', 'r')"
    rows = spark.createDataFrame(
        [("a,b", "CAST", ["CAST:n"], "no number")], "record string, code string, reasons array<string>, message string"
    )
    read = rows.withColumn("source", F.expr(source).cast(SOURCE_TYPE))
    written = rows.withColumn("source", F.lit(None))
    files = [BadFile("x'y.csv", "FILE_EMPTY", "no byte")]

    def put(identity: Identity, expected: int) -> None:
        put_aside(spark, table, {"read": [read], "write": [written]}, files, identity, now=NOW, expected=expected)

    put(replace(IDENTITY, run_id="run 0"), 3)
    put(replace(IDENTITY, again=True), 3)  # in the place of what the first attempt put there
    found = lake.rows(
        "quarantine.silver_orders",
        "record",
        "source.file",
        "source.position",
        "code",
        "reasons",
        "stage",
        "job",
        "run_id",
    )
    assert found == [
        ("a,b", "f", 7, "CAST", ["CAST:n"], "read", "j'ob", "run'1"),
        ("a,b", None, None, "CAST", ["CAST:n"], "write", "j'ob", "run'1"),
        (None, "x'y.csv", None, "FILE_EMPTY", ["FILE_EMPTY"], "read", "j'ob", "run'1"),
    ]
    assert lake.frame("quarantine.silver_orders").select("quarantined_at").distinct().count() == 1
    (newest,) = commits(spark, table, 1)
    assert newest.note["counts"] == {"quarantined": 3}

    # what a person has discarded is no news when a replay meets it again
    spark.sql(
        f"UPDATE {table.sql} SET outcome = 'discarded', closed_at = now(), why = 'a test', closed_by = 'ann' WHERE code = 'CAST'"
    )
    put(replace(IDENTITY, stream=f"{REPLAY}1"), 3)
    again = lake.frame("quarantine.silver_orders").where(f"stream LIKE '{REPLAY}%'").orderBy("code", "stage")
    assert [tuple(row) for row in again.select("code", "stage", "outcome", "why", "closed_by").collect()] == [
        ("CAST", "read", "discarded", "a test", "ann"),
        ("CAST", "write", "discarded", "a test", "ann"),
        ("FILE_EMPTY", "read", None, None, None),
    ]
    spark.sql(f"DELETE FROM {table.sql} WHERE stream LIKE '{REPLAY}%'")

    # a new checkpoint counts from 0 again, and is another batch
    with pytest.raises(ImbalanceError, match="4 rows were to be put aside, the commit holds 3"):
        put(Identity("job", "run 2", "another", 0), 4)
    assert len(lake.rows("quarantine.silver_orders")) == 6
