"""Tables as writers leave them: many small files, deleted rows, old events."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable, QueryBuilder

from lakehouse.lake.table import Table, commits
from lakehouse.maintain.compact import Bounds

FEW = Bounds(files=3)
"""Bounds under which a table of a test is worth the trouble."""

DAY = 24 * 60 * 60


@pytest.fixture
def table(tmp_path):
    """A table that is not there yet, in a folder whose name no one quotes by accident."""
    return Table("bronze.orders", str(tmp_path / "a [b]{c}*`x` 'q'" / "orders"))


@pytest.fixture
def make(spark, table):
    """Make the table: so many files of 100 rows each, with a deletion of some."""

    def made(files, *, layout="", delete="", properties="'delta.enableDeletionVectors' = 'true'"):
        spark.sql(f"CREATE TABLE {table.sql} (id BIGINT, day STRING) USING DELTA {layout} TBLPROPERTIES ({properties})")
        if files:
            rows = spark.range(0, files * 100, 1, files).selectExpr("id", "concat('d', id div 100) day")
            rows.write.format("delta").mode("append").save(table.path)
        if delete:
            spark.sql(f"DELETE FROM {table.sql} WHERE {delete}")
        return table

    return made


def aged(table, days):
    """A copy of the table whose commits (by version) and files are so many days older."""
    old = Table(table.name, f"{table.path} of old")
    shutil.copytree(table.path, old.path)
    log = Path(old.path) / "_delta_log"
    for checksum in log.glob("*.crc"):
        checksum.unlink()
    for version, age in days.items():
        file = log / f"{version:020}.json"
        text = re.sub(
            r'"(timestamp|deletionTimestamp|modificationTime|createdTime)":([0-9]+)',
            lambda found, age=age: f'"{found[1]}":{int(found[2]) - age * DAY * 1000}',
            file.read_text(),
        )
        file.write_text(text)
        os.utime(file, (file.stat().st_mtime - age * DAY,) * 2)
    for file in Path(old.path).glob("*.parquet"):
        os.utime(file, (file.stat().st_mtime - max(days.values()) * DAY,) * 2)
    return old


def add(spark, table, start):
    """Append a file of 100 rows."""
    rows = spark.range(start, start + 100).selectExpr("id", f"'d{start // 100}' day").coalesce(1)
    rows.write.format("delta").mode("append").save(table.path)


def seen(table):
    """The rows as a reader without Spark sees them."""
    rows = QueryBuilder().register("it", DeltaTable(table.path)).execute("SELECT * FROM it").read_all()
    return sorted(tuple(row.values()) for row in rows.to_struct_array().to_pylist())


def operations(spark, table, since=0):
    """What was done to the table after a version, in order."""
    return [one.operation for one in reversed([*commits(spark, table, 100)]) if one.version > since]
