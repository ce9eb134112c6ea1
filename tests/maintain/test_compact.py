"""Purge and optimize: where it pays, no row changed, and nothing of it stays in the session."""

from __future__ import annotations

import threading

import pytest
from delta.exceptions import ConcurrentAppendException

from lakehouse.errors import WriteConflictError
from lakehouse.lake.table import Table, head
from lakehouse.maintain import commit
from lakehouse.maintain import compact as module
from lakehouse.maintain.commit import attempted
from lakehouse.runtime.whole import _changed
from tests.maintain.conftest import FEW, add, operations, seen


def compact(spark, table, **asked):
    return list(module.compact(spark, table, bounds=FEW, **asked))


OF_ANOTHER = {
    "spark.databricks.delta.commitInfo.userMetadata": "someone's note",
    "spark.databricks.delta.write.txnAppId": "some merge",
    "spark.databricks.delta.write.txnVersion": "7",
}


def test_small_files_become_one_and_readers_see_the_same_rows(spark, make):
    table = make(4, delete="id < 10")
    before, version = seen(table), head(spark, table).version
    purge, optimize = compact(spark, table, dry_run=True)
    assert (purge.status, purge.why) == ("nothing", "10 of 400 rows are deleted")
    assert (optimize.status, optimize.why) == ("planned", "4 of 4 files are small")
    assert head(spark, table).version == version

    # what another left in the session neither makes Delta skip the commit, nor is it lost
    for key, value in OF_ANOTHER.items():
        spark.conf.set(key, value)
    try:
        optimize = compact(spark, table)[1]
        assert {key: spark.conf.get(key) for key in OF_ANOTHER} == OF_ANOTHER
    finally:
        for key in OF_ANOTHER:
            spark.conf.unset(key)
    assert (optimize.status, optimize.counts["files_before"], optimize.counts["files_after"]) == ("done", 4, 1)
    assert optimize.counts["bytes_before"] > optimize.counts["bytes_after"] > 0
    assert seen(table) == before
    made = head(spark, table)
    assert (made.operation, made.note, made.changes_rows) == (
        "OPTIMIZE",
        {"step": "maintain", "action": "optimize"},
        False,
    )

    # a job that reads the table as it is has nothing to do, for its rows are those of the deletion
    assert _changed(spark, table, made.version)[0] == version

    # and where nothing pays any more there is no commit
    assert [one.status for one in compact(spark, table)] == ["nothing", "nothing"]
    assert head(spark, table) == made
    assert all(spark.conf.get(key, None) is None for key in OF_ANOTHER)


def test_deleted_rows_are_purged_once_they_are_many(spark, make):
    table = make(2, delete="id < 10 OR id BETWEEN 150 AND 180")
    before = seen(table)
    purged = compact(spark, table)[0]
    assert (purged.status, purged.counts["rows_purged"], purged.why) == ("done", 41, "41 of 200 rows are deleted")
    assert seen(table) == before
    made = head(spark, table)
    assert (made.operation, made.changes_rows, made.note["action"]) == ("REORG", False, "purge")
    assert compact(spark, table)[0].why == "files: 1, and no row is deleted"


def test_a_clustered_table_is_clustered_when_enough_is_not_and_purged_with_what_is_new(spark, make):
    table = make(3, layout="CLUSTER BY (id)")
    assert compact(spark, table)[1].status == "done"
    spark.sql(f"DELETE FROM {table.sql} WHERE id % 2 = 0")
    purged, optimized = compact(spark, table)
    assert (purged.status, "only together with new ones" in purged.why) == ("skipped", True)
    assert (optimized.status, optimized.why) == ("nothing", "0 of 1 files are not clustered")
    add(spark, table, 300)
    before = seen(table)
    purged = compact(spark, table)[0]
    assert (purged.status, purged.counts["rows_purged"]) == ("done", 150)

    spark.sql(f"ALTER TABLE {table.sql} CLUSTER BY (day)")
    for start in (400, 500):
        add(spark, table, start)
    optimized = compact(spark, table)[1]
    assert (optimized.status, optimized.counts["files_before"]) == ("done", 3)
    assert "clustered by other columns before" in optimized.why
    assert seen(table)[: len(before)] == before


def test_files_of_two_partitions_are_not_brought_together(spark, make):
    # a table as another makes it: names mapped, no deletion vectors
    properties = "'delta.columnMapping.mode' = 'name', 'delta.enableChangeDataFeed' = 'true'"
    table = make(4, layout="PARTITIONED BY (day)", properties=properties)
    assert [one.status for one in compact(spark, table)] == ["nothing", "nothing"]
    spark.range(0, 100, 1, 3).selectExpr("id", "'d0' day").write.format("delta").mode("append").save(table.path)
    before = seen(table)
    optimized = compact(spark, table)[1]
    assert (optimized.status, optimized.counts["files_before"], optimized.counts["files_after"]) == ("done", 4, 1)
    assert seen(table) == before


def test_a_writer_beside_it_loses_nothing(spark, make):
    table = make(4)
    writer = threading.Thread(target=add, args=(spark, table, 400))
    writer.start()
    done = compact(spark, table)[1]
    writer.join()
    assert done.status == "done"
    assert [row[0] for row in seen(table)] == list(range(500))
    assert sorted(operations(spark, table)) == ["OPTIMIZE", "WRITE", "WRITE"]


def test_it_gives_way_to_writers_and_says_so_in_the_end(monkeypatch):
    monkeypatch.setattr(commit.time, "sleep", lambda _: None)
    table = Table("bronze.orders", "/nowhere")
    left = [3]

    def beaten():
        left[0] -= 1
        if left[0] >= 0:
            message = "[DELTA_CONCURRENT_APPEND] files were added"
            raise ConcurrentAppendException(message)
        return "made"

    assert attempted(beaten, table, "optimize") == "made"
    left = [9]
    with pytest.raises(WriteConflictError, match="optimize gave way to other writers 4 times") as raised:
        attempted(beaten, table, "optimize")
    assert raised.value.retryable
    with pytest.raises(ZeroDivisionError):
        attempted(lambda: 1 / 0, table, "optimize")
