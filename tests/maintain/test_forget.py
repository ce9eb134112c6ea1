"""Forget: old events go, and one row stays that says up to where nobody can tell any more."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.lake.batch import Identity
from lakehouse.lake.frame import small_frame
from lakehouse.lake.table import create, head, read_table
from lakehouse.maintain.forget import forget, forgettable
from lakehouse.write.auxiliary import EVENT_KIND, FORGOTTEN_KIND, SNAPSHOT_KIND, TRUNCATE_KIND, greatest, recalled
from tests.maintain.conftest import seen

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIMIT = NOW - timedelta(days=30)
COLUMNS = {
    "_kind": "string",
    "_key": "struct<__k0: bigint>",
    "_event": "struct<sequence: struct<_0: bigint>, position: struct<file: string, position: bigint>, deleted: boolean, hash: bigint>",
    "_row": "struct<`odd name`: string>",
    "_kept_at": "timestamp",
    "_stream": "string",
    "_batch": "bigint",
}

PROPERTIES = {"delta.enableDeletionVectors": "true", "delta.columnMapping.mode": "name"}


def row(kind, key, sequence, days):
    event = {"sequence": {"_0": sequence}, "position": {"file": "f", "position": 1}, "deleted": True, "hash": 9}
    at = (NOW - timedelta(days=days)).isoformat()
    return [kind, {"__k0": key} if key else None, event, {"odd name": "x"}, at, "stream", 0]


def put(spark, table, *rows):
    small_frame(spark, rows, COLUMNS).coalesce(1).write.format("delta").mode("append").save(table.path)


@pytest.fixture
def target(spark, table):
    create(spark, table.auxiliary, COLUMNS, properties=PROPERTIES)
    return table


def left(spark, auxiliary):
    rows = read_table(spark, auxiliary).select("_kind", "_event.sequence._0", "_key.__k0")
    return sorted(map(tuple, rows.collect()), key=repr)


def test_old_events_go_and_the_greatest_of_all_that_ever_went_stays(spark, target):
    auxiliary = target.auxiliary
    put(
        spark,
        auxiliary,
        row(EVENT_KIND, 1, 50, 40),
        row(EVENT_KIND, 2, 90, 31),
        row(TRUNCATE_KIND, None, 70, 35),
        # what an earlier time left
        row(FORGOTTEN_KIND, None, 80, 1),
        row(EVENT_KIND, 3, 10, 29),
        row(SNAPSHOT_KIND, None, 99, 300),
    )
    before = head(spark, auxiliary).version
    assert forgettable(spark, auxiliary, LIMIT) == 3
    assert forget(spark, auxiliary, LIMIT) == 3
    young = [(EVENT_KIND, 10, 3), (SNAPSHOT_KIND, 99, None)]
    assert left(spark, auxiliary) == sorted([*young, (FORGOTTEN_KIND, 90, None)], key=repr)
    newest = head(spark, auxiliary)
    assert (newest.version, newest.note) == (before + 1, {"step": "maintain", "action": "forget"})
    assert len(seen(auxiliary)) == 3

    # without anything old there is no commit
    assert forget(spark, auxiliary, LIMIT) == 0
    assert head(spark, auxiliary) == newest

    # and the writer sees it, whatever batch it is at
    found = recalled(spark, target, Identity("j", "r", "stream", 0))
    assert greatest(found, FORGOTTEN_KIND).select("_event.sequence._0").collect()[0][0] == 90


def test_an_event_that_is_put_aside_meanwhile_stays(spark, target):
    auxiliary = target.auxiliary
    put(spark, auxiliary, row(EVENT_KIND, 1, 50, 40), row(FORGOTTEN_KIND, None, 55, 9))
    writer = threading.Thread(target=lambda: put(spark, auxiliary, row(EVENT_KIND, 7, 60, 0)))
    writer.start()
    assert forget(spark, auxiliary, LIMIT) == 1
    writer.join()
    assert left(spark, auxiliary) == sorted([(FORGOTTEN_KIND, 55, None), (EVENT_KIND, 60, 7)], key=repr)
