"""MERGE as people write it: plain, and with what a tuning guide says."""

from __future__ import annotations

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from contest.workloads import COLUMNS, TRACKED

SAME = "t.id = s.id"
CHANGED = " OR ".join(f"NOT (t.{name} <=> s.{name})" for name in TRACKED)
VALUES = {name: f"s.{name}" for name in COLUMNS}


def upsert(spark: SparkSession, table: str, batch: DataFrame, *, tuned: bool) -> None:
    """Update what matches, insert what does not."""
    merge = DeltaTable.forPath(spark, table).alias("t").merge(batch.alias("s"), SAME + _range(batch, tuned=tuned))
    merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()


def insert(spark: SparkSession, table: str, batch: DataFrame, *, tuned: bool) -> None:
    """Insert what is not there."""
    merge = DeltaTable.forPath(spark, table).alias("t").merge(batch.alias("s"), SAME + _range(batch, tuned=tuned))
    merge.whenNotMatchedInsertAll().execute()


def cdc(spark: SparkSession, table: str, batch: DataFrame, *, tuned: bool) -> None:
    """The last event of each key, where it is newer than the table's row."""
    newest_first = Window.partitionBy("id").orderBy(F.col("updated_at").desc())
    last = batch.withColumn("turn", F.row_number().over(newest_first)).where("turn = 1").drop("turn")
    merge = DeltaTable.forPath(spark, table).alias("t").merge(last.alias("s"), SAME + _range(batch, tuned=tuned))
    (
        merge.whenMatchedDelete("s.op = 'D' AND s.updated_at > t.updated_at")
        .whenMatchedUpdate("s.updated_at > t.updated_at", set=VALUES)
        .whenNotMatchedInsert("s.op <> 'D'", values=VALUES)
        .execute()
    )


def scd2(spark: SparkSession, table: str, batch: DataFrame, *, tuned: bool) -> None:
    """The canonical form: a changed key comes twice, once without a key to merge by, so that it is inserted, too."""
    target = DeltaTable.forPath(spark, table)
    current = target.toDF().where("is_current").alias("t")
    changed = batch.alias("s").join(current, F.expr(SAME)).where(CHANGED).selectExpr("NULL AS merge_key", "s.*")
    staged = changed.unionByName(batch.selectExpr("id AS merge_key", "*"))
    condition = "t.id = s.merge_key AND t.is_current" + _range(batch, tuned=tuned)
    begun = {"valid_from": "s.updated_at", "valid_to": "NULL", "is_current": "true"}
    (
        target.alias("t")
        .merge(staged.alias("s"), condition)
        .whenMatchedUpdate(CHANGED, set={"valid_to": "s.updated_at", "is_current": "false"})
        .whenNotMatchedInsert(values={**VALUES, **begun})
        .execute()
    )


def _range(batch: DataFrame, *, tuned: bool) -> str:
    if not tuned:
        return ""
    least, most = batch.agg(F.min("id"), F.max("id")).collect()[0]
    return f" AND t.id BETWEEN {least} AND {most}"


FORMS = {"upsert": upsert, "insert": insert, "cdc": cdc, "scd2": scd2}
