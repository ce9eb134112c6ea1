"""What is done to a table that is read as a stream, beside appends, is found in its log and has a way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import NotAppendOnlyError, SourceChangedError, SourceGrownError
from lakehouse.lake.table import Table, commits
from lakehouse.read.table_changes import check_log, failure_of
from lakehouse.recovery.recover import recover
from lakehouse.runtime.workplace import prepare

OFFSET = {"reservoirId": "one", "reservoirVersion": 2, "index": -1, "isStartingVersion": False}


def logged(folder: Path, *infos: dict[str, Any], table_id: str = "one") -> Table:
    """A table whose commits say these things."""
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    for version, info in enumerate(infos):
        lines = [{"commitInfo": {"timestamp": 1_700_000_000_000, **info}}]
        lines += [{"metaData": {"id": table_id}}] if version == 0 else []
        (log / f"{version:020d}.json").write_text("\n".join(map(json.dumps, lines)))
    return Table("bronze.orders", str(folder))


def note(**more: Any) -> str:
    return json.dumps({"lakehouse": {"job": "bronze", **more}})


MADE, APPEND = {"operation": "CREATE TABLE"}, {"operation": "WRITE", "operationParameters": {"mode": "Append"}}
OVERWRITE = {"operation": "WRITE", "operationParameters": {"mode": "Overwrite"}}
CHANGES = {
    "replaced": ([MADE, APPEND, {"operation": "CREATE OR REPLACE TABLE"}], {}, r"was replaced \(version 2"),
    "renamed": ([MADE, APPEND, APPEND, {"operation": "RENAME COLUMN"}], {}, r"a column was renamed \(version 3"),
    "dropped": ([MADE, APPEND, {"operation": "DROP COLUMNS"}], {}, "a column was dropped"),
    "rebuilt": ([MADE, APPEND, {**OVERWRITE, "userMetadata": note(step="refresh")}], {}, "--full-refresh of bronze"),
    "made again": ([MADE, APPEND, APPEND, APPEND], {"reservoirId": "another"}, "was made again"),
    "short": ([MADE], {"reservoirVersion": 5}, "ends before what this job has read"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_a_stream_cannot_go_on_from_is_found_before_anything_is_read(tmp_path, case) -> None:
    infos, offset, told = CHANGES[case]
    table = logged(tmp_path / "t", *infos)
    with pytest.raises(SourceChangedError, match=told) as caught:
        check_log(table, list(commits(None, table, 100)), {**OFFSET, **offset})
    assert caught.value.hint.startswith("--full-refresh of this job")


@pytest.mark.parametrize("place", [{"reservoirVersion": 3}, {"index": 4}, {"isStartingVersion": True}])
def test_what_was_read_past_is_no_change_any_more(tmp_path, place) -> None:
    table = logged(tmp_path / "t", MADE, APPEND, {"operation": "CREATE OR REPLACE TABLE"}, APPEND)
    check_log(table, list(commits(None, table, 100)), {**OFFSET, **place})


def test_what_was_undone_is_no_change_and_a_log_without_its_beginning_tells_nothing(tmp_path) -> None:
    table = logged(tmp_path / "t", MADE, APPEND, {"operation": "RENAME COLUMN"}, {"operation": "RESTORE"})
    log = list(commits(None, table, 100))
    check_log(table, log, OFFSET, [(2, 3)])
    (tmp_path / "t/_delta_log" / f"{0:020d}.json").unlink()
    check_log(table, log, {**OFFSET, "reservoirId": "another"}, [(2, 3)])


def test_the_words_of_delta_are_typed(tmp_path) -> None:
    table = logged(tmp_path / "t", MADE, OVERWRITE, APPEND, {"operation": "ADD COLUMNS"}, APPEND)
    words = {
        "[DELTA_SOURCE_TABLE_IGNORE_CHANGES] Detected a data update": NotAppendOnlyError,
        "[DIFFERENT_DELTA_TABLE_READ_BY_STREAMING_SOURCE] The streaming query": SourceChangedError,
        "[DELTA_STREAMING_INCOMPATIBLE_SCHEMA_CHANGE_USE_SCHEMA_LOG] Streaming read": SourceChangedError,
        "[DELTA_SCHEMA_CHANGED_WITH_VERSION] Detected schema change in version 0:": SourceChangedError,
        "[DELTA_SCHEMA_CHANGED_WITH_VERSION] Detected schema change in version 2:": SourceGrownError,
        "[DELTA_SCHEMA_CHANGED_WITH_VERSION] Detected schema change in version 4:": SourceGrownError,
        "[DELTA_SCHEMA_CHANGED_WITH_VERSION] Detected schema change in version 9:": SourceChangedError,
        "[DELTA_SCHEMA_CHANGED] Detected schema change": SourceChangedError,
    }
    for error, kind in words.items():
        assert type(failure_of(table, error)) is kind
    assert failure_of(table, "java.lang.OutOfMemoryError") is None


MAPPED = "'delta.columnMapping.mode' = 'name', 'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5'"
BRONZE = """
sources: {{orders: {{kind: files, path: "${{param:landing}}/orders", format: csv}}}}
write: {{table: bronze.orders, mode: append{more}}}
"""
SILVER = """
sources: {orders: {kind: table, table: bronze.orders, stream: true}}
write: {table: silver.orders, mode: append}
"""


def test_the_way_out_of_a_table_that_is_another_one_works(workshop) -> None:
    """A column that was renamed, a table that was made again, and one that a job rebuilt with other partitions."""
    spark, table = workshop.spark, f"delta.`{workshop.folder}/bronze/orders`"
    workshop.job("silver", SILVER)
    spark.sql(f"CREATE TABLE {table} (id STRING, v STRING) USING DELTA TBLPROPERTIES({MAPPED})")
    spark.sql(f"INSERT INTO {table} VALUES ('1', 'a')")
    workshop.run("silver")
    spark.sql(f"ALTER TABLE {table} RENAME COLUMN v TO w")
    refused(workshop, "a column was renamed")
    rebuilt(workshop, "w", [("1", "a")])
    shutil.rmtree(workshop.folder / "bronze" / "orders")
    workshop.job("bronze", BRONZE.format(more=""))
    workshop.land("orders/1.csv", "id,v\n2,b\n")
    workshop.run("bronze")
    refused(workshop, "was made again")
    report = recover(prepare("silver", lake=str(workshop.folder), root=workshop.project), spark=spark)
    assert (report.status, "was made again" in report.why[0], "--full-refresh" in report.why[1]) == (
        "nothing",
        True,
        True,
    )
    rebuilt(workshop, "v", [("2", "b")])
    workshop.job("bronze", BRONZE.format(more=", partition_by: v"))
    workshop.run("bronze", full_refresh=True)
    refused(workshop, "was rebuilt by --full-refresh of bronze")
    rebuilt(workshop, "v", [("2", "b")])
    workshop.land("orders/2.csv", "id,v\n3,c\n")
    workshop.run("bronze")
    assert workshop.run("silver").rows.inserted == 1


def refused(workshop, told: str) -> None:
    with pytest.raises(SourceChangedError, match=told) as caught:
        workshop.run("silver")
    assert "--full-refresh" in caught.value.hint


def rebuilt(workshop, column: str, rows: list[tuple[str, str]]) -> None:
    workshop.run("silver", full_refresh=True)
    assert workshop.rows("silver.orders", "id", column) == rows
