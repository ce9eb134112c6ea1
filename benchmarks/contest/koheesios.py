"""koheesio's writers, by its documentation."""

from __future__ import annotations

import uuid

from koheesio.spark.delta import DeltaTableStep
from koheesio.spark.transformations.row_number_dedup import RowNumberDedup
from koheesio.spark.writers import BatchOutputMode
from koheesio.spark.writers.delta import DeltaTableWriter, SCD2DeltaTableWriter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contest.workloads import COLUMNS, TRACKED

SAME = "target.id = source.id"
VALUES = {name: f"source.{name}" for name in COLUMNS}


def named(spark: SparkSession, table: str) -> str:
    """A name in the catalog for the table, which these writers ask for."""
    name = f"t{uuid.uuid4().hex}"
    spark.sql(f"CREATE TABLE {name} USING DELTA LOCATION '{table}'")
    return name


def upsert(table: str, batch: DataFrame) -> None:
    """Its MERGEALL."""
    params = {"merge_cond": SAME}
    DeltaTableWriter(df=batch, table=table, output_mode=BatchOutputMode.MERGEALL, output_mode_params=params).execute()


def insert(table: str, batch: DataFrame) -> None:
    """Its MERGE with one clause."""
    _merge(table, batch, [{"clause": "whenNotMatchedInsertAll"}])


def cdc(table: str, batch: DataFrame) -> None:
    """Its deduplication, then its MERGE with three clauses."""
    newest = RowNumberDedup(df=batch, columns=["id"], sort_columns=[F.col("updated_at").desc()]).transform()
    newer = "source.updated_at > target.updated_at"
    clauses = [
        {"clause": "whenMatchedDelete", "condition": f"source.op = 'D' AND {newer}"},
        {"clause": "whenMatchedUpdate", "condition": newer, "set": VALUES},
        {"clause": "whenNotMatchedInsert", "condition": "source.op <> 'D'", "values": VALUES},
    ]
    _merge(table, newest, clauses)


def scd2(table: str, batch: DataFrame) -> None:
    """Its SCD2 writer; the time of a version is the event's."""
    SCD2DeltaTableWriter(
        df=batch,
        table=DeltaTableStep(table=table),
        merge_key="id",
        scd2_columns=list(TRACKED),
        scd2_timestamp_col=F.col("updated_at"),
    ).execute()


def _merge(table: str, batch: DataFrame, clauses: list[dict[str, object]]) -> None:
    params = {"merge_cond": SAME, "merge_builder": clauses}
    DeltaTableWriter(df=batch, table=table, output_mode=BatchOutputMode.MERGE, output_mode_params=params).execute()


FORMS = {"upsert": upsert, "insert": insert, "cdc": cdc, "scd2": scd2}
